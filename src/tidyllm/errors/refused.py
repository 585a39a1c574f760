"""Said no before any work was done."""

from __future__ import annotations

from tidyllm.errors.base import TidyllmError

__all__ = ["BreakerOpen", "BudgetExceeded", "LimitExceeded", "NotCached", "PriceUnknown", "Refused"]


class Refused(TidyllmError):
    """We said no before any work was done. `retry_after` is the seconds after which it may be allowed, if known."""

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BreakerOpen(Refused):
    """The circuit breaker `name` is open: recent calls failed. Not retryable: a retry would only meet it again.

    `retry_after` is None while a probe is under way: nobody knows when it will be back.
    """

    retryable = False

    def __init__(self, name: str, *, failures: int, window: float, retry_after: float | None) -> None:
        wait = None if retry_after is None else max(retry_after, 0.0)
        probe = "a probe is under way" if wait is None else f"next probe in {wait:.2f} s"
        super().__init__(
            f"circuit breaker {name!r} is open after {failures} failures within {window:g} s; {probe}.",
            retry_after=wait,
            hint="Fall back to another target, or wait for the probe.",
        )
        self.name = name
        self.failures = failures
        self.window = window


class LimitExceeded(Refused):
    """A limit has no room now and the caller would not (or could not, before its deadline) wait."""

    default_hint = "Try again later, raise the limit, or fall back to another target."


class NotCached(Refused):
    """The caller wanted a kept answer or none (`only-if-cached`), and none is kept. Nothing was sent."""

    retryable = False
    default_hint = "Leave out only-if-cached to have the model asked."


class BudgetExceeded(Refused):
    """A budget has less left than an attempt can cost. Not retryable: a cheaper target may still fit.

    Amounts are strings of US dollars, exact. `limit_usd` is the cap; of it `spent_usd` is gone (amounts in doubt
    included) and `reserved_usd` is set aside for calls under way. `window_ends_at` is when the cap is whole again, in
    seconds since 1970; None when it never is. `retry_after` is the seconds until enough of it will be free.
    """

    retryable = False

    def __init__(
        self,
        name: str,
        *,
        what: str,
        asked_usd: str,
        limit_usd: str,
        spent_usd: str,
        reserved_usd: str,
        window: str = "none",
        window_ends_at: float | None = None,
        retry_after: float | None = None,
    ) -> None:
        rolls = (
            "" if retry_after is None else f" Its window ({window}) has room again in {retry_after:.0f} s."
        )
        super().__init__(
            f"{what} may cost ${asked_usd}, but budget {name!r} of ${limit_usd} has ${spent_usd} spent and "
            f"${reserved_usd} reserved for calls under way.{rolls}",
            retry_after=retry_after,
            hint="Raise the limit, lower the output cap, or fall back to a cheaper model.",
        )
        self.name = name
        self.what = what
        self.asked_usd = asked_usd
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = reserved_usd
        self.window = window
        self.window_ends_at = window_ends_at


class PriceUnknown(Refused):
    """The call stands under a budget and the most it can cost is not known. `budget` names the one that refused."""

    retryable = False
    default_hint = (
        "Tell the catalogue its prices and output cap: catalog: {'provider/model': {prices: {input: '1.25', "
        "output: '10'}, context_window_tokens: 128000, max_output_tokens: 16000}} (dollars per million tokens), "
        "or send an output cap with the request. Tools that the provider runs need `fees` there, and max_tool_calls."
    )

    def __init__(self, budget: str, *, what: str) -> None:
        super().__init__(f"the most that {what} can cost is unknown, and budget {budget!r} has a limit.")
        self.budget = budget
        self.what = what
