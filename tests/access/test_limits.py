"""Limits on calls, wherever they are counted: the same tests for memory, SQLite, Postgres and Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.access.places import key_with, store_in
from tests.store.servers import databases, redis_url
from tidyllm import clock
from tidyllm.access import Key, Lease, Limits, LocalLimits, RedisLimits, StoreLimits, Subject
from tidyllm.errors import ConfigError, LimitExceeded, StoreDown, StoreError
from tidyllm.store.shared import SharedState

elsewhere = pytest.mark.parametrize("where", [*databases(), "redis"])
everywhere = pytest.mark.parametrize("where", ["memory", *databases(), "redis"])


@asynccontextmanager
async def limits(where: str, folder: Path, *, lease_seconds: float = 60.0) -> AsyncGenerator[Limits]:
    if where == "memory":
        yield Limits(LocalLimits(), lease_seconds=lease_seconds)
    elif where == "redis":
        shared = SharedState.open(redis_url())
        made = Limits(RedisLimits(shared), lease_seconds=lease_seconds)
        yield made
        await made.aclose()
        await shared.aclose()
    else:
        async with store_in(folder, where) as store:
            made = Limits(StoreLimits(store), lease_seconds=lease_seconds)
            yield made
            await made.aclose()


async def let_in(limits: Limits, key: Key, times: int, *, tokens: int = 0) -> int:
    answers = await asyncio.gather(
        *(limits.enter(key, tokens=tokens) for _ in range(times)), return_exceptions=True
    )
    wrong = [one for one in answers if isinstance(one, BaseException) and not isinstance(one, LimitExceeded)]
    assert wrong == []
    return sum(not isinstance(one, BaseException) for one in answers)


@everywhere
async def test_of_many_at_once_exactly_as_many_get_in_as_may(tmp_path: Path, where: str) -> None:
    async with limits(where, tmp_path) as limited:
        assert await let_in(limited, key_with(rpm=7), 50) == 7
        with pytest.raises(LimitExceeded, match="7 requests per minute; 7 are taken") as caught:
            await limited.enter(key_with(rpm=7))
        assert caught.value.retry_after is not None
        assert 50 < caught.value.retry_after <= 61


@everywhere
async def test_tokens_are_counted_before_and_set_right_after(tmp_path: Path, where: str) -> None:
    key = key_with(tpm=100)
    async with limits(where, tmp_path) as limited:
        lease = await limited.enter(key, tokens=80)
        with pytest.raises(LimitExceeded, match="needs up to 30") as caught:
            await limited.enter(key, tokens=30)
        assert caught.value.retryable
        lease.used = 10
        await lease.leave()
        await lease.leave()
        async with await limited.enter(key, tokens=60) as second:
            second.used = 85
        with pytest.raises(LimitExceeded, match="95 are taken"):
            await limited.enter(key, tokens=6)
        assert await let_in(limited, key, 1, tokens=5) == 1


@everywhere
async def test_more_tokens_than_the_limit_are_never_let_in_and_the_error_says_so(
    tmp_path: Path, where: str
) -> None:
    async with limits(where, tmp_path) as limited:
        with pytest.raises(LimitExceeded, match="waiting does not help") as caught:
            await limited.enter(key_with(tpm=100), tokens=101)
        assert (caught.value.retryable, caught.value.retry_after) == (False, None)


@everywhere
async def test_places_are_given_back(tmp_path: Path, where: str) -> None:
    key = key_with(concurrency=3)
    async with limits(where, tmp_path) as limited:
        leases = [await limited.enter(key) for _ in range(3)]
        with pytest.raises(LimitExceeded, match="3 calls at once; 3 are taken"):
            await limited.enter(key)
        await leases[1].leave()
        assert await let_in(limited, key, 5) == 1


@everywhere
async def test_a_call_that_its_team_refuses_is_not_counted_for_the_key(tmp_path: Path, where: str) -> None:
    mine, team = Subject("key:a", 5), Subject("team:t", 2)
    async with limits(where, tmp_path) as limited:
        for _ in range(2):
            await limited.enter_as((mine, team))
        for _ in range(5):
            with pytest.raises(LimitExceeded, match="team:t"):
                await limited.enter_as((mine, team))
        for _ in range(3):
            await limited.enter_as((mine,))
        with pytest.raises(LimitExceeded, match="key:a"):
            await limited.enter_as((mine,))


@elsewhere
async def test_whoever_is_cancelled_while_he_asks_takes_no_place(tmp_path: Path, where: str) -> None:
    key = key_with(concurrency=2, tpm=10)
    async with limits(where, tmp_path) as limited:
        await (await limited.enter(key)).leave()
        for _ in range(5):
            task = asyncio.ensure_future(limited.enter(key, tokens=5))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await limited.backend.renew((), 1)  # answered after all that was asked before
        assert await let_in(limited, key, 4, tokens=5) == 2


async def test_whoever_is_cancelled_in_the_turn_in_which_he_is_let_in_takes_no_place() -> None:
    asking: list[asyncio.Task[Any]] = []

    class Late(RedisLimits):
        def _answered(self, subjects: tuple[Subject, ...], coming: list[Any], answer: Any) -> None:
            super()._answered(subjects, coming, answer)
            for task in asking:
                task.cancel()

    key, shared = key_with(concurrency=2, tpm=10), SharedState.open(redis_url())
    limited = Limits(Late(shared))
    for _ in range(3):
        asking.append(asyncio.create_task(limited.enter(key, tokens=5)))
        with pytest.raises(asyncio.CancelledError):
            await asking[0]
        asking.clear()
    assert await let_in(limited, key, 4, tokens=5) == 2
    await limited.aclose()
    await shared.aclose()


async def test_more_tokens_than_there_are_numbers_harm_nobody_who_asks_beside() -> None:
    shared = SharedState.open(redis_url())
    limited = Limits(RedisLimits(shared))
    key = key_with(rpm=12)
    for used in (None, 7, 10**40):
        wanted = (10, 10**40, -(10**40), 100)
        leases = await asyncio.gather(*(limited.enter(key, tokens=tokens) for tokens in wanted))
        for lease in leases:
            lease.used = used
            await lease.leave()
    with pytest.raises(LimitExceeded, match="12 requests per minute; 12 are taken"):
        await limited.enter(key)
    used = await shared.command("HGET", f"tidyllm:limit:{key.subjects[0].name}:minute", "T")
    # As wanted, then 7 each, then as many as are counted at most.
    assert int(used) == (10 + 10**12 + 100) + 4 * 7 + 4 * 10**12
    await limited.aclose()
    await shared.aclose()


async def test_more_calls_than_one_script_takes_are_let_in_and_leave_at_once() -> None:
    shared = SharedState.open(redis_url())
    limited = Limits(RedisLimits(shared))
    key = key_with(rpm=1300, concurrency=1200, tpm=100_000)
    for inside in (1200, 100):
        answers = await asyncio.gather(
            *(limited.enter(key, tokens=10) for _ in range(1250)), return_exceptions=True
        )
        leases = [one for one in answers if isinstance(one, Lease)]
        assert len(leases) == inside
        for lease in leases:
            lease.used = 1
            await lease.leave()
    with pytest.raises(LimitExceeded, match="1,300 are taken"):
        await limited.enter(key)
    with pytest.raises(LimitExceeded, match="1,300 are taken, and this needs up to 98,701"):
        await limited.enter(key_with(tpm=100_000), tokens=98_701)
    await limited.aclose()
    await shared.aclose()


async def test_when_one_script_cannot_be_sent_nobody_waits_for_ever_and_others_are_let_in() -> None:
    shared = SharedState.open(redis_url())

    class Torn(RedisLimits):
        def _told(self, subjects: tuple[Subject, ...]) -> Any:
            if subjects[0].name == "key:torn":
                raise ZeroDivisionError
            return super()._told(subjects)

    torn = Torn(shared)
    await torn.leave((Subject("key:torn", 1),), (1,), "nowhere", 0, 0)
    asking = [torn.enter((Subject(name, 5),), 0, "here", 60.0) for name in ("key:torn", "key:b")]
    bad, good = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(bad, StoreError)
    assert "was not asked: ZeroDivisionError" in str(bad)
    assert isinstance(good, tuple)
    await shared.aclose()


async def test_whoever_was_cancelled_while_all_is_closed_leaves_no_place_behind() -> None:
    key, shared = key_with(concurrency=2), SharedState.open(redis_url())
    limited = Limits(RedisLimits(shared))
    await (await limited.enter(key)).leave()
    await shared.command("SCRIPT", "FLUSH")
    asking = [asyncio.create_task(limited.enter(key)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in asking:
        task.cancel()
    closing = asyncio.create_task(shared.aclose())
    await asyncio.sleep(0)
    with pytest.raises(StoreDown, match="is closed"):
        await limited.enter(key)
    await closing
    assert await shared.command("ZCARD", f"tidyllm:limit:{key.subjects[0].name}:places") == 0
    await shared.aclose()


async def test_counts_of_hours_in_which_calls_only_ended_are_forgotten() -> None:
    now, shared = 1_750_000_000.0, SharedState.open(redis_url())
    limits, subject = RedisLimits(shared, prefix="hours:", now=lambda: now), Subject("key:long", 5, 1000)
    for _ in range(100):
        await limits.leave((subject,), (1,), "p", 0, 7)
        await asyncio.sleep(0)
        now += 100
    assert isinstance(await limits.enter((subject,), 1000, "p", 60.0), tuple)
    await shared.aclose()


@elsewhere
async def test_a_place_is_held_as_long_as_it_is_renewed_and_free_when_its_process_is_gone(
    tmp_path: Path, where: str
) -> None:
    key = key_with(concurrency=1)
    async with limits(where, tmp_path, lease_seconds=0.6) as limited:
        await limited.enter(key)
        await clock.sleep(1.0)
        with pytest.raises(LimitExceeded):
            await limited.enter(key)
        limited._places.clear()  # pyright: ignore[reportPrivateUsage] - as if killed: nobody renews any more
        await clock.sleep(1.0)
        assert await let_in(limited, key, 2) == 1


async def test_a_key_without_limits_costs_no_question() -> None:
    lease = await Limits(LocalLimits()).enter(Key(id="a", name="a", prefix="a", created_at=0.0))
    await lease.leave()


async def test_memory_of_idle_subjects_is_given_back() -> None:
    local = LocalLimits()
    limited = Limits(local)
    for n in range(10_050):
        async with await limited.enter_as((Subject(f"key:{n}", None, None, 1),)):
            pass
        if n == 9_000:
            for window in local._windows.values():  # pyright: ignore[reportPrivateUsage]
                window.seconds = [0] * len(window.seconds)
    assert len(local._windows) < 2_000  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(
    "wrong", [{"on_store_down": "ignore"}, {"lease_seconds": 0}, {"lease_seconds": -1.0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Limits(**wrong)  # pyright: ignore[reportArgumentType]
