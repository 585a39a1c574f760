"""Several steps on one input at the same time. It knows their order and how many may run at once, not what they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from collections.abc import Sequence as Pieces
from typing import Any, Generic, Literal, TypeAlias, TypeVar, TypeVarTuple, overload

import msgspec

from tidyllm.core.context import Context
from tidyllm.core.group import finish
from tidyllm.core.interleave import interleave
from tidyllm.core.names import check_name, segments
from tidyllm.core.step import Step, as_step, bracketed, joined_names
from tidyllm.errors import StepError

__all__ = ["Beside", "Failed", "Ok", "Outcome", "Parallel"]

I = TypeVar("I")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Ok(msgspec.Struct, Generic[T], frozen=True):
    """A branch that succeeded, when outcomes are collected."""

    value: T


class Failed(msgspec.Struct, frozen=True):
    """A branch that failed, when outcomes are collected."""

    error: Exception


Outcome: TypeAlias = Ok[T] | Failed


class Parallel(Step[I_contra, O_co]):
    """`a | b`, or `Parallel(a, b)` for a tuple in order, or `Parallel(left=a, right=b)` for a dict by name.

    Names that are no Python names, or are those of options, go in a dict: `Parallel({"name": a, "e-mail": b})`.

    - When a branch fails, the others are cancelled and waited for, and its error is raised (with a note for each
      other failure).
    - `collect=True`: all run to their end; each answer is an `Ok` or a `Failed`. A failure is never content.
    - `limit`: how many branches run at once; default: all.

    Pieces of a stream are `(branch, piece)`; `branch` is the index or the name.
    """

    @overload
    def __init__(
        self: Parallel[I, tuple[A, B]], a: Step[I, A], b: Step[I, B], /, *,
        limit: int | None = None, collect: Literal[False] = False, name: str | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Parallel[I, tuple[A, B, C]], a: Step[I, A], b: Step[I, B], c: Step[I, C], /, *,
        limit: int | None = None, collect: Literal[False] = False, name: str | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Parallel[I, tuple[Outcome[A], Outcome[B]]], a: Step[I, A], b: Step[I, B], /, *,
        limit: int | None = None, collect: Literal[True], name: str | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(
        self: Parallel[I, dict[str, A]], branches: Mapping[str, Step[I, A]], /, *,
        limit: int | None = None, collect: Literal[False] = False, name: str | None = None,
    ) -> None: ...  # fmt: skip
    @overload
    def __init__(self: Parallel[I, dict[str, A]], /, **named: Step[I, A]) -> None: ...
    @overload
    def __init__(
        self: Parallel[Any, Any],
        /,
        *steps: Any,
        limit: int | None = None,
        collect: bool = False,
        name: str | None = None,
        **named: Any,
    ) -> None: ...
    def __init__(
        self, /, *steps: Any, limit: Any = None, collect: Any = False, name: Any = None, **named: Any
    ) -> None:
        """:raises StepError: no branch, both kinds of branches, or an option that is none."""
        _check_options(limit, collect, name)
        if len(steps) == 1 and isinstance(steps[0], Mapping):
            named = {**steps[0], **named}
            steps = ()
        if bool(steps) == bool(named):
            raise StepError(
                "Parallel takes branches in order, or branches by name, and at least one of them.",
                hint="Write Parallel(a, b) or Parallel(left=a, right=b).",
            )
        self.keys: tuple[int | str, ...] = (
            tuple(map(check_name, named)) if named else tuple(range(len(steps)))
        )
        self.steps: tuple[Step[Any, Any], ...] = tuple(map(as_step, named.values() if named else steps))
        self.limit: int | None = limit
        self.collect: bool = collect
        self.is_dict = bool(named)
        self.is_named = name is not None
        self._children = tuple(
            zip(self.steps, tuple(named) or segments(one.name for one in self.steps), strict=True)
        )
        default = f"Parallel({', '.join(named)})" if named else joined_names(self.steps, "|")
        super().__init__(default if name is None else name)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        gate = asyncio.Semaphore(self.limit) if self.limit else None
        tasks: list[asyncio.Task[Any]] = []
        try:
            for step, place in self._children:
                work = ctx.run_child(step, x, place)
                tasks.append(
                    asyncio.create_task(
                        _gated(gate, work, self.collect) if gate else work, name=f"branch {place!r}"
                    )
                )
            await finish(tasks, fail_fast=not self.collect)
            return self._shape([_outcome(task) if self.collect else task.result() for task in tasks])
        finally:
            del tasks  # they hold the error whose traceback holds this frame

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """`(branch, piece)` as they come; a piece waits until the reader has taken the one before."""
        streams = [(lambda s=step, p=place: ctx.stream_child(s, x, p)) for step, place in self._children]
        pieces = interleave(streams, at_once=self.limit or len(streams), fail_fast=not self.collect)
        try:
            async for branch, piece, error in pieces:
                if not self.collect:
                    yield self.keys[branch], piece
                else:
                    yield self.keys[branch], Ok(piece) if error is None else Failed(error)
        finally:
            await pieces.aclose()

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

    def split(self, answer: Any) -> Pieces[Any]:
        pieces: list[Any] = []
        for key, step, mine in zip(
            self.keys, self.steps, answer.values() if self.is_dict else answer, strict=True
        ):
            if not self.collect:
                pieces.extend((key, piece) for piece in step.split(mine))
            elif isinstance(mine, Failed):
                pieces.append((key, mine))
            else:
                pieces.extend((key, Ok(piece)) for piece in step.split(mine.value))
        return pieces

    @property
    def joins_like(self) -> object:
        return self.keys, self.collect, tuple(step.joins_like for step in self.steps)

    def _shape(self, answers: list[Any]) -> Any:
        return dict(zip(self.keys, answers, strict=True)) if self.is_dict else tuple(answers)

    def named(self, name: str) -> Parallel[I_contra, O_co]:
        branches: Any = (dict(zip(self.keys, self.steps, strict=True)),) if self.is_dict else self.steps
        return Parallel(*branches, limit=self.limit, collect=self.collect, name=check_name(name))

    def _identity(self) -> tuple[object, ...]:
        return self.keys, self.steps, self.limit, self.collect, self.is_named, self.name

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Parallel) else NotImplemented

    def __hash__(self) -> int:
        return hash((Parallel, self.keys, self.steps, self.name))

    def __repr__(self) -> str:
        options = [
            f"{key}={value!r}" for key, value in (("limit", self.limit), ("collect", self.collect)) if value
        ]
        if self.is_named:
            options.append(f"name={self.name!r}")
        if not self.is_dict:
            branches = list(map(repr, self.steps))
        elif all(isinstance(key, str) and key.isidentifier() and key not in _OPTIONS for key in self.keys):
            branches = [f"{key}={step!r}" for key, step in zip(self.keys, self.steps, strict=True)]
        else:
            inside = ", ".join(f"{key!r}: {step!r}" for key, step in zip(self.keys, self.steps, strict=True))
            branches = [f"{{{inside}}}"]
        return f"Parallel({', '.join(branches + options)})"


class Beside(Parallel[I_contra, O_co]):
    """What the operator makes: `a | b | c` is one of three, while a `Parallel(a, b)` beside `c` stays a unit."""

    def __init__(self, first: Any, second: Any) -> None:
        """:raises StepError: something that cannot be a step."""
        self.is_expression = True
        steps = first.steps if isinstance(first, Beside) else (first,)
        super().__init__(*steps, second)

    # `|` groups to the left: `a | b | c` is one of three, which the operator of a plain step cannot say.
    @overload
    def __or__(self: Beside[I, tuple[*Ts]], other: Step[I, T]) -> Beside[I, tuple[*Ts, T]]: ...
    @overload
    def __or__(
        self: Beside[I, tuple[*Ts]], other: Callable[[I], Awaitable[T]]
    ) -> Beside[I, tuple[*Ts, T]]: ...
    @overload
    def __or__(self: Beside[I, tuple[*Ts]], other: Callable[[I], T]) -> Beside[I, tuple[*Ts, T]]: ...
    @overload
    def __or__(
        self: Beside[I, tuple[*Ts]], other: Callable[[I, Context], Awaitable[T]]
    ) -> Beside[I, tuple[*Ts, T]]: ...
    @overload
    def __or__(self: Beside[I, tuple[*Ts]], other: Callable[[I, Context], T]) -> Beside[I, tuple[*Ts, T]]: ...
    def __or__(self, other: Any) -> Beside[Any, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return Beside(self, other) if callable(other) else NotImplemented

    def __repr__(self) -> str:
        return " | ".join(map(bracketed, self.steps))


_OPTIONS = {"limit", "collect", "name"}


def _check_options(limit: object, collect: object, name: object) -> None:
    for option, value, kind in (("limit", limit, int), ("collect", collect, bool), ("name", name, str)):
        if value is not None and not isinstance(value, kind):
            raise StepError(
                f"Parallel({option}={value!r}): {option} is an option, not a branch.",
                hint=f"Give branches with such names in a dict: Parallel({{{option!r}: …}}).",
            )
    if isinstance(limit, int) and limit < 1:
        raise StepError(f"Parallel(limit={limit}): at least one branch must be allowed to run.")


async def _gated(gate: asyncio.Semaphore, work: Coroutine[Any, Any, Any], collect: bool) -> Any:
    try:
        await gate.acquire()
    except BaseException:
        work.close()
        raise
    try:
        answer = await work
    except Exception:
        if collect:
            gate.release()  # else nobody else is to start: all will be cancelled
        raise
    gate.release()
    return answer


def _outcome(task: asyncio.Task[Any]) -> Ok[Any] | Failed:
    error = None if task.cancelled() else task.exception()
    # A cancellation is not an outcome: `result` raises it.
    return Failed(error) if isinstance(error, Exception) else Ok(task.result())
