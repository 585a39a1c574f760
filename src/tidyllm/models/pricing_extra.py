"""What a provider's own usage object says beyond the tokens of one model: its bill, things used by the piece, turns of
other models. It knows the providers' words and no prices.

A count of another shape than the provider promises gives None, so that the cost becomes unknown and not wrong.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast

from tidyllm.models.checks import count_in, is_object
from tidyllm.models.model_info import Bill
from tidyllm.models.response import Usage

__all__ = ["charged_usd", "more_turns", "uses"]

_TICKS = -10
"""xAI counts in ticks, of which a dollar has 10¹⁰."""

_COUNTED = {"web_search": ("server_tool_use", "web_search_requests")}
"""What is billed by the piece, and where its count stands. What is free (Anthropic's fetches) is not here."""

_APART = ("advisor_message", "compaction")
"""Kinds of Anthropic's `iterations` which the counts beside them leave out; `message` is in them."""


def charged_usd(raw: dict[str, Any], bill: Bill) -> Decimal | None:
    """What the provider says that it charged, in dollars; None when it does not say.

    With a key of one's own at OpenRouter the call is paid at two places; both are in the answer, or it is unknown.
    """
    charged = _amount(raw.get(bill))
    if charged is None or bill == "cost_in_usd_ticks":
        return None if charged is None else charged.scaleb(_TICKS)
    if raw.get("is_byok") is not True:
        return charged
    details = raw.get("cost_details")
    upstream = _amount(details.get("upstream_inference_cost")) if is_object(details) else None
    return None if upstream is None else charged + upstream


def uses(raw: dict[str, Any]) -> dict[str, int]:
    """How often each thing was used that is billed by the piece; only those that were."""
    found: dict[str, int] = {}
    for name, (group, field) in _COUNTED.items():
        counts = raw.get(group)
        if is_object(counts) and (count := count_in(counts, field)):
            found[name] = count
    return found


def more_turns(raw: dict[str, Any]) -> list[tuple[str | None, Usage]] | None:
    """Turns inside the call that its counts leave out, each with the model that took it (None: the same one).

    None when a turn is of a kind that we do not know.
    """
    turns = raw.get("iterations")
    if not isinstance(turns, list):
        return []
    found: list[tuple[str | None, Usage]] = []
    for turn in cast("list[object]", turns):
        if not is_object(turn):
            return None
        kind, model = turn.get("type"), turn.get("model")
        if kind == "message":
            continue
        if kind not in _APART or not isinstance(model, str | None):
            return None
        from tidyllm.models.anthropic.usage import decode_usage  # heavy, and rarely needed

        found.append((model, decode_usage(turn)))
    return found


def _amount(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        amount = Decimal(str(value))  # the shortest digits that mean this float: those that were sent
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
