"""Which commands may run: names from a list, no shell, no inline code, no path outside.

It knows command lines, the search path and the root; the process itself is `runner.py`'s. The system's sandbox is
the wall; these rules keep honest models on the road and still stand where the caller chose to have no wall.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidyllm.errors import CommandRefused, OutsideWorkspace
from tidyllm.sandbox.interpreters import Call, family, interpreter, read_call
from tidyllm.sandbox.paths import Tree, is_unicode

DEFAULT_COMMANDS: tuple[str, ...] = (
    *("python", "pytest", "coverage", "ruff", "mypy", "pyright", "git"),
    *("ls", "cat", "head", "tail", "wc", "grep", "diff", "sort", "echo", "pwd", "true", "false"),
)
"""Programs that run without being named: Python's own, git for looking only, and readers of text."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They start other programs, reach other users or other machines, or wait at a terminal: never, even when listed.
_NEVER = _words(
    """
    env xargs nohup timeout nice ionice setsid stdbuf time chrt taskset sudo su doas pkexec runuser
    chroot unshare nsenter bwrap firejail ssh scp sftp rsync curl wget nc ncat netcat socat telnet ftp
    strace ltrace gdb lldb perf busybox toybox parallel watch entr script expect at batch crontab
    systemctl systemd-run docker podman kubectl flock setarch linux32 linux64 ld.so ld-linux-x86-64.so.2
    ld-linux-aarch64.so.1 npx pnpx bunx uvx pipx eval exec vi vim nvim ed ex emacs nano less more man
    screen tmux sed dd mkfifo mknod ln mount umount sqlite3 psql mysql osascript open
    """
)
_MODULES = _words(
    """
    pytest unittest doctest compileall py_compile tabnanny coverage mypy ruff pyright black isort flake8
    pylint pyflakes pycodestyle bandit vulture json.tool tokenize ast dis mkdocs sphinx build
    """
)
_SETTINGS = _words(
    """
    dev utf8 faulthandler tracemalloc importtime warn_default_encoding int_max_str_digits
    """
)
_GIT = _words(
    """
    status diff log show ls-files ls-tree blame grep rev-parse rev-list describe shortlog cat-file
    diff-tree name-rev merge-base --version
    """
)
_GIT_OPTIONS = _words(
    """
    --no-pager --no-optional-locks --literal-pathspecs --glob-pathspecs --icase-pathspecs
    """
)
_GIT_NEVER = (
    "--ext-diff",
    "--textconv",
    "--output",
    "--open-files-in-pager",
    "--upload-pack",
    "--exec",
    "--no-index",
    "--filters",
)
_FIND_NEVER = _words(
    """
    -exec -execdir -ok -okdir -delete -fprint -fprint0 -fprintf -fls -files0-from
    """
)
_NEVER_OPTIONS: dict[str, tuple[str, ...]] = {
    "sort": ("--compress-program", "--files0-from"),
    "make": ("--eval",),
    "mypy": ("--python-executable",),
    "go": ("-exec", "-toolexec", "-vettool"),
    "tar": (
        "--to-command",
        "--checkpoint-action",
        "--use-compress-program",
        "--rsh-command",
        "--info-script",
    ),
    "pytest": ("--pdb", "--pdbcls", "--trace", "--pastebin", "--debug"),
}


@dataclass(frozen=True)
class Allowed:
    """A command that may run."""

    program: str
    """Where the program lies, absolute."""
    family: str
    argv: tuple[str, ...]


