"""Of `tidyllm.legacy.tta_primitives`, under an address that it had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import (
    TimeoutError,  # noqa: A004 - its old name
    TimeoutPrimitive,
)

__all__ = ["TimeoutError", "TimeoutPrimitive"]
