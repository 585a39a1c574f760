"""What a codemod says about a file. It knows places and reasons, no code."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["FileResult", "Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One use of a legacy name: converted, or left as it was."""

    kind: Literal["converted", "could_not"]
    pattern: str
    name: str
    line: int
    reason: str = ""
    by_hand: str = ""
    cell: int | None = None
    """The code cell of a notebook, counted from 1; `line` is the line in it."""

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file. `after` is None when nothing changes; `problem` says why it was not looked at."""

    path: str
    before: bytes = b""
    after: bytes | None = None
    findings: tuple[Finding, ...] = ()
    problem: str = ""
    relevant: bool = False
    tainted: frozenset[str] = frozenset()
    """Module-level names that hold what could not be converted: those who import them must not be converted either."""
    exports: tuple[tuple[str, str], ...] = ()
    """Legacy names that this file passes on: its own name for each, and where it comes from."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Names at the top of this file that came from an import, and what they are called now."""
    reshaped: frozenset[str] = frozenset()
    """Names at the top of this file that hold something of another kind now, or would if no other file used them."""
    kept: frozenset[str] = frozenset()