class Commands:
    """The rules of one workspace."""

    def __init__(self, tree: Tree, allow: Sequence[str]) -> None:
        self._tree = tree
        self._allow = frozenset(family(name) for name in allow)
        self.folders = search_path(tree.root)

    def check(self, argv: Sequence[str]) -> Allowed:
        """The command as it may run. `CommandRefused` says which word is not allowed, and what to do instead."""
        words = tuple(argv)
        if isinstance(argv, str) or not words or not all(isinstance(word, str) for word in words):  # pyright: ignore[reportUnnecessaryIsInstance] - models' arguments come here
            raise CommandRefused(
                "a command is a list of words, such as ['pytest', '-q']; there is no shell to split a line"
            )
        for word in words:
            if "\0" in word or len(word) > 32_768 or not is_unicode(word):
                raise CommandRefused(f"the word {word[:40]!r}... cannot be handed to a program")
        name = words[0]
        if "/" in name or "\\" in name or name in {"", ".", ".."}:
            raise CommandRefused(
                f"{name!r} is a path; give the bare name of an allowed program: {self._names()}"
            )
        kind = family(name)
        if name in _NEVER or kind in _NEVER:
            raise CommandRefused(
                f"{name} is never run here: it starts other programs or leaves the workspace"
            )
        if kind not in self._allow:
            raise CommandRefused(f"{name} is not among the allowed programs: {self._names()}")
        program = find(name, self.folders)
        real = Path(program).resolve().name
        if real in _NEVER:
            raise CommandRefused(f"{name} is {real} here, which is never run")
        for one in {kind, family(real)}:
            self._rules(one, words[1:])
        self._paths(kind, words[1:])
        return Allowed(program, "python" if "python" in {kind, family(real)} else kind, words)

    def _names(self) -> str:
        return ", ".join(sorted(self._allow))

    def _rules(self, kind: str, words: tuple[str, ...]) -> None:
        if interpreter(kind) is not None:
            self._interpreter(kind, words)
        elif kind in {"pytest", "py.test"}:
            _pytest(words)
        elif kind == "coverage":
            self._coverage(words)
        elif kind == "git":
            _git(words)
        elif kind == "find":
            bad = _FIND_NEVER.intersection(words)
            if bad:
                raise CommandRefused(
                    f"find {min(bad)} is not run here; list with find, and act with another call"
                )
        _no_options(kind, words)

    def _interpreter(self, kind: str, words: tuple[str, ...]) -> None:
        call = read_call(kind, words)
        if kind == "python":
            for setting in call.settings:
                if setting.partition("=")[0] not in _SETTINGS:
                    raise CommandRefused(
                        f"python -X {setting} is not allowed; allowed: {', '.join(sorted(_SETTINGS))}"
                    )
            if call.module:
                self._module(call)
                return
        if call.script:
            self._script(kind, call.script)
        elif not {"--version", "-V", "-VV", "--help", "-h"}.intersection(words):
            raise CommandRefused(
                f"{kind} without a file would read code from standard input; name a file of the workspace"
            )

    def _script(self, kind: str, script: str) -> None:
        try:
            place = self._tree.root / self._tree.locate(script)
        except OutsideWorkspace as error:
            raise CommandRefused(f"{kind} {script}: {error}") from error
        if not place.is_file() and not (kind == "python" and (place / "__main__.py").is_file()):
            raise CommandRefused(f"{kind} {script}: there is no such file in the workspace")

    def _module(self, call: Call) -> None:
        name = call.module
        first = name.split(".", maxsplit=1)[0]
        if name in {"pytest", "coverage", "mypy"}:
            self._rules(name, call.rest)
        if name in _MODULES:
            return
        here = self._tree.root / first
        ours = (
            here.with_name(f"{first}.py").is_file()
            or (here / "__init__.py").is_file()
            or (here / "__main__.py").is_file()
        )
        if not first.isidentifier() or first in sys.stdlib_module_names or not ours:
            raise CommandRefused(
                f"python -m {name or '?'}: neither a module of the workspace nor one of {', '.join(sorted(_MODULES))}"
            )

    def _coverage(self, words: tuple[str, ...]) -> None:
        if not words or words[0] != "run":
            return
        rest = list(words[1:])
        while rest and rest[0].startswith("-") and rest[0] not in {"-m", "--module"}:
            option = rest.pop(0)
            if "=" not in option and option in {
                "--source",
                "--include",
                "--omit",
                "--data-file",
                "--rcfile",
                "--concurrency",
            }:
                rest = rest[1:]
        if rest and rest[0] in {"-m", "--module"}:
            self._module(Call(module=rest[1] if len(rest) > 1 else "", rest=tuple(rest[2:])))
        elif rest:
            self._script("coverage run", rest[0])

    def _paths(self, kind: str, words: tuple[str, ...]) -> None:
        """A word that is a path, or carries one, may not lead out, whether or not the sandbox would stop it too."""
        for word in words:
            for text in _maybe_paths(word):
                if not _looks_outward(text, self._tree.root):
                    continue
                try:
                    self._tree.locate(text)
                except OutsideWorkspace as error:
                    raise CommandRefused(f"{kind}: {word!r} leads out of the workspace ({error})") from error


