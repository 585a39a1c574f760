"""The user's own check, run before and after. It knows exit codes and pytest's summary, not what is checked."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tidyllm.migrate.errors import MigrateError

__all__ = ["Outcome", "new_failures", "parsed", "run"]

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", re.MULTILINE)
_COUNTS = re.compile(r"(\d+) (failed|error|errors)\b")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the command ended."""

    exit_code: int
    failing: frozenset[str]
    """The ids of tests that pytest calls failing; empty for other commands."""
    tail: str
    """The last lines of what it said."""


def parsed(command: str) -> list[str]:
    """The words of a command; no shell reads it.

    :raises MigrateError: quotes are open, or there is no word.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise MigrateError(f"the check {command!r} cannot be read: {error}.", "Close its quotes.") from error
    if not words:
        raise MigrateError("the check is empty.", 'Write --check "pytest -q".')
    return words


def run(words: Sequence[str], folder: Path, timeout: float | None = None) -> Outcome:
    """Run the command in `folder`; its output is kept, not shown.

    :raises MigrateError: there is no such program, or it did not end within `timeout` seconds.
    """
    words = list(words)
    if words[0] in {"python", "python3"}:
        words[0] = sys.executable
    if _is_pytest(words):
        words += ["-rfE", "-p", "no:cacheprovider"]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, and no shell reads it
            words, cwd=folder, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise MigrateError(
            f"the check cannot be run: there is no program {words[0]!r}.", "Name it as a path."
        ) from error
    except OSError as error:
        raise MigrateError(f"the check cannot be run: {error.strerror}.", "") from error
    except subprocess.TimeoutExpired as error:
        raise MigrateError(
            f"the check did not end within {timeout:g} s.", "Give it more time, or less to do."
        ) from error
    said = done.stdout + done.stderr
    failing = frozenset(_FAILED.findall(done.stdout)) if _is_pytest(words) else frozenset[str]()
    return Outcome(done.returncode, failing, "\n".join(said.splitlines()[-12:]))


def new_failures(before: Outcome, after: Outcome) -> list[str]:
    """What fails now and did not fail before; a sentence each."""
    found = [f"{name} fails now" for name in sorted(after.failing - before.failing)]
    if not found and after.exit_code not in {before.exit_code, 0}:
        found.append(f"the check ended with status {after.exit_code}, and with {before.exit_code} before")
    return found


def _is_pytest(words: Sequence[str]) -> bool:
    return any(Path(word).name in {"pytest", "py.test"} for word in words[:8])
