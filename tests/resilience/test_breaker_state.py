"""The breaker's state machine, told the time by hand and compared with a plain model of the rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tidyllm.resilience.breaker_state import BreakerState

FAILURES, WINDOW, COOLDOWN = 3, 30.0, 10.0


def opened(at: float = 0.0) -> BreakerState:
    state = BreakerState(FAILURES, WINDOW, COOLDOWN)
    for _ in range(FAILURES):
        state.failed(state.admit(at), at)
    return state


class AgainstTheRules(RuleBasedStateMachine):
    """Any mix of calls, results and pauses. The model keeps all failures and knows who was admitted when."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.state = BreakerState(FAILURES, WINDOW, COOLDOWN)
        self.now = 0.0
        self.status = "closed"
        self.era = 0  # grows with each change of status
        self.opened = 0.0
        self.failures: list[float] = []
        self.probe: int | None = None  # the call that is the probe
        self.count = 0

    def change(self, status: str) -> None:
        self.status, self.era, self.failures, self.probe = status, self.era + 1, [], None
        if status == "open":
            self.opened = self.now

    @rule(pause=st.sampled_from([0.0, 1.0, 9.0, 10.0, 29.0, 31.0]))
    def wait(self, pause: float) -> None:
        self.now += pause

    @rule(target=calls)
    def call(self) -> tuple[int, int, int]:
        """A call; what it returns is its ticket, its era and its number."""
        self.count += 1
        ticket = self.state.admit(self.now)
        if self.status == "open" and self.now - self.opened >= COOLDOWN:
            self.change("half_open")
        probing = self.status == "half_open" and self.probe is None
        assert bool(ticket) == (self.status == "closed" or probing)
        if probing:
            self.probe = self.count
        return ticket, self.era if ticket else -1, self.count

    def has_a_say(self, call: tuple[int, int, int]) -> bool:
        _, era, number = call
        return self.probe == number if self.status == "half_open" else era == self.era

    @rule(call=consumes(calls))
    def succeed(self, call: tuple[int, int, int]) -> None:
        self.state.succeeded(call[0])
        if self.has_a_say(call) and self.status == "half_open":
            self.change("closed")

    @rule(call=consumes(calls))
    def fail(self, call: tuple[int, int, int]) -> None:
        self.state.failed(call[0], self.now)
        if not self.has_a_say(call):
            return
        self.failures.append(self.now)
        recent = [at for at in self.failures if self.now - at <= WINDOW]
        if self.status == "half_open" or len(recent) >= FAILURES:
            self.change("open")

    @rule(call=consumes(calls))
    def drop(self, call: tuple[int, int, int]) -> None:
        self.state.dropped(call[0])
        if self.has_a_say(call) and self.status == "half_open":
            self.probe = None

    @invariant()
    def they_agree(self) -> None:
        assert self.state.status == self.status
        assert bool(self.state.ticket) == (self.status == "closed")
        left = max(self.opened + COOLDOWN - self.now, 0.0) if self.status == "open" else 0.0
        assert self.state.retry_after(self.now) == (None if self.probe is not None else left)


TestAgainstTheRules = AgainstTheRules.TestCase
TestAgainstTheRules.settings = settings(max_examples=150, stateful_step_count=50)


@given(st.integers(1, 50))
def test_exactly_one_of_many_gets_the_probe(callers: int) -> None:
    state = opened()
    tickets = [state.admit(COOLDOWN) for _ in range(callers)]
    assert [bool(ticket) for ticket in tickets] == [True] + [False] * (callers - 1)


def test_a_late_success_of_an_older_call_never_closes_it() -> None:
    state = BreakerState(FAILURES, WINDOW, COOLDOWN)
    late = state.admit(0.0)
    for _ in range(FAILURES):
        state.failed(state.admit(0.0), 0.0)
    state.succeeded(late)
    assert state.status == "open"
    state.admit(COOLDOWN)
    state.succeeded(late)
    assert state.status == "half_open"


def test_a_late_failure_neither_opens_a_healed_breaker_nor_prolongs_an_open_one() -> None:
    state = BreakerState(1, WINDOW, COOLDOWN)
    late = state.admit(0.0)
    state.failed(state.admit(0.0), 0.0)
    state.failed(late, 9.0)
    assert state.retry_after(9.0) == 1.0
    state.succeeded(state.admit(COOLDOWN))
    state.failed(late, COOLDOWN)
    assert state.status == "closed"


def test_a_dropped_probe_frees_its_place_and_its_own_late_result_is_ignored() -> None:
    state = opened()
    first = state.admit(COOLDOWN)
    state.dropped(first)
    second = state.admit(COOLDOWN)
    assert second
    assert second != first
    state.succeeded(first)
    assert state.status == "half_open"
    state.succeeded(second)
    assert state.status == "closed"


def test_a_healed_breaker_counts_from_nothing() -> None:
    state = opened()
    state.succeeded(state.admit(COOLDOWN))
    state.failed(state.admit(COOLDOWN), COOLDOWN)
    assert state.status == "closed"


def test_failures_outside_the_window_do_not_add_up() -> None:
    state = BreakerState(2, 30.0, COOLDOWN)
    for at in (0.0, 31.0, 62.0):
        state.failed(state.admit(at), at)
    assert state.status == "closed"
    state.failed(state.admit(92.0), 92.0)
    assert state.status == "open"
