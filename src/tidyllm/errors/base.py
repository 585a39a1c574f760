"""What every error has, and those of steps and their clocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

__all__ = ["ConfigError", "NobodyToAsk", "SagaFailed", "StepError", "TidyllmError", "TimeoutExceeded"]


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


class TimeoutExceeded(TidyllmError, TimeoutError):
    """A clock ran out. `clock` is which: `total`, `first_piece`, `gap` or `deadline`; `seconds` is its setting.

    For the deadline, `seconds` is what was left of it when the call began; 0 when it had passed by then.
    `setting`: what the clock's setting is called where it was written, if not like the clock.
    `partial`: where a run's deadline broke a stream, what had come of it, joined (of a model a `Response`: its text,
    usage and cost as far as they are known); else None. Other clocks break a stream with `StreamInterrupted`.
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
        self.partial: Any = None
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
