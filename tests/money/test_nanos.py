"""Dollars as whole numbers: exact both ways, never rounded down, limits refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import ConfigError
from tidyllm.money.nanos import from_nanos, limit_nanos, shown_usd, to_nanos


@given(st.integers(0, 10**18))
def test_whole_nano_dollars_are_exact(nanos: int) -> None:
    assert to_nanos(from_nanos(nanos)) == nanos
    assert Decimal(shown_usd(nanos)) == from_nanos(nanos)


@given(st.decimals(0, 10**6, places=14))
def test_what_is_finer_is_rounded_up_by_less_than_one(usd: Decimal) -> None:
    assert 0 <= from_nanos(to_nanos(usd)) - usd < Decimal("1e-9")


@pytest.mark.parametrize(
    ("given_", "usd"),
    [
        (5, "5"),
        (0.1, "0.1"),
        (Decimal("2.5"), "2.5"),
        ("$5", "5"),
        ("5 USD", "5"),
        ("1,000.50", "1000.5"),
        (0, "0"),
    ],
)
def test_a_limit_may_be_written_in_many_ways(given_: Any, usd: str) -> None:
    assert from_nanos(limit_nanos("limit_usd", given_)) == Decimal(usd)


@pytest.mark.parametrize(
    "given_",
    [-1, "-0.01", float("nan"), float("inf"), "nan", "inf", "5 EUR", "€5", "5 CNY", "much", "", True, None, [5], 1e10,
     "0.0000000001", "1e400"],
)  # fmt: skip
def test_anything_else_is_refused_with_field_and_value(given_: Any) -> None:
    with pytest.raises(ConfigError, match=r"^Budget\.limit_usd: ") as caught:
        limit_nanos("Budget.limit_usd", given_)
    assert repr(given_) in str(caught.value)
    assert "US dollars" in str(caught.value)
