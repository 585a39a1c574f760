"""The arithmetic of one minute: in any 60 seconds never more than the limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidyllm.access import Subject
from tidyllm.access.window import SPAN, Denied, Window

SECONDS = st.floats(0, 30, allow_nan=False)


@given(st.lists(st.tuples(SECONDS, st.integers(0, 6)), max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_in_any_minute_no_more_than_the_limits_is_let_in(
    calls: list[tuple[float, int]], requests: int, tokens: int
) -> None:
    subject, window, now = Subject("k", requests, tokens), Window(), 1000.0
    let_in: list[tuple[float, int]] = []
    for pause, size in calls:
        now += pause
        if window.deny(subject, now, size) is None:
            window.take(subject, now, size, "p", 0)
            let_in.append((now, size))
    for start, _ in let_in:
        within = [size for at, size in let_in if start <= at <= start + 60]
        assert len(within) <= requests
        assert sum(within) <= tokens


@given(st.lists(st.tuples(SECONDS, st.integers(1, 6)), min_size=1, max_size=40), st.integers(1, 5))
def test_whoever_waits_as_told_gets_in_and_not_before(calls: list[tuple[float, int]], requests: int) -> None:
    subject, window, now = Subject("k", requests, 12), Window(), 1000.0
    for pause, size in calls:
        now += pause
        denied = window.deny(subject, now, size)
        while isinstance(denied, Denied):
            assert denied.retry_after is not None
            assert 0 < denied.retry_after <= SPAN
            early = now + denied.retry_after * 0.999 - 0.001
            assert early <= now or window.deny(subject, early, size) is not None
            now += denied.retry_after + 1e-6
            denied = window.deny(subject, now, size)
        window.take(subject, now, size, "p", 0)


def test_what_was_counted_too_much_is_given_back_and_what_is_missing_counted() -> None:
    subject, window = Subject("k", None, 100), Window()
    second = window.take(subject, 1000.0, 80, "a", 0)
    window.settle(1001.0, second, "a", 80, 30)
    assert window.deny(subject, 1001.0, 70) is None
    window.settle(1002.0, second, "a", 30, 90)
    denied = window.deny(subject, 1002.0, 11)
    assert isinstance(denied, Denied)
    assert denied.used == 90


def test_a_count_of_a_minute_ago_cannot_be_given_back_twice() -> None:
    subject, window = Subject("k", None, 100), Window()
    second = window.take(subject, 1000.0, 80, "a", 0)
    window.settle(1100.0, second, "a", 80, 0)
    assert window.idle
    assert window.deny(subject, 1100.0, 100) is None


def test_a_place_that_is_not_renewed_is_free_at_its_end() -> None:
    subject, window = Subject("k", None, None, 1), Window()
    window.take(subject, 1000.0, 0, "a", 1030.0)
    assert isinstance(window.deny(subject, 1029.9, 0), Denied)
    window.renew("a", 1059.0)
    assert isinstance(window.deny(subject, 1058.0, 0), Denied)
    assert window.deny(subject, 1059.1, 0) is None


def test_a_clock_that_is_put_back_gives_nothing_away() -> None:
    subject, window = Subject("k", 2), Window()
    window.take(subject, 1000.0, 0, "a", 0)
    window.take(subject, 940.0, 0, "b", 0)
    assert isinstance(window.deny(subject, 941.0, 0), Denied)
    assert isinstance(window.deny(subject, 1060.9, 0), Denied)
    assert window.deny(subject, 1061.0, 0) is None
