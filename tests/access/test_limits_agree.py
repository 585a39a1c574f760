"""Redis' script and the window in Python are one algorithm written twice: held together by whatever can happen."""

from __future__ import annotations

import asyncio
import secrets
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.servers import redis_url
from tidyllm.access import RedisLimits, Subject
from tidyllm.access.window import Denied, Window
from tidyllm.store.shared import SharedState

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "leave", "renew"]),
        st.floats(-3, 40, allow_nan=False),
        st.lists(st.integers(0, 9), min_size=1, max_size=4),
        st.integers(0, 12),
    ),
    max_size=30,
)


def subjects(name: str) -> st.SearchStrategy[Subject]:
    """Somebody with some limits, so low that they are met."""
    return st.builds(
        Subject,
        st.just(name),
        st.none() | st.integers(1, 6),
        st.none() | st.integers(1, 20),
        st.none() | st.integers(1, 3),
    )


Move = tuple[str, float, list[int], int]


@settings(max_examples=60)
@given(subjects("key:a"), st.none() | subjects("team:b"), MOVES)
def test_both_let_in_the_same_calls(key: Subject, team: Subject | None, moves: list[Move]) -> None:
    """Of calls that come or go in one turn of the loop, each as if it came or went alone, in their order."""
    asyncio.run(replay((key,) if team is None else (key, team), moves))


@cache
def _url() -> str:
    return redis_url()


async def replay(subjects: tuple[Subject, ...], moves: list[Move]) -> None:
    now = 1_750_000_000.5
    shared = SharedState.open(_url())
    there = RedisLimits(shared, prefix=f"{secrets.token_hex(6)}:", now=lambda: now)
    here = [(subject, Window()) for subject in subjects]
    inside: list[tuple[str, tuple[int, ...], int]] = []
    for number, (move, pause, tokens, used) in enumerate(moves):
        now += pause
        if move == "enter":
            places = [f"p{number}.{at}" for at in range(len(tokens))]
            told = await asyncio.gather(
                *(there.enter(subjects, *call, 30.0) for call in zip(tokens, places, strict=True))
            )
            for answer, wanted, place in zip(told, tokens, places, strict=True):
                denied = next((no for one, w in here if (no := w.deny(one, now, wanted)) is not None), None)
                if denied is None:
                    seconds = tuple(w.take(one, now, wanted, place, now + 30.0) for one, w in here)
                    assert isinstance(answer, tuple)
                    assert not isinstance(answer, Denied)
                    for (one, _), said, second in zip(here, answer, seconds, strict=True):
                        rated = one.requests_per_minute is not None or one.tokens_per_minute is not None
                        assert said == second or not rated
                    inside.append((place, seconds, wanted))
                else:
                    assert isinstance(answer, Denied)
                    assert answer[:4] == denied[:4]
                    assert (answer.retry_after is None) == (denied.retry_after is None)
                    assert abs((answer.retry_after or 0) - (denied.retry_after or 0)) < 0.01
        elif inside and move == "leave":
            for at in tokens:
                if inside:
                    place, seconds, counted = inside.pop((used + at) % len(inside))
                    await there.leave(subjects, seconds, place, counted, used)
                    for (_, window), second in zip(here, seconds, strict=True):
                        window.settle(now, second, place, counted, used)
            await asyncio.sleep(0)  # they are sent at the end of the turn, with the time of then
        elif inside:
            place, _, _ = inside[used % len(inside)]
            held = [one for one in subjects if one.concurrency is not None]
            if held:
                await there.renew([(one, place) for one in held], 30.0)
                for one, window in here:
                    if one.concurrency is not None:
                        window.renew(place, now + 30.0)
    await shared.aclose()
