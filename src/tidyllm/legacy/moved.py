"""The warning that an old name gives. It knows places in source, not what the names do."""

from __future__ import annotations

import inspect
import warnings
from types import FrameType

__all__ = ["moved"]

_PACKAGE = __name__.rpartition(".")[0]
_told: set[tuple[str, str, int]] = set()
_MOST = 10_000
"""Places that are remembered; code that is made while it runs must not fill the memory."""


def moved(name: str, pattern: str, instead: str) -> None:
    """Warn, once for each place, that `name` was used there, and what moves it: codemod `pattern`, to `instead`."""
    here = inspect.currentframe()
    frame: FrameType | None = None if here is None else here.f_back
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    file, line = ("?", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    place = (name, file, line)
    if place in _told:
        return
    if len(_told) < _MOST:
        _told.add(place)
    warnings.warn(
        f"{file}:{line}: {name} has become {instead}. Run: tidyllm migrate apply {file} --pattern {pattern}",
        DeprecationWarning,
        stacklevel=level,
    )
