"""What a part remembers of the item it came from, so that it can be written back whole. It knows no wire
types.

A part or message read from this format may carry `extra["openai_responses"]`, the mark, with any of these
keys:

- `item`: the fields of its item that our part has no place for (`id`, `status`, `phase`, `namespace`,
  `summary`...);
- `type`: the wire type of a content part, where it is not the usual one;
- `form`: "list" or "string", where the content of a message was not in the form we would choose.

Other keys of `extra` are fields of the part itself (`annotations`, `logprobs`). Another format leaves the
mark out.
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.losses import Losses
from tidyllm.models.marks import MARKS
from tidyllm.models.message import Message, Part

__all__ = ["FORMAT", "item_fields", "mark_of", "marked", "own_fields"]

FORMAT = "openai_responses"

_FOREIGN = {
    "cache_control": "here prompts are cached without being told",
    "citations": "here citations are annotations",
}


def marked(extra: dict[str, Any], **mark: Any) -> dict[str, Any]:
    """`extra` with the mark, whose empty entries are left out; no mark when nothing is left."""
    kept = {key: value for key, value in mark.items() if value is not None}
    return {**extra, FORMAT: kept} if kept else extra


def mark_of(holder: Part | Message) -> dict[str, Any] | None:
    """The mark of a part or message, None where it has none and so did not come from an item of this
    format."""
    mark = holder.extra.get(FORMAT) if holder.extra else None
    return cast("dict[str, Any]", mark) if isinstance(mark, dict) else None


def item_fields(holder: Part | Message) -> dict[str, Any]:
    """The fields of the item which the mark keeps; empty without a mark."""
    fields = (mark_of(holder) or {}).get("item")
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def own_fields(extra: dict[str, Any], at: str, losses: Losses) -> dict[str, Any]:
    """The fields of `extra` that go on the wire: neither marks, nor fields that only another format knows."""
    if not extra:
        return extra
    for name in extra.keys() & _FOREIGN.keys():
        losses.add(f"{at}.{name}", _FOREIGN[name])
    return {key: value for key, value in extra.items() if key not in MARKS and key not in _FOREIGN}
