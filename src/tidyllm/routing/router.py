"""A choice between routes as a step. It knows how a choice is asked for, not how it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from tidyllm import clock
from tidyllm.core import Branch, Context, Step
from tidyllm.errors import ConfigError
from tidyllm.routing.latency import Latencies
from tidyllm.routing.learned import LearnedPolicy
from tidyllm.routing.selector import Selector
from tidyllm.routing.text import asked

__all__ = ["Router"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Router(Branch[I_contra, O_co]):
    """`Router(routes={"fast": a, "premium": b}, choose=selector)`: one of the routes answers.

    - `choose`: a `Selector`, a `LearnedPolicy`, or a function of the input that names a route (plain or async, `ctx` if
      it declares it), or a step that does.
    - `default`: answers when `choose` names something else; without it that raises `StepError`.

    It streams what the chosen route streams. Seconds to the first piece (without a stream: to the answer) are written
    to `latencies`; default: those of the selector.
    """

    def __init__(
        self,
        routes: Mapping[
            str, Step[I_contra, O_co] | Callable[[I_contra], Awaitable[O_co]] | Callable[[I_contra], O_co]
        ],
        *,
        choose: Selector
        | LearnedPolicy
        | Step[I_contra, str]
        | Callable[[I_contra], Awaitable[str]]
        | Callable[[I_contra], str]
        | Callable[[I_contra, Context], Awaitable[str]]
        | Callable[[I_contra, Context], str],
        default: Step[I_contra, O_co]
        | Callable[[I_contra], Awaitable[O_co]]
        | Callable[[I_contra], O_co]
        | None = None,
        latencies: Latencies | None = None,
        name: str | None = None,
    ) -> None:
        """:raises ConfigError: the selector or the policy may choose a route that is not here.
        :raises StepError: there is no route, or something that cannot be a step."""
        self.choose: object = choose
        by: Any = choose
        if isinstance(choose, Selector):
            _check(routes, [one.name for one in choose.candidates], "the selector chooses among", default)
            latencies = latencies or choose.latencies
        elif isinstance(choose, LearnedPolicy):
            _check(routes, choose.routes, "the policy learned about", default)
            policy = choose

            def learned(x: Any) -> str:
                return policy.choose(asked(x).prompt)

            by = learned
        self.latencies = latencies or Latencies()
        super().__init__(
            routes, by=by, default=default, name=name or f"Router({', '.join(map(str, routes))})"
        )
        self.is_named = name is not None
        self._keys = {place: str(key) for key, place in self._places.items()}

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        step, place = self._find(await self._choose(x, ctx), ctx)
        began = clock.monotonic()
        answer = await ctx.run_child(step, x, place)
        self._measured(place, began)
        return answer

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """The pieces of the route that was chosen."""
        step, place = self._find(await self._choose(x, ctx), ctx)
        began = clock.monotonic()
        first = True
        pieces = ctx.stream_child(step, x, place)
        try:
            async for piece in pieces:
                if first:
                    first = False
                    self._measured(place, began)
                yield piece
        finally:
            await pieces.aclose()

    def _measured(self, place: str, began: float) -> None:
        name = self._keys.get(place)
        if name is not None:
            self.latencies.observe(name, clock.monotonic() - began)

    def __repr__(self) -> str:
        inside = ", ".join(f"{key!r}: {step!r}" for key, step in self.branches.items())
        default = "" if self.default is None else f", default={self.default!r}"
        name = f", name={self.name!r}" if self.is_named else ""
        return f"Router({{{inside}}}, choose={self.choose!r}{default}{name})"


def _check(routes: Mapping[str, Any], chosen: Any, what: str, default: object) -> None:
    missing = [name for name in chosen if name not in routes]
    if missing and default is None:
        raise ConfigError(
            f"{what} {', '.join(map(repr, missing))}, but the routes are {', '.join(map(repr, routes))}.",
            hint="Add a route for it, or pass default=….",
        )
