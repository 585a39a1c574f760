"""The one tree of errors. It knows nothing of steps, models or HTTP: only what went wrong and what the caller can do.

    TidyllmError
    ├── ConfigError                 a file or an argument is wrong before anything ran
    ├── StepError                   a program breaks a rule of composition
    │   └── NobodyToAsk             `ctx.ask` without anyone to answer
    ├── Refused                     we said no before any work was done
    │   ├── BreakerOpen             the circuit breaker is open
    │   ├── LimitExceeded           no free slot or token, and the caller would not wait
    │   ├── NotCached               the caller wanted a kept answer or none, and none is kept
    │   ├── BudgetExceeded          the most that a call can cost is more than a budget has left
    │   └── PriceUnknown            a budget cannot hold what a call of unknown price may cost
    ├── TimeoutExceeded             a clock of ours ran out (also a builtin TimeoutError)
    ├── SagaFailed                  a saga failed and some compensation failed too
    ├── StoreError                  the database cannot be used as it is, or said no
    │   └── StoreDown               the database or Redis cannot be reached now
    └── ModelError                  a provider said no, or said nothing usable
        ├── AuthError               key missing, wrong or without permission
        ├── BadRequest              the provider (or we, before it) cannot take the request
        │   ├── ContextTooLong      more tokens than the model's window
        │   ├── ModelNotFound       no such model there
        │   └── Unsupported         a field which this provider has no place for
        ├── ContentRefused          a content filter stopped it
        ├── RateLimited             too many requests or tokens; `retry_after` seconds if it was said
        ├── Overloaded              the provider is busy or broken (5xx)
        ├── Unreachable             no connection, or it broke before the answer
        ├── BadAnswer               the answer is not what the format promises
        └── StreamInterrupted       a stream ended early; `partial` holds what had come

Each class says whether trying again can help (`retryable`) and what to do (`hint`). Every error survives pickling.
Cancellation is not an error and never becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

__all__ = [
    "AuthError",
    "BadAnswer",
    "BadRequest",
    "BreakerOpen",
    "BudgetExceeded",
    "ConfigError",
    "ContentRefused",
    "ContextTooLong",
    "LimitExceeded",
    "ModelError",
    "ModelNotFound",
    "NobodyToAsk",
    "NotCached",
    "Overloaded",
    "PriceUnknown",
    "RateLimited",
    "Refused",
    "SagaFailed",
    "StepError",
    "StoreDown",
    "StoreError",
    "StreamInterrupted",
    "TidyllmError",
    "TimeoutExceeded",
    "Unreachable",
    "Unsupported",
]


def _restore(cls: type[TidyllmError], args: tuple[Any, ...], state: dict[str, Any]) -> TidyllmError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TidyllmError(Exception):
    """Base of every error we raise.

    `message` says what happened and what was expected; `hint` says what to do. `str(error)` is both.
    """

    retryable: bool = False
    """Whether the same call may succeed when it is tried again."""
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which fails for every signature but (message).
        return _restore, (type(self), self.args, self.__dict__)


class ConfigError(TidyllmError):
    """A configuration file or an argument is wrong. `where` names it (`models.fast.retry.attempts`), if known."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.where = where


class StepError(TidyllmError):
    """A program breaks a rule of composition: a name used twice at once, a key without a branch."""


class NobodyToAsk(StepError):
    """`ctx.ask(question)` was called where no one can answer."""

    default_hint = "Run it in a context made with `asker=`, or decide without a question."

    def __init__(self, question: str, *, path: str) -> None:
        super().__init__(f"step {path!r} asked {question!r}, but this context has nobody to answer.")
        self.question = question
        self.path = path


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
        "or send an output cap with the request."
    )

    def __init__(self, budget: str, *, what: str) -> None:
        super().__init__(f"the most that {what} can cost is unknown, and budget {budget!r} has a limit.")
        self.budget = budget
        self.what = what


class TimeoutExceeded(TidyllmError, TimeoutError):
    """A clock ran out. `clock` is which: `total`, `first_piece`, `gap` or `deadline`; `seconds` is its setting.

    For the deadline, `seconds` is what was left of it when the call began; 0 when it had passed by then.
    `setting`: what the clock's setting is called where it was written, if not like the clock.
    """

    retryable = True

    def __init__(
        self, clock: str, seconds: float, *, what: str, setting: str | None = None, hint: str | None = None
    ) -> None:
        setting = setting or clock
        if clock == "deadline":
            # What is left of 3 s when the call begins is 2.999987 s: nobody asked for that.
            within = f"did not finish before the deadline, {float(f'{seconds:.3g}'):g} s after it began"
            message = f"{what} {within if seconds > 0 else 'was not begun: the deadline had passed'}."
        else:
            meaning = {"first_piece": "sent no first piece", "gap": "sent nothing more"}
            message = f"{what} {meaning.get(clock, 'did not finish')} within {seconds:g} s ({setting})."
        super().__init__(message, hint=_CLOCK_HINTS.get(clock, "").format(setting) if hint is None else hint)
        self.clock = clock
        self.seconds = seconds
        self.what = what
        # An expired deadline belongs to the whole run: trying again cannot help. The other clocks are per attempt.
        self.retryable = clock != "deadline"


