"""A meter counts for its agent and every one above it, and no cap of any of them is passed."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.meter import Meter, Reading
from tidyllm.agents.stop import Stop, StopReason

OPEN = AgentLimits(turns=None, tool_calls=None)


def tree(top: AgentLimits, low: AgentLimits = OPEN) -> tuple[Meter, Meter]:
    above = Meter("boss", top)
    return above, Meter("helper", low, above)


def test_a_turn_counts_all_the_way_up() -> None:
    above, below = tree(AgentLimits(turns=2))
    assert below.take_turn() is None
    assert above.take_turn() is None
    full = below.take_turn()
    assert full is not None
    assert (full.reason, above.turns, below.turns) == (StopReason.turns, 2, 1)
    assert "boss" in full.detail


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30), st.integers(0, 20), st.integers(0, 9)
)
def test_tool_calls_never_pass_a_cap(asked: list[tuple[bool, int]], top: int, low: int) -> None:
    above, below = tree(AgentLimits(tool_calls=top), AgentLimits(tool_calls=low))
    for is_below, wanted in asked:
        assert 0 <= (below if is_below else above).take_calls(wanted) <= wanted
        assert above.tool_calls <= top
        assert below.tool_calls <= low


@given(st.lists(st.tuples(st.integers(1, 3_000), st.integers(1, 3_000)), max_size=30), st.integers(0, 20_000))
def test_what_is_held_and_used_never_passes_the_cap(asked: list[tuple[int, int]], cap: int) -> None:
    above, below = tree(AgentLimits(tokens=cap))
    held: list[int] = []
    for number, (into, out) in enumerate(asked):
        granted = below.hold_tokens(into, out)
        if isinstance(granted, int):
            held.append(into + granted)
        assert above.input_tokens + above.output_tokens + above.held_tokens <= cap
        if held and (number % 2 or granted is None):
            done = held.pop()
            below.release_tokens(done)
            below.add(done // 2, done - done // 2, None)
    for one in held:
        below.release_tokens(one)
    assert above.held_tokens == 0


def test_with_nothing_on_hold_and_no_room_it_stops() -> None:
    above, below = tree(AgentLimits(tokens=1_000))
    above.add(900, 50, None)
    assert isinstance(below.hold_tokens(40, 500), Stop)


def test_with_room_only_on_hold_one_waits() -> None:
    above, below = tree(AgentLimits(tokens=3_000))
    granted = above.hold_tokens(100, 2_800)
    assert isinstance(granted, int)
    assert below.hold_tokens(1_500, 1_500) is None


def test_what_a_record_says_takes_the_place_of_what_was_counted_now() -> None:
    above, below = tree(OPEN)
    before = below.reading()
    below.add(1, 1, Decimal("0.1"))
    live = below.reading().since(before, 0.0)
    below.correct(Reading(2, 3, 10, 20, Decimal("0.5"), Decimal("0.7")), live)
    assert (above.turns, above.tool_calls, above.input_tokens, above.output_tokens) == (2, 3, 10, 20)
    assert above.usd == below.usd == Decimal("0.7")


def test_what_costs_more_on_the_wire_than_answers_say_counts() -> None:
    meter = Meter("a", AgentLimits(usd=Decimal(1)))
    meter.add(1, 1, Decimal("0.2"))
    assert meter.hold_usd(Decimal("0.7")) is None
    assert meter.hold_usd(Decimal("0.2")) == "0.7"
    meter.settle_usd(Decimal("0.7"), Decimal("0.6"))
    assert meter.usd == Decimal("0.6")
