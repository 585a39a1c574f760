"""The names of `tidyllm.legacy.tta_primitives`, under an address that they had."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import (
    CachePrimitive,
    ConditionalPrimitive,
    FallbackPrimitive,
    LambdaPrimitive,
    ParallelPrimitive,
    RetryPrimitive,
    RetryStrategy,
    RouterPrimitive,
    SequentialPrimitive,
    TimeoutError,  # noqa: A004 - its old name
    TimeoutPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
)

__all__ = [
    "CachePrimitive",
    "ConditionalPrimitive",
    "FallbackPrimitive",
    "LambdaPrimitive",
    "ParallelPrimitive",
    "RetryPrimitive",
    "RetryStrategy",
    "RouterPrimitive",
    "SequentialPrimitive",
    "TimeoutError",
    "TimeoutPrimitive",
    "WorkflowContext",
    "WorkflowPrimitive",
]
