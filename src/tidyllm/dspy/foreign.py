"""The door to DSPy's settings, which have no types: what of them we read and set. It decides nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import dspy
from dspy.dsp.utils.settings import thread_local_overrides

__all__ = ["given", "settings", "within"]

settings: Any = cast("Any", dspy).settings
"""What the program has configured: `lm`, `rm`, …"""
_context: Any = cast("Any", dspy).context
_overrides: Any = thread_local_overrides


def given(key: str) -> Any:
    """What `within` has set for this task or thread; None where it has not."""
    return _overrides.get().get(key)


def within(**values: Any) -> AbstractContextManager[None]:
    """A block with these settings, in DSPy's threads and tasks as well."""
    return _context(**values)
