"""Our errors as those that DSPy's engines raise. It knows both trees, and calls nothing.

DSPy decides by class what to do: a full window makes ReAct shorten its history, a billing error is never tried again.
"""

from __future__ import annotations

from typing import Any

from dspy import lm15

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    BreakerOpen,
    BudgetExceeded,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    LimitExceeded,
    ModelError,
    ModelNotFound,
    Overloaded,
    PriceUnknown,
    RateLimited,
    Refused,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    Unreachable,
    Unsupported,
)

__all__ = ["UNPAID", "failure"]

UNPAID = frozenset(
    {"billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "insufficient_balance"}
)
"""What providers call an account without money."""

_TOO_LATE = frozenset({408, 504})

# A class stands before its bases: the first one that fits decides.
_KINDS: tuple[tuple[type[TidyllmError], Any], ...] = (
    (BudgetExceeded, lm15.BillingError),
    (PriceUnknown, lm15.BillingError),
    (LimitExceeded, lm15.RateLimitError),
    (BreakerOpen, lm15.ServerError),
    (Refused, lm15.InvalidRequestError),
    (TimeoutExceeded, lm15.TimeoutError),
    (ContextTooLong, lm15.ContextLengthError),
    (ModelNotFound, lm15.UnsupportedModelError),
    (ContentRefused, lm15.InvalidRequestError),
    (BadRequest, lm15.InvalidRequestError),
    (AuthError, lm15.AuthError),
    (RateLimited, lm15.RateLimitError),
    (Overloaded, lm15.ServerError),
    (Unreachable, lm15.TransportError),
    (BadAnswer, lm15.ProviderError),
    (ModelError, lm15.ProviderError),
    (ConfigError, lm15.ConfigurationError),
)


def failure(error: TidyllmError) -> Exception:
    """The error to raise from `error`. What has no counterpart is itself: DSPy calls it unexpected."""
    if isinstance(error, StreamInterrupted):
        return _interrupted(error)
    if isinstance(error, Unsupported):
        return lm15.UnsupportedFeatureError(str(error), feature=error.field, **_where(error))
    if isinstance(error, ModelError) and error.status in _TOO_LATE:
        return lm15.TimeoutError(str(error), **_where(error))
    if isinstance(error, AuthError) and (error.status == 402 or error.code in UNPAID):
        return lm15.BillingError(str(error), **_where(error))
    for kind, theirs in _KINDS:
        if isinstance(error, kind):
            return theirs(str(error), **_where(error))
    return error


def _where(error: TidyllmError) -> dict[str, Any]:
    """What of an error can be told in fields."""
    told = {
        "provider": getattr(error, "provider", None),
        "provider_code": getattr(error, "code", None),
        "status": getattr(error, "status", None),
        "request_id": getattr(error, "request_id", None),
        "retry_after": getattr(error, "retry_after", None),
    }
    if isinstance(error, BadAnswer) and told["status"] is None:
        told["status"] = 200  # HTTP was well, the answer was not
    return {name: value for name, value in told.items() if value is not None}


def _interrupted(error: StreamInterrupted) -> Exception:
    """What broke the stream; without a cause of ours the connection did."""
    cause = error.__cause__
    kind: Any = lm15.TransportError
    if isinstance(cause, TidyllmError) and not isinstance(cause, StreamInterrupted):
        kind = next((theirs for ours, theirs in _KINDS if isinstance(cause, ours)), kind)
    return kind(str(error), **_where(error))