_CLOCK_HINTS = {
    "total": "Raise {}=…, or let it do less at once.",
    "first_piece": "Raise first_piece=…, or fall back to a target that starts sooner.",
    "gap": "Raise gap=…, or fall back to a target that does not stall.",
    "deadline": "Give the run a later deadline, or let it do less.",
}


class SagaFailed(TidyllmError):
    """A saga's step failed and at least one compensation failed too: `uncompensated` names what is left as it was."""

    def __init__(
        self, step: str, error: BaseException, uncompensated: Sequence[tuple[str, BaseException]]
    ) -> None:
        names = ", ".join(f"{name!r} ({type(e).__name__}: {e})" for name, e in uncompensated)
        super().__init__(
            f"step {step!r} failed ({type(error).__name__}: {error}) and these could not be undone: {names}.",
            hint="Undo them by hand; the other steps were compensated in reverse order.",
        )
        self.step = step
        self.error = error
        self.uncompensated = tuple(uncompensated)


class StoreError(TidyllmError):
    """The database cannot be used as it is (corrupt, of a newer version, not ours), or refused what it was told.

    The cause is in `__cause__`, if a driver said no. Neither holds a password or the values that were to be written.
    """


class StoreDown(StoreError):
    """The database or Redis cannot be reached now, or has no room.

    What was asked for was not done; where the connection broke before the answer, the message says that nobody knows.
    """

    retryable = True
    default_hint = "See whether its server runs and its disk has room, then try again."


class ModelError(TidyllmError):
    """A provider said no, or said nothing usable.

    `provider` and `model` name the target; `status` is the HTTP status, `request_id` the provider's id of the call,
    `code` its own error code, `provider_message` its own words; each None when it did not say.
    `retry_after` is in seconds, None when the provider did not ask for a pause.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        provider_message: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.request_id = request_id
        self.provider_message = provider_message
        self.retry_after = retry_after

    def at(
        self, *, provider: str | None = None, model: str | None = None, request_id: str | None = None
    ) -> Self:
        """Fill in where it happened, where that is not known yet; returns itself."""
        self.provider = self.provider or provider
        self.model = self.model or model
        self.request_id = self.request_id or request_id
        return self

    def __str__(self) -> str:
        where = "/".join(part for part in (self.provider, self.model) if part)
        tail = f" [request {self.request_id}]" if self.request_id else ""
        return f"{where}: {super().__str__()}{tail}" if where else f"{super().__str__()}{tail}"


class AuthError(ModelError):
    """The key is missing, wrong, or may not do this (401, 403)."""

    default_hint = "Check the API key of this provider and its permissions."


class BadRequest(ModelError):
    """The request cannot be taken as it is (400, 404, 413, 422). `field` names the culprit, if known."""

    def __init__(self, message: str, *, field: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.field = field


class ContextTooLong(BadRequest):
    """The prompt, or prompt plus answer, is longer than the model's window."""

    default_hint = "Shorten the prompt, lower max_output_tokens, or use a model with a larger window."


class ModelNotFound(BadRequest):
    """The provider does not know this model (or this key may not see it)."""

    default_hint = "Check the model's name at this provider."


class Unsupported(BadRequest):
    """`field` has no place in this provider's format: nothing was sent."""

    default_hint = (
        "Leave it out, use another provider, or make this one lenient (`lenient=True`; in a gateway's file "
        "`lenient: true`), which leaves it out and reports that."
    )

    def __init__(self, field: str, *, format: str, why: str | None = None, hint: str | None = None) -> None:
        because = f": {why}" if why else ""
        super().__init__(f"{field!r} cannot be sent in the {format} format{because}.", field=field, hint=hint)
        self.format = format


class ContentRefused(ModelError):
    """A content filter of the provider stopped the prompt or the answer."""

    default_hint = "Change the prompt; the same one will be refused again."


class RateLimited(ModelError):
    """Too many requests or tokens (429). `retry_after` seconds, when the provider said so."""

    retryable = True
    default_hint = "Wait retry_after seconds if given, send less, or fall back to another target."


class Overloaded(ModelError):
    """The provider is busy or broken on its side (500, 502, 503, 504, 529)."""

    retryable = True
    default_hint = "Try again later, or fall back to another target."


class Unreachable(ModelError):
    """No connection could be made, or it broke before a whole answer came."""

    retryable = True
    sent: bool = True
    """False: nothing of the request left this machine, so that it cannot have been billed."""
    default_hint = "Check base_url, the network and the proxy settings."


class BadAnswer(ModelError):
    """The answer does not keep to the provider's format: no JSON, a missing field, an unreadable stream event."""

    retryable = True
    default_hint = "Try again; if it stays so, this base_url does not speak the format it is configured for."


class StreamInterrupted(ModelError):
    """A stream ended before its end marker, after pieces had reached the caller.

    `partial` is the `Response` joined from the pieces that came (text, usage, cost as far as they are known), or
    whatever the streaming step's `join` makes of them. It is never started over silently, therefore not retryable.
    """

    default_hint = "What came is in error.partial; ask again for a whole answer."

    def __init__(self, message: str, *, partial: Any = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.partial = partial
