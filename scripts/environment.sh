#!/bin/sh
# Build .venv at the project's root from uv.lock: scripts/environment.sh run|dev|docs
#   run   what the gateway and the library need, with every extra
#   dev   the same, and what the tests and checks need
#   docs  the same, and what builds the documentation
# Needs only Python >= 3.11, and apt-get where Debian has taken `venv` out of Python. Calls add, they never
# take away: `run` after `dev` keeps the tools of the tests.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

case "${1:-}" in
    run) groups="--no-default-groups" ;;
    dev) groups="--no-default-groups --group dev" ;;
    docs) groups="--no-default-groups --group dev --group docs" ;;
    *) fail "unknown part '${1:-}'" "one of: run, dev, docs" ;;
esac

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# `python3` where it is new enough, else the newest one that PATH has. PYTHON=... overrides the choice.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is no Python >= 3.11" "give the path of another, or none"
        echo "$PYTHON"
        return
    fi
    if new_enough python3; then
        echo python3
        return
    fi
    minor=30
    while [ "$minor" -ge 11 ]; do
        if new_enough "python3.$minor"; then
            echo "python3.$minor"
            return
        fi
        minor=$((minor - 1))
    done
    found=$(python3 --version 2>/dev/null) || found="no python3"
    fail "Python >= 3.11 is needed, PATH has $found" "install one (Debian 12: apt-get install python3), or set PYTHON"
}

# A .venv that was copied, half built or made by an older Python is built anew.
if ! { new_enough .venv/bin/python && .venv/bin/python -c 'import pip' 2>/dev/null; }; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        scripts/apt.sh "$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
    fi
    echo "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes --requirement requirements-bootstrap.txt

# uv takes the Python that made .venv and never downloads one. Bytecode is compiled here because shells with
# PYTHONDONTWRITEBYTECODE would otherwise compile every dependency at every start.
unset VIRTUAL_ENV UV_PYTHON
UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 \
    .venv/bin/uv sync --frozen --inexact --all-extras --python .venv/bin/python $groups

# The Makefile compares these with the lock file. Each part contains the one before it.
case "$1" in
    docs) touch .venv/.ready-run .venv/.ready-dev .venv/.ready-docs ;;
    dev) touch .venv/.ready-run .venv/.ready-dev ;;
    run) touch .venv/.ready-run ;;
esac
