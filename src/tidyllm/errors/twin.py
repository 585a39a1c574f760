"""One error for many who wait: each gets a copy, because an error grows a traceback for each task it is raised in."""

from __future__ import annotations

import copy
from typing import TypeVar

__all__ = ["twin"]

E = TypeVar("E", bound=BaseException)


def twin(error: E) -> E:
    """The same error and cause for another caller, so that each has a traceback and notes of its own."""
    try:
        again = copy.copy(error)
    except Exception:  # noqa: BLE001 - errors of others may refuse to be copied, in any way
        return error
    if type(again) is not type(error):
        return error
    again.__cause__ = error.__cause__
    return again
