"""Steps that can be undone. It knows their order and what is done already, not what any of them does."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast, final, overload

import msgspec

from tidyllm.core import Context, Step, as_step
from tidyllm.core.names import segments
from tidyllm.errors import ConfigError, SagaFailed
from tidyllm.resilience.checks import duration
from tidyllm.resilience.wrapped import Wrapped, renamed

__all__ = ["Done", "Saga"]

I = TypeVar("I")  # noqa: E741 - the field's name for an input type
O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
B = TypeVar("B")
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Done(msgspec.Struct, Generic[I, O], frozen=True):
    """What a compensation is given: an action that ran to its end."""

    input: I
    output: O


_Action: TypeAlias = Wrapped[I, O] | tuple[Wrapped[I, O], Wrapped[Done[I, O], Any] | None]


class _Part(NamedTuple):
    step: Step[Any, Any]
    compensation: Step[Any, Any] | None
    place: str


@final
class Saga(Step[I_contra, O_co]):
    """`Saga((book, cancel_booking), (charge, refund), send)`: each action gets the answer of the one before.

    When an action fails, or the run is cancelled, the actions that ran to their end are compensated in reverse
    order: the compensation gets `Done(input, output)` of its action. An action without one stands alone or beside
    None. The action that failed is not compensated: it must leave nothing behind itself, or be split.

    - `compensation_timeout`: seconds for each compensation. They are shielded: neither the deadline nor a
      cancellation stops them, so they need a limit of their own. 30: long enough for a retried call.

    After that the error of the action goes on, or the cancellation. When a compensation fails, the others still
    run, and `SagaFailed` names what could not be undone, from the error; a cancellation stays one, and what could not
    be undone is in the log and in a note of it.

    :raises ConfigError: there is no action, or something that is neither an action nor a pair.
    """

    @overload
    def __init__(
        self: Saga[I, O],
        a: _Action[I, O],
        /,
        *,
        compensation_timeout: float | timedelta = ...,
        name: str | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Saga[I, O],
        a: _Action[I, A],
        b: _Action[A, O],
        /,
        *,
        compensation_timeout: float | timedelta = ...,
        name: str | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: Saga[I, O],
        a: _Action[I, A],
        b: _Action[A, B],
        c: _Action[B, O],
        /,
        *,
        compensation_timeout: float | timedelta = ...,
        name: str | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        a: Any,
        b: Any,
        c: Any,
        d: Any,
        /,
        *more: Any,
        compensation_timeout: float | timedelta = ...,
        name: str | None = ...,
    ) -> None: ...
    def __init__(
        self, *actions: Any, compensation_timeout: float | timedelta = 30.0, name: str | None = None
    ) -> None:
        if not actions:
            raise ConfigError("a Saga needs at least one action.")
        pairs: list[tuple[Step[Any, Any], Step[Any, Any] | None]] = []
        for given in actions:
            pair = cast("tuple[Any, ...]", given if isinstance(given, tuple) else (given, None))
            if len(pair) != 2:
                raise ConfigError(
                    f"{pair!r} is no action with its compensation: expected two, not {len(pair)}."
                )
            action, undo = pair
            pairs.append((as_step(action), None if undo is None else as_step(undo)))
        places = segments([action.name for action, _ in pairs])
        self.actions = tuple(_Part(*pair, place) for pair, place in zip(pairs, places, strict=True))
        self.compensation_timeout = duration("Saga.compensation_timeout", compensation_timeout)
        super().__init__(name or self._default_name)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        value: Any = x
        done: list[tuple[_Part, Done[Any, Any]]] = []
        for action in self.actions:
            try:
                answer = await ctx.run_child(action.step, value, action.place)
            except (Exception, asyncio.CancelledError) as error:
                if not done:
                    raise
                raise await self._undo(action.place, error, done, ctx)  # noqa: B904 - it bears its cause already
            done.append((action, Done(value, answer)))
            value = answer
        return cast("O_co", value)

    async def _undo(
        self, failed: str, error: BaseException, done: list[tuple[_Part, Done[Any, Any]]], ctx: Context
    ) -> BaseException:
        """Compensate what is done, whatever happens meanwhile; returns what is to be raised then."""
        # A task of its own: the cancellation of ours does not reach it.
        task = asyncio.create_task(self._compensate(done, ctx))
        cancelled = error if isinstance(error, asyncio.CancelledError) else None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as late:
                cancelled = late
        left = task.result()
        if left:
            failure = SagaFailed(failed, error, left)
            failure.__cause__ = error
            if cancelled is None:
                return failure
            logging.getLogger("tidyllm").error("%s was cancelled: %s", self.name, failure)
            cancelled.add_note(str(failure))
            return cancelled
        error.add_note(f"{self.name} has compensated what was done before {failed!r}.")
        return cancelled or error

    async def _compensate(
        self, done: list[tuple[_Part, Done[Any, Any]]], ctx: Context
    ) -> list[tuple[str, BaseException]]:
        """Undo in reverse; what could not be undone, with its error."""
        left: list[tuple[str, BaseException]] = []
        limit = self.compensation_timeout
        for action, record in reversed(done):
            if action.compensation is None:
                continue
            try:
                # The run's deadline may have passed, and that is perhaps why we are here.
                await ctx.shielded(limit).call(action.compensation, record, f"undo {action.step.name}")
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the others must run all the same
                left.append((action.place, error))
        return left

    def __repr__(self) -> str:
        inside = [
            repr(action.step)
            if action.compensation is None
            else f"({action.step!r}, {action.compensation!r})"
            for action in self.actions
        ]
        if self.compensation_timeout != 30.0:
            inside.append(f"compensation_timeout={self.compensation_timeout!r}")
        return f"Saga({', '.join(inside)}){renamed(self, self._default_name)}"

    @property
    def _default_name(self) -> str:
        return f"Saga({', '.join(action.place for action in self.actions)})"
