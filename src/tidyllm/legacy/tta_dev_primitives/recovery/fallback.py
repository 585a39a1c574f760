"""Of `tidyllm.legacy.tta_primitives`, under an address that it had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import FallbackPrimitive

__all__ = ["FallbackPrimitive"]
