"""Which errors are worth another try, another target, or a mark against a target. It knows the tree of errors only.

    error                                 same target again  another target   counts for the breaker
    RateLimited                           yes                yes              no: throttled is not broken
    Overloaded, Unreachable, BadAnswer    yes                yes              yes
    TimeoutExceeded of an attempt         yes                yes              yes
    TimeoutExceeded of the deadline       no                 no               no: the run was too short
    LimitExceeded                         yes                yes              no: nothing was sent
    BreakerOpen, NotCached                no                 yes              no: nothing was sent
    BudgetExceeded, PriceUnknown          no                 yes              no: nothing was sent
    StoreDown                             yes                no               no: our own store is no target
    StoreError                            no                 no               no: our own store is no target
    AuthError, ContentRefused             no                 yes              no: an answer, if not a nice one
    ContextTooLong, ModelNotFound         no                 yes              no: they depend on the target
    Unsupported                           no                 yes              no: they depend on the target
    BadRequest otherwise                  no                 no               no: the caller's fault
    StreamInterrupted                     before a piece     before a piece   yes
    StepError, NobodyToAsk, ConfigError   no                 no               no: the program's fault
    SagaFailed                            no                 no               yes
    AgentStopped                          no                 yes              no: it met its own caps
    ToolServerDown                        yes                yes              yes
    ToolError, ToolDenied, UnknownTool    no                 no               no: of the program or the model
    BadToolCall, WorkspaceError           no                 no               no: of the program or the model
    OutsideWorkspace, CommandRefused      no                 no               no: of the program or the model
    EditConflict                          no                 no               no: of the program or the model
    StepFailed, RunFailed                 no                 yes              yes: as what had failed
    RunError, RunNotFound, RunDiverged    no                 no               no: of the run itself
    RunInDoubt, RunCancelled, LeaseLost   no                 no               no: of the run itself
    UnregisteredType, AnotherRuntime      no                 no               no: of the run itself
    ConnectionError, TimeoutError         yes                yes              yes
    any other exception                   no                 yes              yes

Cancellation is not an error: it is never caught, so it is in no column.
(A test compares it with the table in docs/concepts/resilience.md.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from tidyllm.errors import (
    AgentStopped,
    AuthError,
    BadRequest,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    ModelNotFound,
    RateLimited,
    Refused,
    RunError,
    RunFailed,
    SagaFailed,
    StepError,
    StepFailed,
    StoreError,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    ToolError,
    ToolServerDown,
    Unsupported,
    WorkspaceError,
)

__all__ = [
    "Errors",
    "Judge",
    "counts_against_target",
    "describe",
    "judge",
    "worth_another_target",
    "worth_retrying",
]

Judge: TypeAlias = Callable[[Exception], bool]
Errors: TypeAlias = type[Exception] | tuple[type[Exception], ...] | Judge
"""How a wrapper is told which errors it should act on: a class, several, or a function of the error."""

_FOREIGN = (StepFailed, RunFailed, ToolServerDown)
"""Failures of something that is not ours: judged as the failure itself would be."""
_ELSEWHERE = (ContextTooLong, ModelNotFound, Unsupported, *_FOREIGN)
_OURS = (StepError, ConfigError, StoreError, RunError, ToolError, WorkspaceError)
_NOT_ELSEWHERE = (BadRequest, StreamInterrupted, SagaFailed, *_OURS)
_BLAMELESS = (BadRequest, Refused, RateLimited, AuthError, ContentRefused, AgentStopped, *_OURS)


def worth_retrying(error: Exception) -> bool:
    """Whether the same call may succeed when it is tried again."""
    if isinstance(error, TidyllmError):
        return error.retryable
    return isinstance(error, ConnectionError | TimeoutError)


def worth_another_target(error: Exception) -> bool:
    """Whether another target may succeed where this one failed."""
    if isinstance(error, TimeoutExceeded):
        return error.clock != "deadline"
    return isinstance(error, _ELSEWHERE) or not isinstance(error, _NOT_ELSEWHERE)


def counts_against_target(error: Exception) -> bool:
    """Whether the error says that the target is broken."""
    if isinstance(error, TimeoutExceeded):
        return error.clock != "deadline"
    return isinstance(error, _FOREIGN) or not isinstance(error, _BLAMELESS)


def judge(where: str, errors: Errors | None, default: Judge) -> Judge:
    """The function that `errors` stands for; `default` for None.

    :raises ConfigError: it is neither classes of errors nor a function, or a class that is no error.
    """
    if errors is None:
        return default
    if callable(errors) and not isinstance(errors, type):
        return errors
    classes = errors if isinstance(errors, tuple) else (errors,)
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, Exception)):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigError(
                f"{one!r} is no class of errors.",
                where=where,
                hint="Give subclasses of Exception (cancellation is none), or a function of the error.",
            )
    return lambda error: isinstance(error, classes)


def describe(errors: Errors) -> str:
    """`errors` as it is written in a program."""
    if isinstance(errors, tuple):
        classes = cast("tuple[type[Exception], ...]", errors)
        return f"({', '.join(one.__name__ for one in classes)}{',' if len(classes) == 1 else ''})"
    return getattr(errors, "__name__", None) or repr(errors)
