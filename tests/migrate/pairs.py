"""The pairs of files beside this one. `NAME.before` becomes `NAME.after`; `NAME.same` stays as it is."""

from __future__ import annotations

from pathlib import Path

PAIRS = Path(__file__).parent / "pairs"


def before_and_after(pattern: str) -> list[tuple[str, str, str]]:
    """Name, text and expected text."""
    found: list[tuple[str, str, str]] = []
    for path in sorted((PAIRS / pattern).glob("*.before.py.txt")):
        name = path.name.removesuffix(".before.py.txt")
        after = path.with_name(f"{name}.after.py.txt").read_text("utf-8")
        found.append((name, path.read_text("utf-8"), after))
    return found


def untouched(pattern: str) -> list[tuple[str, str]]:
    """Name and text."""
    return [
        (path.name.removesuffix(".same.py.txt"), path.read_text("utf-8"))
        for path in sorted((PAIRS / pattern).glob("*.same.py.txt"))
    ]
