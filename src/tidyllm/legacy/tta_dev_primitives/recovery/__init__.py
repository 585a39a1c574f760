"""Of `tidyllm.legacy.tta_primitives`, under an address that they had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import (
    FallbackPrimitive,
    RetryPrimitive,
    RetryStrategy,
    TimeoutError,  # noqa: A004 - its old name
    TimeoutPrimitive,
)

__all__ = ["FallbackPrimitive", "RetryPrimitive", "RetryStrategy", "TimeoutError", "TimeoutPrimitive"]
