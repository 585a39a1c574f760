"""The names of `tidyllm.legacy.tta_primitives`, under an address that they had; its submodules hold them, too."""

from __future__ import annotations

from tidyllm.legacy.tta_primitives import (
    CachePrimitive,
    ConditionalPrimitive,
    FallbackPrimitive,
    InstrumentedPrimitive,
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
    "InstrumentedPrimitive",
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
