"""Another step when the first one failed. It knows the order of the targets, not what they do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar, final

from tidyllm.core import Context, FellBack, Step, as_step
from tidyllm.core.head import MOST_HEADS, is_head
from tidyllm.errors import ConfigError, Refused, StepError, StreamInterrupted, TidyllmError
from tidyllm.resilience.again import run_again, stream_again
from tidyllm.resilience.partial import collector, interrupted
from tidyllm.resilience.policy import Errors, describe, judge, worth_another_target, worth_retrying
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Fallback"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class Fallback(Step[I_contra, O_co]):
    """`Fallback(a, b, c)`: runs `a`; when it fails and another target can help, `b`, then `c`.

    - `on`: the errors to act on: a class, several, or a function of the error. Default: every error but those that any
      target would give again: the caller's own fault (`BadRequest`, but not `ContextTooLong`, `ModelNotFound` and
      `Unsupported`, which depend on the target), an expired deadline, faults of the program (`StepError`,
      `ConfigError`), and what was half done (`StreamInterrupted`, `SagaFailed`).

    When all fail, the error that helps the caller most is raised: one that may pass (`retryable`) before one that will
    not, what a target said before our own refusals (an open breaker, a full limit), and the last of equals. Its notes
    name each target and its error.

    A stream falls back only while nothing of it has reached the reader; pieces that only announce the answer are held
    back until its first one. After that any failure is `StreamInterrupted`, from the error, with the answer so far in
    `partial`.

    :raises ConfigError: there is no target.
    """

    reports_partial = True

    def __init__(
        self,
        *steps: Wrapped[I_contra, O_co],
        on: Errors | None = None,
        name: str | None = None,
    ) -> None:
        if not steps:
            raise ConfigError("a Fallback needs at least one step.")
        self.steps: tuple[Step[I_contra, O_co], ...] = tuple(map(as_step, steps))
        self.on = on
        self._first = self.steps[0]
        self._worth = judge("Fallback.on", on, worth_another_target)
        super().__init__(name or self._default_name)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        try:
            return await self._first.invoke(x, ctx)
        except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
            failure = error
        try:
            return await self._others(x, ctx, failure)
        finally:
            del failure  # it refers to this frame: kept here, it would be garbage for the collector

    async def _others(self, x: I_contra, ctx: Context, failure: Exception) -> O_co:
        failures = [failure]
        try:
            while True:
                step = self._next(failures, ctx)
                if step is None:
                    raise failures[0]
                try:
                    return await run_again(ctx, step, x, "fallback")
                except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
                    failures.append(error)
        finally:
            del failure, failures

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        failures: list[Exception] = []
        step = self._first
        try:
            while True:
                passed = collector(step)
                begun = ended = False
                heads: list[Any] = []
                pieces = (
                    step.invoke_stream(x, ctx) if not failures else stream_again(ctx, step, x, "fallback")
                )
                try:
                    while True:
                        # Only what the step raises is caught here, not what a reader throws into this generator.
                        try:
                            piece = await anext(pieces)
                        except StopAsyncIteration:
                            ended = True
                            break
                        except Exception as error:  # noqa: BLE001 - which ones it acts on is decided later
                            failures.append(error)
                            break
                        if passed is not None:
                            passed.append(piece)
                        if not begun:
                            if is_head(piece) and len(heads) < MOST_HEADS:
                                heads.append(piece)
                                continue
                            begun = True
                            for head in heads:
                                yield head
                        yield piece
                    if ended:
                        if not begun:
                            for head in heads:
                                yield head
                        return
                finally:
                    await pieces.aclose()
                if begun:
                    raise interrupted(step, passed, failures[-1])
                following = self._next(failures, ctx, streaming=True)
                if following is None:
                    raise failures[0]
                step = following
        finally:
            del failures

    def _next(
        self, failures: list[Exception], ctx: Context, *, streaming: bool = False
    ) -> Step[I_contra, O_co] | None:
        """The next target after these failures. None when there is none: `failures[0]` is then the one to raise."""
        error, tried = failures[-1], len(failures)
        # Nothing has reached the reader: a stream that says it broke was not seen by anyone.
        unseen = streaming and self.on is None and isinstance(error, StreamInterrupted)
        helps = unseen or self._worth(error)
        if helps and tried < len(self.steps):
            step = self.steps[tried]
            if ctx.watched:
                ctx.emit(FellBack(ctx, self.steps[tried - 1].name, step.name, error))
            return step
        chosen = max(reversed(failures), key=_usefulness) if helps else error
        if tried > 1:
            for step, one in zip(self.steps, failures, strict=False):
                said = one.message if isinstance(one, TidyllmError) else one
                chosen.add_note(f"{step.name!r} failed with {type(one).__name__}: {said}")
        failures[:] = [chosen]
        return None

    def join(self, pieces: Pieces[Any]) -> O_co:
        """:raises StepError: the targets join their pieces in different ways, and nobody knows which one it was."""
        if self.joins_like is not self:
            return self._first.join(pieces)
        raise StepError(
            f"the targets of {self.name!r} join their pieces in different ways.",
            hint="Give all targets steps that stream alike.",
        )

    def split(self, answer: Any) -> Pieces[Any]:
        """As the targets do; the answer as one piece when they join pieces in different ways."""
        return self._first.split(answer) if self.joins_like is not self else super().split(answer)

    @property
    def joins_like(self) -> object:
        way = self._first.joins_like
        return way if all(step.joins_like == way for step in self.steps) else self

    def __repr__(self) -> str:
        on = "" if self.on is None else f", on={describe(self.on)}"
        return f"Fallback({', '.join(map(repr, self.steps))}{on}){renamed(self, self._default_name)}"

    @property
    def _default_name(self) -> str:
        return f"Fallback({', '.join(step.name for step in self.steps)})"


def _usefulness(error: Exception) -> tuple[bool, bool]:
    return worth_retrying(error), not isinstance(error, Refused)
