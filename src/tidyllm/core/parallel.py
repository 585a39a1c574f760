"""Several steps on one input at the same time. It knows their order and how many may run at once, not what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from collections.abc import Sequence as Pieces
from typing import Any, Generic, TypeAlias, TypeVar, cast, overload

import msgspec

from tidyllm.core.context import Context
from tidyllm.core.sequence import bracketed
from tidyllm.core.step import Step, as_step, segments
from tidyllm.errors import StepError

__all__ = ["Failed", "Ok", "Outcome", "Parallel"]

I = TypeVar("I")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
T = TypeVar("T")


class Ok(msgspec.Struct, Generic[T], frozen=True):
    """A branch that succeeded, when outcomes are collected."""

    value: T


class Failed(msgspec.Struct, frozen=True):
    """A branch that failed, when outcomes are collected."""

    error: Exception


Outcome: TypeAlias = Ok[T] | Failed


class Parallel(Step[I_contra, O_co]):
    """`a | b`, or `Parallel(a, b, …)` for a tuple in order, or `Parallel(left=a, right=b)` for a dict by name.

    - When a branch fails, the others are cancelled and waited for, and its error is raised.
    - `collect=True`: all run to their end; each answer is an `Ok` or a `Failed`. A failure is never content.
    - `limit`: how many branches run at once; default: all.

    Stream pieces are `(branch, piece)`; `branch` is the index or the name.
    """

    @overload
    def __init__(self: Parallel[I, tuple[A, B]], a: Step[I, A], b: Step[I, B], /) -> None: ...
    @overload
    def __init__(self: Parallel[I, tuple[A, B, C]], a: Step[I, A], b: Step[I, B], c: Step[I, C], /) -> None: ...
    @overload
    def __init__(self: Parallel[I, dict[str, A]], /, **named: Step[I, A]) -> None: ...
    @overload
    def __init__(
        self, /, *steps: Any, limit: int | None = None, collect: bool = False, name: str | None = None, **named: Any
    ) -> None: ...
    def __init__(
        self, /, *steps: Any, limit: int | None = None, collect: bool = False, name: str | None = None, **named: Any
    ) -> None:
        """:raises StepError: no branch, both kinds of branches, or a limit below 1."""
        if bool(steps) == bool(named):
            raise StepError("Parallel takes branches in order, or branches by name, and at least one of them.")
        if limit is not None and limit < 1:
            raise StepError(f"Parallel(limit={limit}): at least one branch must be allowed to run.")
        self.keys: tuple[int | str, ...] = tuple(named) if named else tuple(range(len(steps)))
        self.steps: tuple[Step[Any, Any], ...] = tuple(map(as_step, named.values() if named else steps))
        self.limit = limit
        self.collect = collect
        self._is_dict = bool(named)
        self._is_named = name is not None
        places = tuple(named) if named else segments([one.name for one in self.steps])
        self._children = tuple(zip(self.steps, places, strict=True))
        super().__init__(name or repr(self))

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        gate = asyncio.Semaphore(self.limit) if self.limit else None
        tasks = [
            asyncio.create_task(_gated(gate, ctx.run_child(step, x, place)) if gate else ctx.run_child(step, x, place))
            for step, place in self._children
        ]
        try:
            if self.collect:
                await asyncio.wait(tasks)
            else:
                await asyncio.gather(*tasks)
        except BaseException:
            await _stop(tasks)
            raise
        if self.collect:
            return self._shape([_outcome(task) for task in tasks])
        return self._shape([task.result() for task in tasks])

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        # One place in the queue: a branch goes on only when the reader has taken its piece.
        queue: asyncio.Queue[tuple[int | str, Any, BaseException | None, bool]] = asyncio.Queue(1)
        gate = asyncio.Semaphore(self.limit or len(self.steps))

        async def pump(key: int | str, step: Step[Any, Any], place: str) -> None:
            async with gate:
                pieces = ctx.stream_child(step, x, place)
                try:
                    async for piece in pieces:
                        await queue.put((key, Ok(piece) if self.collect else piece, None, False))
                except Exception as error:
                    await queue.put((key, None, error, True))
                    return
                finally:
                    await pieces.aclose()
                await queue.put((key, None, None, True))

        tasks = [
            asyncio.create_task(pump(key, step, place))
            for key, (step, place) in zip(self.keys, self._children, strict=True)
        ]
        try:
            running = len(tasks)
            while running:
                key, piece, error, over = await queue.get()
                if error is not None:
                    if not self.collect:
                        raise error
                    yield key, Failed(cast("Exception", error))
                elif not over:
                    yield key, piece
                running -= over
        finally:
            await _stop(tasks)

    def join(self, pieces: Pieces[Any]) -> O_co:
        answers: list[Any] = []
        for key, step in zip(self.keys, self.steps, strict=True):
            mine = [piece for branch, piece in pieces if branch == key]
            if not self.collect:
                answers.append(step.join(mine))
            elif mine and isinstance(mine[-1], Failed):
                answers.append(mine[-1])
            else:
                answers.append(Ok(step.join([piece.value for piece in mine])))
        return self._shape(answers)

    @property
    def joins_like(self) -> object:
        return self

    def _shape(self, answers: list[Any]) -> O_co:
        return cast("O_co", dict(zip(self.keys, answers, strict=True)) if self._is_dict else tuple(answers))

    @overload
    def __or__(
        self: Parallel[I, tuple[A, B]], other: Step[I, C]
    ) -> Parallel[I, tuple[A, B, C]]: ...
    @overload
    def __or__(
        self: Parallel[I, tuple[A, B, C]], other: Step[I, D]
    ) -> Parallel[I, tuple[A, B, C, D]]: ...
    @overload
    def __or__(self, other: Any) -> Parallel[I_contra, tuple[Any, ...]]: ...
    def __or__(self, other: Any) -> Any:
        """`a | b | c` is one Parallel of three: `|` groups to the left. Options or names make it a unit of its own."""
        plain = not (self._is_dict or self.collect or self.limit or self._is_named)
        if not callable(other):
            return NotImplemented
        return Parallel(*self.steps, other) if plain else Parallel(self, other)

    def __repr__(self) -> str:
        options = [f"{key}={value!r}" for key, value in (("limit", self.limit), ("collect", self.collect)) if value]
        if self._is_named:
            options.append(f"name={self.name!r}")
        if self._is_dict:
            options = [f"{key}={step!r}" for key, step in zip(self.keys, self.steps, strict=True)] + options
            return f"Parallel({', '.join(options)})"
        if options or len(self.steps) == 1:
            return f"Parallel({', '.join([*map(repr, self.steps), *options])})"
        return " | ".join(bracketed(step) for step in self.steps)

    def named(self, name: str) -> Parallel[I_contra, O_co]:
        twin = super().named(name)
        twin._is_named = True
        return twin


async def _gated(gate: asyncio.Semaphore, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        await gate.acquire()
    except BaseException:
        work.close()
        raise
    try:
        return await work
    finally:
        gate.release()


def _outcome(task: asyncio.Task[Any]) -> Ok[Any] | Failed:
    if task.cancelled():
        raise asyncio.CancelledError
    error = task.exception()
    if error is None:
        return Ok(task.result())
    if isinstance(error, Exception):
        return Failed(error)
    raise error


async def _stop(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
