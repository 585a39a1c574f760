"""The token bucket, as pure arithmetic, compared with one that counts tokens."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tidyllm.resilience.bucket import TokenBucket

# Quarters of seconds and whole rates are exact as floats, so that the model and the bucket must agree exactly.
steps = st.integers(0, 40).map(lambda quarters: quarters / 4)


class AgainstACount(RuleBasedStateMachine):
    """A bucket with 2 tokens a second and room for 5, beside an exact count of its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bucket = TokenBucket(rate=2.0, burst=5)
        self.now = 0.0
        self.tokens = Fraction(5)
        self.taken = 0

    @rule(step=steps)
    def wait(self, step: float) -> None:
        self.now += step
        self.tokens = min(self.tokens + Fraction(step) * 2, Fraction(5))

    @rule()
    def take(self) -> None:
        there = self.tokens >= 1
        assert self.bucket.take(self.now) == there
        self.tokens -= there
        self.taken += there

    @precondition(lambda self: self.tokens <= 4)
    @rule()
    def give_back(self) -> None:
        self.bucket.give_back()
        self.tokens += 1

    @invariant()
    def the_wait_is_until_the_missing_part_has_dripped_in(self) -> None:
        for ahead in range(4):
            missing = max(1 + ahead - self.tokens, Fraction(0))
            assert self.bucket.wait(self.now, ahead) == float(missing / 2)


TestAgainstACount = AgainstACount.TestCase
TestAgainstACount.settings = settings(max_examples=100, stateful_step_count=40)


@given(
    st.floats(0.01, 1e4),
    st.integers(1, 100),
    st.lists(st.floats(0, 100), min_size=1, max_size=200),
)
def test_no_stretch_of_time_gives_more_than_burst_and_rate_allow(
    rate: float, burst: int, gaps: list[float]
) -> None:
    bucket, now, given_out = TokenBucket(rate, burst), 1_000.0, list[float]()
    for gap in gaps:
        now += gap / rate
        while bucket.take(now):
            given_out.append(now)
            assert len(given_out) <= 30_000
    for first in range(0, len(given_out), 7):
        for last in range(first, len(given_out), 11):
            stretch = given_out[last] - given_out[first]
            assert last - first + 1 <= burst + rate * stretch + 1e-6


@given(st.floats(0.01, 1e4), st.integers(1, 100), st.integers(0, 300), st.floats(0, 1e6))
def test_after_the_wait_that_it_names_there_is_a_token(
    rate: float, burst: int, used: int, now: float
) -> None:
    bucket = TokenBucket(rate, burst)
    for _ in range(used):
        bucket.take(now)
    wait = bucket.wait(now)
    # A timer that rings exactly then may see it one rounding too early; the limiter asks again.
    rest = bucket.wait(now + wait)
    assert rest < 1e-6
    assert bucket.take(now + wait) == (rest == 0)


def test_a_long_pause_gives_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate=10.0, burst=3)
    assert [bucket.take(1e6) for _ in range(5)] == [True, True, True, False, False]
