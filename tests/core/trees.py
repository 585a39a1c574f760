"""Random expressions of steps for the property tests. It knows how steps are put together, not what is tested."""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hypothesis import strategies as st

from tidyllm.core import Branch, Context, Parallel, Sequence, Step, Wrapper, step
from tidyllm.errors import StepError

AnyStep = Step[Any, Any]


def _leaf(name: str) -> AnyStep:
    async def show(x: object) -> str:
        return f"{name}{zlib.crc32(repr(x).encode()) % 100}"  # short: expressions of expressions grow

    return step(show).named(name)


LEAVES: dict[str, AnyStep] = {name: _leaf(name) for name in ("a", "b", "c", "d")}


def pick(x: object) -> bool:
    """A choice that depends on the input and is the same in every run."""
    return len(str(x)) % 2 == 0


def here(x: object, ctx: Context) -> tuple[str, ...]:
    """The place at which it runs."""
    return ctx.path


NAMES: dict[str, Any] = {
    **LEAVES,
    "Branch": Branch,
    "Parallel": Parallel,
    "Sequence": Sequence,
    "Wrapper": Wrapper,
    "pick": pick,
}


def leaves() -> st.SearchStrategy[AnyStep]:
    return st.sampled_from(list(LEAVES.values()))


def expressions(of: st.SearchStrategy[AnyStep] | None = None) -> st.SearchStrategy[AnyStep]:
    """Steps made of `of` (default: four that show their input) by every way that there is."""
    return st.recursive(leaves() if of is None else of, _bigger, max_leaves=8)


def _bigger(parts: st.SearchStrategy[AnyStep]) -> st.SearchStrategy[AnyStep]:
    names = st.sampled_from(["left", "right", "name", "e-mail"])
    return st.one_of(
        st.builds(_then, parts, parts),
        st.builds(_beside, parts, parts),
        st.builds(_sequence, st.lists(parts, min_size=1, max_size=3), st.sampled_from([None, "unit"])),
        st.builds(
            _parallel,
            st.lists(parts, min_size=1, max_size=3),
            st.sampled_from([None, 1, 2]),
            st.booleans(),
            st.sampled_from([None, "unit"]),
        ),
        st.builds(_named_parallel, st.dictionaries(names, parts, min_size=1, max_size=2)),
        st.builds(_branch, parts, parts, st.none() | parts, st.sampled_from([None, "choice"])),
        st.builds(_wrapped, parts),
    )


def _then(a: AnyStep, b: AnyStep) -> AnyStep:
    return a >> b


def _beside(a: AnyStep, b: AnyStep) -> AnyStep:
    return a | b


def _sequence(steps: list[AnyStep], name: str | None) -> AnyStep:
    return Sequence(*steps, name=name)


def _parallel(steps: list[AnyStep], limit: int | None, collect: bool, name: str | None) -> AnyStep:
    return Parallel(*steps, limit=limit, collect=collect, name=name)


def _named_parallel(steps: dict[str, AnyStep]) -> AnyStep:
    return Parallel(steps)


def _branch(yes: AnyStep, no: AnyStep, default: AnyStep | None, name: str | None) -> AnyStep:
    return Branch({True: yes, False: no}, by=pick, default=default, name=name)


class Same(Wrapper[Any, Any]):
    """A wrapper that is equal to another one around an equal step."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash(self.inner)

    def __repr__(self) -> str:
        return f"Wrapper({self.inner!r})"


NAMES["Wrapper"] = Same


def _wrapped(inner: AnyStep) -> AnyStep:
    return Same(inner)


def can_join(tree: AnyStep, pieces: list[Any]) -> bool:
    """Whether no choice in it lies between steps that join their pieces in different ways."""
    try:
        tree.join(pieces)
    except StepError as error:
        return "join their pieces in different ways" not in error.message
    return True


async def read(pieces: AsyncGenerator[Any, None], into: list[Any]) -> None:
    """Read a stream to its end, keeping what came when it breaks."""
    async with aclosing(pieces):
        async for piece in pieces:
            into.append(piece)  # noqa: PERF401 - a comprehension would lose them


async def same(x: Any) -> Any:
    """A step that answers with its input."""
    return x
