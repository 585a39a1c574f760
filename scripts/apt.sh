#!/bin/sh
# Install Debian packages: scripts/apt.sh PACKAGE...
# Knows apt-get, root and sudo; says what to do by hand where one of them is missing.
set -eu

if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: these are missing and there is no apt-get to install them: $*" >&2
    echo "hint: install them with the package tool of this system, then run the same command again" >&2
    exit 1
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "error: Debian packages are missing, and neither root nor sudo is at hand: $*" >&2
        echo "hint: as root, run: apt-get install $*" >&2
        exit 1
    fi
    as_root="sudo"
fi

# RUNLEVEL=1 asks the packages not to start their services: a benchmark starts its own nginx.
install() {
    $as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet --no-install-recommends "$@"
}

echo "installing Debian packages: $*"
# The lists of a new machine may be empty or old: a first try costs nothing, the second one follows an update.
install "$@" || { $as_root apt-get update --quiet && install "$@"; }
