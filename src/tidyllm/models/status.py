"""The HTTP status with which a caller learns of an error, the same in every format. It knows no bodies."""

from __future__ import annotations

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ConfigError,
    ContentRefused,
    LimitExceeded,
    ModelNotFound,
    NotCached,
    Overloaded,
    RateLimited,
    Refused,
    StoreDown,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    Unreachable,
)

__all__ = ["http_status"]

# A class stands before its bases: the first one that fits decides.
_STATUS: tuple[tuple[type[TidyllmError], int], ...] = (
    (AuthError, 401),
    (ModelNotFound, 404),
    (BadRequest, 400),  # with ContextTooLong and Unsupported
    (ContentRefused, 400),
    (ConfigError, 400),
    (RateLimited, 429),
    (LimitExceeded, 429),
    (NotCached, 504),
    (Refused, 503),  # with BreakerOpen
    (StoreDown, 503),
    (TimeoutExceeded, 504),
    (Overloaded, 502),
    (Unreachable, 502),
    (BadAnswer, 502),
    (StreamInterrupted, 502),
)

_SLOW_DOWN = frozenset({"engine_overloaded_error", "overloaded_error"})
"""What providers call a 529, in bodies and in streams."""


def http_status(error: TidyllmError) -> int:
    """The status for `error`; 500 for what is nobody's fault but ours.

    A provider that answers 529, or says so inside of an answer, asks us to slow down, and so we ask the caller (429);
    its other failures are 502: the caller did nothing wrong. An `AuthError` is 401 here, whoever's key it was: a
    gateway whose key a provider refused must not pass that on as the caller's fault.
    """
    if isinstance(error, Overloaded) and (error.status == 529 or error.code in _SLOW_DOWN):
        return 429
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 500
