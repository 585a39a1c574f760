"""Which files nobody may change: the tests that were there, pytest's configuration, and what the caller names.

Pure but for the list of paths it is given. It knows names and contents, not where they come from.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from tidyllm.errors import WorkspaceError
from tidyllm.sandbox.paths import is_history, plain

_WHOLE = frozenset({"conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini"})
# Where Python looks first these would be imported in the place of the real ones by `python -m pytest`.
_SHADOWS = frozenset({"pytest", "_pytest", "pluggy", "iniconfig"})
_SITE = frozenset({"sitecustomize", "usercustomize"})
_SHADOW_FILES = frozenset(
    {
        *_SHADOWS,
        *("packaging", "pygments", "py", "exceptiongroup", "tomli", "colorama"),
        # Of Python's own those that pytest cannot do without: a program that has one of them has no tests that run.
        *(
            "argparse",
            "ast",
            "configparser",
            "contextlib",
            "dataclasses",
            "difflib",
            "enum",
            "fnmatch",
            "functools",
        ),
        *("importlib", "inspect", "logging", "os", "pathlib", "platform", "pprint", "re", "shlex", "shutil"),
        *("tempfile", "tomllib", "traceback", "types", "typing", "unittest", "warnings"),
    }
)
_MODULES = (".py", ".pyc", ".so", ".pyd")
_TEST_FOLDERS = frozenset({"tests", "test", "testing"})


def is_test(path: str) -> bool:
    """Whether a file belongs to a test suite by its name or folder."""
    *folders, name = plain(path).split("/")
    if name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py")):
        return True
    return any(folder in _TEST_FOLDERS for folder in folders)


class Protection:
    """What is protected in one run. `baseline` are tests from before it: new ones may be added and changed.

    `tests`: False leaves tests and pytest's configuration alone; `globs` and version control stay protected.
    """

    def __init__(self, globs: Sequence[str], baseline: Iterable[str], *, tests: bool = True) -> None:
        self.tests = tests
        self._globs = tuple(plain(one.removeprefix("./").rstrip("/")) for one in globs)
        self.baseline = frozenset(baseline if tests else ())
        self._plain = frozenset(plain(path) for path in self.baseline)

    @staticmethod
    def select(paths: Iterable[str]) -> list[str]:
        """Those of a tree's files that are tests: the baseline of a run that begins now."""
        return sorted(path for path in paths if is_test(path))

    def reason(self, path: str) -> str:
        """Why nobody may change, make or remove this path; nothing if one may."""
        name = plain(path)
        parts = name.split("/")
        if any(is_history(part) for part in parts):
            return "it belongs to version control"
        if self.tests and parts[-1] in _WHOLE:
            return "it configures pytest"
        if _shadows(parts):
            return "it would stand in the place of pytest's own code"
        if name in self._plain:
            return "it is a test that was there before"
        if parts[-1] == "__init__.py" and _TEST_FOLDERS.intersection(parts) and self.holds(name[:-12]):
            return "it would change how pytest imports the tests that were there"
        for glob in self._globs:
            inside = any(fnmatchcase("/".join(parts[:n]), glob) for n in range(1, len(parts) + 1))
            if inside or ("/" not in glob and any(fnmatchcase(part, glob) for part in parts)):
                return f"it is protected by {glob!r}"
        return ""

    def holds(self, path: str) -> str:
        """The same for a folder about to be moved or removed: the first protected path inside it."""
        inside = plain(path) + "/"
        return next((one for one in sorted(self.baseline) if plain(one).startswith(inside)), "")

    def check(self, path: str, before: bytes | None, after: bytes | None) -> None:
        """`WorkspaceError` if this change of a file's content is not allowed."""
        reason = self.reason(path) or (section_changed(path, before, after) if self.tests else "")
        if reason:
            raise WorkspaceError(
                f"{path} cannot be changed: {reason}. Change the program, or add a new test file"
            )


def _shadows(parts: list[str]) -> bool:
    """Whether a module would be found before one that pytest, or Python at its start, imports."""
    stem, dot, suffix = parts[-1].partition(".")
    is_module = (dot + suffix).endswith(_MODULES)
    if is_module and (stem in _SITE or (stem == "__init__" and len(parts) > 1 and parts[-2] in _SITE)):
        return True
    if parts[-1] == "entry_points.txt" and len(parts) > 1 and parts[-2].endswith("-info"):
        return True  # it would name plugins
    first = (
        parts[1:] if len(parts) > 1 and (parts[0] in _TEST_FOLDERS or parts[0] in ("src", "lib")) else parts
    )
    if first[0].removesuffix(".py") in _SHADOWS:
        return True
    named = first[0].partition(".")[0] in _SHADOW_FILES
    return named and is_module and (len(first) == 1 or (len(first) == 2 and stem == "__init__"))


def section_changed(path: str, before: bytes | None, after: bytes | None) -> str:
    """Why a change of `pyproject.toml` or `setup.cfg` touches pytest's part of it; nothing if it does not."""
    name = plain(path).rsplit("/", 1)[-1]
    read = {"pyproject.toml": _of_toml, "setup.cfg": _of_ini}.get(name)
    if read is None:
        return ""
    old, new = read(before), read(after)
    if new is None and old is not None:
        return "it could not be read any more, and it may hold pytest's configuration"
    return "" if old == new else "it would change pytest's configuration"


def _of_toml(data: bytes | None) -> object:
    if data is None:
        return ""
    try:
        return repr(tomllib.loads(data.decode()).get("tool", {}).get("pytest", ""))
    except (ValueError, AttributeError):
        return None


def _of_ini(data: bytes | None) -> object:
    if data is None:
        return ""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(data.decode())
    except (configparser.Error, ValueError):
        return None
    return repr([(name, sorted(parser.items(name))) for name in parser.sections() if "pytest" in name] or "")
