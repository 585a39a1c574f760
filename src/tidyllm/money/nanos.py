"""Dollars as whole numbers of nano-dollars (1e-9 $), and limits as people write them. It knows no budgets.

Whole numbers add up exactly, in Python, SQL and Redis alike. What is finer than a nano-dollar is rounded up, so that
a cap is never passed by the sum of many small roundings.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from typing import TypeAlias

from tidyllm.errors import ConfigError

__all__ = ["LARGEST_NANOS", "MOST_NANOS", "Dollars", "from_nanos", "limit_nanos", "shown_usd", "to_nanos"]

Dollars: TypeAlias = Decimal | int | float | str

LARGEST_NANOS = 1_000_000_000 * 1_000_000_000
"""A billion dollars: what a limit can be at most. Sums of two such still fit into 63 bits."""
MOST_NANOS = 1 << 62
"""What may count in one account at a time, also in one without a limit: what databases add up exactly, and room above
it for what is settled meanwhile."""

_EXACT = Context(prec=60)
_WRITTEN = re.compile(
    r"\$?\s*(?P<number>[-+]?[0-9_,]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(?P<currency>USD|usd|\$)?"
)


def to_nanos(usd: Decimal) -> int:
    """Nano-dollars, rounded up."""
    return int(usd.scaleb(9, _EXACT).to_integral_value(ROUND_CEILING, _EXACT))


def from_nanos(nanos: int) -> Decimal:
    """Dollars, exact."""
    return Decimal(nanos).scaleb(-9, _EXACT)


def shown_usd(nanos: int) -> str:
    """Dollars as people write them: `0.0125`, `3`, never in powers of ten."""
    text = f"{from_nanos(nanos):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def limit_nanos(where: str, value: Dollars) -> int:
    """A limit of 0 dollars or more, in nano-dollars. `where` names it in errors.

    Numbers, and texts such as `"5"`, `"$5"` and `"5 USD"`.

    :raises ConfigError: it is no number, negative, not finite, above a billion, finer than a nano-dollar, or in a
        currency other than US dollars.
    """
    number = _number(where, value)
    if not number.is_finite():
        raise ConfigError(f"{value!r} is not finite; {_ALLOWED}", where=where)
    if number < 0:
        raise ConfigError(f"{value!r} is below 0; {_ALLOWED}", where=where)
    nanos = number.scaleb(9, _EXACT)
    if nanos > LARGEST_NANOS:
        raise ConfigError(f"{value!r} is more than a billion dollars; {_ALLOWED}", where=where)
    if nanos != nanos.to_integral_value():
        raise ConfigError(f"{value!r} is finer than a nano-dollar (0.000000001); {_ALLOWED}", where=where)
    return int(nanos)


_ALLOWED = "expected US dollars from 0 to 1,000,000,000."


def _number(where: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Decimal | int | float | str):
        raise ConfigError(f"{value!r} is not an amount; {_ALLOWED}", where=where)
    if not isinstance(value, str):
        # A float means what it prints: 0.1 is ten cents, not 0.1000000000000000055.
        return Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    found = _WRITTEN.fullmatch(value.strip()[:100])
    if found is None:
        try:
            return Decimal(value.strip()[:100])  # nan and inf, which are refused with their own words
        except InvalidOperation:
            raise ConfigError(
                f"{value!r} is not an amount in US dollars, the only currency; {_ALLOWED}", where=where
            ) from None
    return Decimal(found["number"].replace(",", "").replace("_", ""))
