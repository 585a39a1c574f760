"""How many tokens a text or a request is: exactly where the ranks of a model's family are public, else a bound that is
never below the truth. It knows no prices.
"""

from tidyllm.tokens.count import (
    Count,
    bound_text,
    bound_tokens,
    count_request,
    count_text,
    count_tokens,
    input_counter,
)
from tidyllm.tokens.family import Family, family_of

__all__ = [
    "Count",
    "Family",
    "bound_text",
    "bound_tokens",
    "count_request",
    "count_text",
    "count_tokens",
    "family_of",
    "input_counter",
]
