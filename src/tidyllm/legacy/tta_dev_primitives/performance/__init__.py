"""Of `tidyllm.legacy.tta_primitives`, under an address that they had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import CachePrimitive

__all__ = ["CachePrimitive"]
