"""Writing to whoever reads: a terminal, a pipe, a file. It knows readers that leave early or lack a letter."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TextIO

__all__ = ["forgiving", "give_up", "harmless", "say", "until_the_reader_leaves"]


def forgiving() -> None:
    """Show a letter that the reader's encoding lacks as `?`, instead of failing in the middle of an answer. Where there
    is no output at all (`>&-`), write to nobody.
    """
    sys.stdout = sys.stdout or _nobody()
    sys.stderr = sys.stderr or _nobody()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def _nobody() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def give_up() -> None:
    """Write nothing more to standard output: Python would try once more at its end, and complain once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def harmless(text: str) -> str:
    """The text without characters that would move a terminal's cursor or change its colours, but for line ends."""
    if text.isprintable():
        return text
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")


def say(text: str) -> None:
    """Write `text` at once; to nobody when the reader has left, for work whose status matters more than its words."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        give_up()


@contextlib.contextmanager
def until_the_reader_leaves() -> Generator[None]:
    """What is written inside goes to standard output; a reader who has enough (`| head`) ends it with status 0."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        give_up()
        raise SystemExit(0) from None
