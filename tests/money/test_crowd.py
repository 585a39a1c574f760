"""Many tasks of many processes on one budget: the cap holds, nearly all of it is usable, and no call is missing.

The provider on the other side is a process of its own, which writes down every call before it answers. The crowds have
retries, fallbacks, streams, cut streams and readers who leave.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.money.crowd import Crowd, crowd
from tests.store.servers import databases, postgres_url, redis_url, store_url
from tidyllm.money.nanos import limit_nanos

KINDS = ("sqlite", "postgresql", "redis")


def stores(kind: str, folder: Path) -> tuple[str, str]:
    """The URLs of the store and of Redis, if there is one."""
    return (postgres_url(), redis_url()) if kind == "redis" else (store_url(kind, folder), "-")


def check(one: Crowd, *, usable: float) -> None:
    """What must be true once everybody is done."""
    limit = limit_nanos("limit", one.limit)
    found = one.verified()
    assert found.problems == []
    assert found.open == 0
    calls, ends = one.calls(), one.ends()
    assert set(calls) <= set(ends), "a call that the provider had is not in the ledger"
    assert [
        span for span, cost in calls.items() if ends[span] == (1, None) or ends[span][1] not in {None, cost}
    ] == []
    assert sum(calls.values()) <= limit
    for name in ("org:acme", "team:search"):
        spent, reserved = one.held()[name]
        assert reserved == 0
        assert usable * limit <= spent <= limit


@pytest.mark.parametrize("kind", databases())
def test_a_small_crowd_spends_a_budget_and_no_more(kind: str, tmp_path: Path) -> None:
    with crowd(tmp_path, *stores(kind, tmp_path), limit="0.15") as one:
        assert one.spend(processes=2, tasks=12) == [0, 0]
        check(one, usable=0.95)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_two_hundred_tasks_of_four_processes_spend_a_budget_and_no_more(kind: str, tmp_path: Path) -> None:
    with crowd(tmp_path, *stores(kind, tmp_path), limit="3") as one:
        assert one.spend(processes=4, tasks=200) == [0, 0, 0, 0]
        check(one, usable=0.95)


def killed(kind: str, folder: Path, rounds: int) -> None:
    """Kill a busy process again and again while another one goes on, then look at the books."""
    with crowd(folder, *stores(kind, folder), limit="1000") as one:
        steady = one.spender(tasks=4, seed=999)
        for turn in range(rounds):
            one.kill_when_busy(tasks=20, seed=turn, calls=10 + turn * 7 % 40)
        steady.kill()
        steady.wait()
        one.recovered()
        assert one.recovered() == 0
        check(one, usable=0.0)
        assert any(end == (2, None) for end in one.ends().values())


def test_what_was_under_way_when_a_process_was_killed_is_in_doubt_and_all_else_settled(
    tmp_path: Path,
) -> None:
    killed("sqlite", tmp_path, rounds=3)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_fifty_kills_under_load_lose_no_call(kind: str, tmp_path: Path) -> None:
    killed(kind, tmp_path, rounds=50)
