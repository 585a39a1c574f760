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
        st.integers(0, 9),
        st.integers(0, 12),
    ),
    max_size=30,
)
SUBJECTS = st.builds(
    Subject,
    st.just("key:a"),
    st.none() | st.integers(1, 6),
    st.none() | st.integers(1, 20),
    st.none() | st.integers(1, 3),
)


@settings(max_examples=40)
@given(SUBJECTS, MOVES)
def test_both_let_in_the_same_calls(subject: Subject, moves: list[tuple[str, float, int, int]]) -> None:
    asyncio.run(replay(subject, moves))


@cache
def _url() -> str:
    return redis_url()


async def replay(subject: Subject, moves: list[tuple[str, float, int, int]]) -> None:
    now = 1_750_000_000.5
    shared = SharedState.open(_url())
    there, here = RedisLimits(shared, prefix=f"{secrets.token_hex(6)}:", now=lambda: now), Window()
    inside: list[tuple[str, int, int]] = []
    for number, (move, pause, tokens, used) in enumerate(moves):
        now += pause
        if move == "enter":
            place = f"p{number}"
            answer = await there.enter((subject,), tokens, place, 30.0)
            denied = here.deny(subject, now, tokens)
            if denied is None:
                second = here.take(subject, now, tokens, place, now + 30.0)
                rated = subject.requests_per_minute is not None or subject.tokens_per_minute is not None
                assert answer == (second,) or not rated
                inside.append((place, second, tokens))
            else:
                assert isinstance(answer, Denied)
                assert answer[:4] == denied[:4]
                assert (answer.retry_after is None) == (denied.retry_after is None)
                assert abs((answer.retry_after or 0) - (denied.retry_after or 0)) < 0.01
        elif inside and move == "leave":
            place, second, counted = inside.pop(used % len(inside))
            await there.leave((subject,), (second,), place, counted, used)
            here.settle(now, second, place, counted, used)
        elif inside and subject.concurrency is not None:
            place, _, _ = inside[used % len(inside)]
            await there.renew([(subject, place)], 30.0)
            here.renew(place, now + 30.0)
    await shared.aclose()
