"""Takes out of a body that is passed on unread what its provider must not see: reasoning that others lent (`loans.py`).

The rest of the body stays as it came, unknown fields included. A body without a loan is not decoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from tidyllm.models.checks import is_object
from tidyllm.models.loans import LOAN

__all__ = ["own_reasoning"]

_PLACE: Final = {
    "anthropic": "messages",
    "anthropic_count_tokens": "messages",
    "openai_chat": "messages",
    "openai_responses": "input",
}
"""The field that holds the conversation, by endpoint."""

_SIGN: Final = f'"{LOAN}'.encode()  # a text inside of another would have a backslash before the quote
_PLAIN: Final = ("reasoning", "reasoning_content")


def own_reasoning(endpoint: str, fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The top-level fields to be replaced, so that a provider of this format gets no reasoning of another one.

    Empty for nearly all requests. The others are those of a caller whose conversation was answered by a provider of
    another format before, and whose next answer comes from one of his own: a fallback, or a route that has changed.
    """
    name = _PLACE.get(endpoint, "")
    raw = fields.get(name)
    if raw is None or _SIGN not in bytes(raw):
        return {}
    try:
        entries = msgspec.json.decode(raw, type=list[msgspec.Raw])
        kept = [_kept(endpoint, entry) for entry in entries]
    except (msgspec.MsgspecError, RecursionError):  # the provider says it better
        return {}
    changed = [new for new in kept if new is not None]
    same = len(changed) == len(entries) and all(a is b for a, b in zip(changed, entries, strict=True))
    return {} if same else {name: changed}


def _kept(endpoint: str, raw: msgspec.Raw) -> Any:
    """The message or item without lent reasoning; None where nothing else was in it."""
    entry: object = msgspec.json.decode(raw) if _SIGN in bytes(raw) else None
    if not is_object(entry):
        return raw
    if endpoint == "openai_responses":
        return None if entry.get("type") == "reasoning" and _is_loan(entry.get("encrypted_content")) else raw
    return _chat(entry, raw) if endpoint == "openai_chat" else _messages(entry, raw)


def _chat(message: dict[str, Any], raw: msgspec.Raw) -> Any:
    details = _list(message, "reasoning_details")
    own = [one for one in details if not (is_object(one) and _is_loan(one.get("id")))]
    if len(own) == len(details):
        return raw
    # The plain fields hold the same words again.
    rest = {k: v for k, v in message.items() if k not in _PLAIN and k != "reasoning_details"}
    return {**rest, "reasoning_details": own} if own else rest


def _messages(message: dict[str, Any], raw: msgspec.Raw) -> Any:
    content = _list(message, "content")
    own = [block for block in content if not _is_lent_block(block)]
    if len(own) == len(content):
        return raw
    return {**message, "content": own} if own else None


def _list(data: dict[str, Any], key: str) -> list[object]:
    value: object = data.get(key)
    return cast("list[object]", value) if isinstance(value, list) else []


def _is_lent_block(block: object) -> bool:
    if not is_object(block):
        return False
    held = {"thinking": "signature", "redacted_thinking": "data"}.get(str(block.get("type")))
    return held is not None and _is_loan(block.get(held))


def _is_loan(value: object) -> bool:
    return isinstance(value, str) and value.startswith(LOAN)
