"""Windows: every moment has one slot, calendars are UTC, and a rolling window never looks back too little."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import ConfigError
from tidyllm.money import Window

MOMENTS = st.floats(0, 4e9)
ALL = ["none", "day", "week", "month", "rolling:60", "rolling:1h", "rolling:90000"]


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


@pytest.mark.parametrize("text", ALL)
@given(now=MOMENTS)
def test_a_moment_lies_in_its_slot(text: str, now: float) -> None:
    window = Window.parse(text)
    slot = window.slot(now)
    ends = window.ends(slot)
    assert window.first(now) <= slot <= now
    assert ends is None or now < ends
    assert window.slot(slot) == slot


@pytest.mark.parametrize("text", ["day", "week", "month"])
@given(now=MOMENTS)
def test_the_next_calendar_window_begins_where_the_last_one_ends(text: str, now: float) -> None:
    window = Window.parse(text)
    ends = window.ends(window.slot(now))
    assert ends is not None
    assert window.slot(ends) == ends


@given(now=MOMENTS, seconds=st.integers(60, 10**7), back=st.floats(0, 1))
def test_a_rolling_window_counts_whatever_was_spent_within_its_seconds(
    now: float, seconds: int, back: float
) -> None:
    window = Window.parse(f"rolling:{seconds}")
    assert window.slot(now - back * seconds) >= window.first(now)
    assert window.first(now) > now - seconds - window.step - 1


@given(now=MOMENTS, seconds=st.integers(60, 10**7))
def test_a_slot_no_longer_counts_once_it_has_ended(now: float, seconds: int) -> None:
    window = Window.parse(f"rolling:{seconds}")
    slot = window.slot(now)
    ends = window.ends(slot)
    assert ends is not None
    assert window.first(ends) > slot
    assert window.first(ends - 1) <= slot


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    thursday = at("2026-02-26T12:00:00")
    assert Window.parse("week").slot(thursday) == at("2026-02-23T00:00:00")
    month = Window.parse("month")
    assert month.slot(thursday) == at("2026-02-01T00:00:00")
    assert month.ends(month.slot(thursday)) == at("2026-03-01T00:00:00")
    december = month.slot(at("2026-12-31T23:59:59"))
    assert month.ends(december) == at("2027-01-01T00:00:00")


@pytest.mark.parametrize("text", ALL)
def test_it_is_written_as_it_was_read(text: str) -> None:
    assert Window.parse(str(Window.parse(text))) == Window.parse(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("monthly", "month"), ("dya", "day"), ("rolling", "rolling:SECONDS"), ("rolling:-5", "rolling:SECONDS"),
     ("", ""), ("rolling:5", ""), ("rolling:1e3", "rolling:SECONDS"), ("rolling:99999999999", "")],
)  # fmt: skip
def test_an_unknown_window_is_refused_and_the_near_one_named(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="window") as caught:
        Window.parse(text)
    assert hint in (caught.value.hint or "")
