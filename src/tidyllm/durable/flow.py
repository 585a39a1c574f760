"""Programs that can be run durably: their names, versions and types. It runs and stores nothing."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from hashlib import blake2b
from types import CodeType, ModuleType
from typing import Any, Protocol, TypeVar, cast, overload

from tidyllm.core import (
    Branch,
    Context,
    FunctionStep,
    GeneratorStep,
    Parallel,
    Sequence,
    Step,
    Wrapper,
    as_step,
)
from tidyllm.core.names import check_name
from tidyllm.durable.codec import Codec
from tidyllm.durable.types import check_type, input_type, output_type

__all__ = ["Flow", "flow_of", "workflow"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Flow(Wrapper[I_contra, O_co]):
    """A step that a runtime can run: made by `@workflow`, or of any step by `workflow(step)`.

    `version` belongs to every run that it begins: given, or a hash of its source.
    """

    def __init__(
        self,
        inner: Step[I_contra, O_co] | Callable[..., Any],
        *,
        name: str | None = None,
        version: str | None = None,
    ) -> None:
        """:raises UnregisteredType: its input or answer, or that of a step it names, cannot be saved."""
        super().__init__(as_step(inner), name=name)
        self.__doc__ = getattr(self.inner, "__doc__", None)
        self._version = version
        self.input = Codec(
            input_type(self.inner), f"workflow {self.name!r}: parameter {_parameter(self.inner)!r}"
        )
        self.output = Codec(output_type(self.inner), f"workflow {self.name!r}: its answer")
        self.check()

    @property
    def version(self) -> str:
        """Of the program; the same in every process that has the same source."""
        if self._version is None:
            self._version = blake2b("\n".join(_sources(self.inner)).encode(), digest_size=6).hexdigest()
        return self._version

    def check(self) -> None:
        """:raises UnregisteredType: a step that this program names gives what cannot be saved."""
        for step in _steps(self.inner):
            check_type(output_type(step), f"workflow {self.name!r}: what step {step.name!r} gives")

    def named(self, name: str) -> Flow[I_contra, O_co]:
        return Flow(self.inner, name=check_name(name), version=self._version)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[[I, Context], Awaitable[O]], /) -> Flow[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I], Awaitable[O]], /) -> Flow[I, O]: ...


@overload
def workflow(
    function: Step[I, O], /, *, name: str | None = None, version: str | None = None
) -> Flow[I, O]: ...
@overload
def workflow(
    function: Callable[[I, Context], Awaitable[O]], /, *, name: str | None = None, version: str | None = None
) -> Flow[I, O]: ...
@overload
def workflow(
    function: Callable[[I], Awaitable[O]], /, *, name: str | None = None, version: str | None = None
) -> Flow[I, O]: ...
@overload
def workflow(*, name: str | None = None, version: str | None = None) -> _Decorator: ...
def workflow(function: Any = None, /, *, name: str | None = None, version: str | None = None) -> Any:
    """Make a durable program of `async def f(x, ctx)`, or of a step: `@workflow`, `@workflow(version="2")`.

    What it calls through `ctx.call(step, x)` is recorded; what it does itself is done again after a crash. Called
    outside of a runtime it simply runs.

    - `name`: under which its runs are listed and found again; default: the function's own.
    - `version`: default: a hash of its source, without comments and layout.

    :raises UnregisteredType: input, answer, or what a step that it names gives cannot be saved and read back.
    """
    if function is not None:
        return Flow(function, name=name, version=version)

    def decorate(later: Callable[..., Any]) -> Flow[Any, Any]:
        return Flow(later, name=name, version=version)

    return decorate


def flow_of(step: Step[Any, Any] | Callable[..., Any]) -> Flow[Any, Any]:
    """The flow that `step` is, or a new one around it."""
    return cast("Flow[Any, Any]", step) if isinstance(step, Flow) else Flow(step)


def _parameter(step: Step[Any, Any]) -> str:
    function = getattr(step, "function", None)
    if function is None:
        return "x"
    try:
        return next(iter(inspect.signature(function).parameters), "x")
    except (TypeError, ValueError):
        return "x"


def _parts(step: Step[Any, Any]) -> tuple[Step[Any, Any], ...]:
    if isinstance(step, Wrapper):
        return (step.inner,)
    if isinstance(step, Sequence | Parallel):
        return tuple(cast("Sequence[Any, Any]", step).steps)
    if isinstance(step, Branch):
        held = cast("dict[str, Any]", step.__dict__)
        found: list[Step[Any, Any]] = []
        for value in held.values():
            members = cast("list[Any]", list(value.values())) if isinstance(value, dict) else [value]  # pyright: ignore[reportUnknownArgumentType]
            found += [one for one in members if isinstance(one, Step)]
        return tuple(found)
    return ()


def _steps(step: Step[Any, Any]) -> Iterator[Step[Any, Any]]:
    """Steps whose answers will be recorded, as far as they can be seen without running anything."""
    seen: set[int] = set()
    waiting = [*_parts(step), *_mentioned(step)]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        inside = _parts(one)
        if not isinstance(one, Sequence | Parallel | Branch):
            yield one
            inside = ()  # the answer of a wrapper is that of the step inside
        waiting += [*inside, *_mentioned(one)]


def _mentioned(step: Step[Any, Any]) -> list[Step[Any, Any]]:
    """Steps that the source of a function names: its globals, those of modules, and what it closes over."""
    function: Any = getattr(step, "function", None)
    code = getattr(function, "__code__", None)
    if code is None:
        return []
    names = _names_in(code)
    found = [value for name, value in function.__globals__.items() if name in names]
    for module in [one for one in found if isinstance(one, ModuleType)]:
        found += [value for name, value in vars(module).items() if name in names]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    return [one for one in found if isinstance(one, Step)]


def _names_in(code: CodeType) -> set[str]:
    """Names that a function uses, and comprehensions and functions inside of it."""
    found = set(code.co_names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found |= _names_in(inner)
    return found


def _sources(step: Step[Any, Any]) -> Iterator[str]:
    if isinstance(step, FunctionStep | GeneratorStep):
        yield step.name
        yield _source(cast("FunctionStep[Any, Any]", step).function)
        return
    yield f"{type(step).__module__}.{type(step).__qualname__}:{step.name}"
    for part in _parts(step):
        yield from _sources(part)


def _source(function: Callable[..., Any]) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        for node in ast.walk(tree):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                node.decorator_list = []
        return ast.dump(tree)
    except (OSError, TypeError, SyntaxError):
        code: Any = getattr(function, "__code__", None)
        return repr((code.co_code, code.co_names)) if code is not None else type(function).__qualname__
