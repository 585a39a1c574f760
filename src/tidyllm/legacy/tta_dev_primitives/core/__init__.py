"""Of `tidyllm.legacy.tta_primitives`, under an address that they had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import (
    ConditionalPrimitive,
    LambdaPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
)

__all__ = [
    "ConditionalPrimitive",
    "LambdaPrimitive",
    "ParallelPrimitive",
    "RouterPrimitive",
    "SequentialPrimitive",
    "WorkflowContext",
    "WorkflowPrimitive",
]