def _maybe_paths(word: str) -> list[str]:
    text = word.split("::", 1)[0]
    found = [text, text.lstrip("@"), text.partition("=")[2], text.partition("=")[2].partition("=")[2]]
    if text.startswith("-") and not text.startswith("--"):
        found.append(text[2:])
    found += text.split(":")[1:]
    return [one for one in found if one]


def _looks_outward(text: str, root: Path) -> bool:
    if text.startswith("~"):
        return True
    if ".." in text.split("/"):
        return True
    if text.startswith("/"):
        parent = Path(text).parent  # `/api/v1` in a pattern is no path of this machine
        return _exists(text) or (str(parent) != "/" and _exists(parent))
    try:
        return len(text) < 256 and (root / text).is_symlink()
    except (OSError, ValueError):
        return False


def _exists(path: str | Path) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _pytest(words: tuple[str, ...]) -> None:
    plugins = [words[at + 1] if at + 1 < len(words) else "" for at, word in enumerate(words) if word == "-p"]
    plugins += [
        word[2:] for word in words if word.startswith("-p") and word != "-p" and not word.startswith("--")
    ]
    for plugin in plugins:
        if not plugin.strip().startswith("no:"):
            raise CommandRefused(
                f"pytest -p {plugin}: plugins are not loaded by name here; only -p no:NAME is allowed"
            )


def _git(words: tuple[str, ...]) -> None:
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "--version":
        if rest[0] not in _GIT_OPTIONS:
            raise CommandRefused(
                f"git {rest[0]} is not allowed: options before the subcommand change what git runs"
            )
        rest.pop(0)
    if not rest or rest[0] not in _GIT:
        raise CommandRefused(
            f"git {rest[0] if rest else ''} is not allowed; for looking only: {', '.join(sorted(_GIT))}"
        )
    for word in rest[1:]:
        option = word.partition("=")[0]
        if len(option) > 3 and any(one.startswith(option) for one in _GIT_NEVER):
            raise CommandRefused(f"git {rest[0]} {option} is not allowed: it runs a program or writes a file")
        if rest[0] == "grep" and word.startswith("-O"):
            raise CommandRefused("git grep -O is not allowed: it runs a program")


def _no_options(kind: str, words: tuple[str, ...]) -> None:
    for word in words:
        option = word.partition("=")[0]
        for one in _NEVER_OPTIONS.get(kind, ()):
            if option == one or (option.startswith("--") and len(option) > 4 and one.startswith(option)):
                raise CommandRefused(f"{kind} {option} is not allowed here")


def search_path(root: Path) -> tuple[str, ...]:
    """Where programs are looked for: the project's own environment, the search path, and where Python runs from."""
    own = [str(root / ".venv" / "bin")] if (root / ".venv" / "bin").is_dir() else []
    given = [one for one in os.environ.get("PATH", os.defpath).split(os.pathsep) if one.startswith("/")]
    outside = [one for one in given if not Path(one).resolve().is_relative_to(root)]
    # Shims are shell scripts that look for the real program in a home which the sandbox keeps shut.
    real = [one for one in outside if Path(one).name != "shims"]
    return tuple(dict.fromkeys([*own, *real, str(Path(sys.executable).parent)]))


def find(name: str, folders: Sequence[str]) -> str:
    """The program of that name; `CommandRefused` if there is none."""
    for folder in folders:
        place = Path(folder, name)
        if os.path.isfile(place) and os.access(place, os.X_OK):  # noqa: PTH113 - a folder may be shut to us
            return str(place)
    raise CommandRefused(f"{name} is allowed, but there is no such program on this machine")
