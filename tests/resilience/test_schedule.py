"""The plan of retries, as pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.resilience.schedule import GiveUp, Schedule, bound, delay

seconds = st.floats(0, 1e6)
attempts = st.integers(1, 5_000)
draws = st.floats(0, 1)
factors = st.floats(1, 1e300)


@given(attempts, seconds, seconds, draws)
def test_jitter_never_passes_the_cap_nor_the_doubled_base(
    n: int, base: float, cap: float, draw: float
) -> None:
    pause = delay(n, base, cap, lambda: draw)
    assert 0 <= pause <= cap
    assert n > 60 or pause <= base * 2 ** (n - 1)


@given(attempts, seconds, seconds)
def test_full_jitter_reaches_from_nothing_to_the_bound(n: int, base: float, cap: float) -> None:
    assert delay(n, base, cap, lambda: 0.0) == 0
    assert n > 60 or delay(n, base, cap, lambda: 1.0) == min(cap, base * 2 ** (n - 1))


@given(st.integers(1, 20), seconds, seconds, draws)
def test_the_bound_never_shrinks_with_the_attempts(n: int, base: float, cap: float, draw: float) -> None:
    assert delay(n, base, cap, lambda: draw) <= delay(n + 1, base, cap, lambda: draw)


@given(attempts, seconds, seconds, factors)
def test_the_bound_grows_by_its_factor_up_to_the_cap(n: int, base: float, cap: float, factor: float) -> None:
    """Whatever the numbers are: none of them is too large."""
    now, later = bound(n, base, cap, factor), bound(n + 1, base, cap, factor)
    assert 0 <= now <= later <= cap
    assert later == cap or not now or later == pytest.approx(now * factor)
    assert bound(n, base, cap, 1.0) == min(cap, base)


@given(attempts, seconds, seconds, factors, draws)
def test_without_jitter_a_pause_is_just_its_bound(
    n: int, base: float, cap: float, factor: float, draw: float
) -> None:
    plan = Schedule(10_000, base, cap, 60.0, factor, jitter=False)
    assert plan.after(n, asked=None, remaining=None, rng=lambda: draw) == bound(n, base, cap, factor)
    assert plan.after(n, asked=5.0, remaining=None, rng=lambda: draw) == 5.0 + bound(n, base, cap, factor)


@given(st.integers(1, 20), st.integers(1, 20), st.none() | seconds, st.none() | seconds, draws)
def test_a_pause_fits_everything_that_was_asked(
    limit: int, n: int, asked: float | None, remaining: float | None, draw: float
) -> None:
    """It waits what the target asked for, ends before the deadline, and happens only while attempts are left."""
    plan = Schedule(limit, 0.25, 8.0, 60.0)
    pause = plan.after(n, asked=asked, remaining=remaining, rng=lambda: draw)
    if isinstance(pause, GiveUp):
        assert pause.reason
        return
    assert n < limit
    assert (asked or 0.0) <= pause <= (asked or 0.0) + 8.0
    assert asked is None or asked <= 60
    assert remaining is None or pause < remaining


def test_the_reason_to_give_up_names_the_numbers() -> None:
    plan = Schedule(3, 0.25, 8.0, 60.0)
    last = plan.after(3, asked=None, remaining=None, rng=lambda: 0.5)
    long = plan.after(1, asked=90.0, remaining=None, rng=lambda: 0.5)
    late = plan.after(1, asked=2.0, remaining=1.0, rng=lambda: 0.0)
    assert last == GiveUp("3 of 3 attempts failed")
    assert long == GiveUp("it asks for a pause of 90 s, at most 60 s are waited")
    assert late == GiveUp("the next attempt would start in 2.00 s, the deadline is in 1.00 s")


def test_what_the_target_asks_for_is_waited_in_full_with_the_jitter_on_top() -> None:
    """Callers that were told the same pause do not come back at the same moment."""
    plan = Schedule(3, 1.0, 8.0, 60.0)
    assert plan.after(2, asked=20.0, remaining=None, rng=lambda: 0.5) == 21.0
    assert plan.after(2, asked=20.0, remaining=None, rng=lambda: 0.0) == 20.0
