"""Whose reasoning this is, and so which provider may get it back. It knows nothing of the rest of a request.

No provider can read or check the reasoning of another one, and most refuse a request that holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from tidyllm.models.loans import lender, returned
from tidyllm.models.message import Message, Thinking
from tidyllm.models.request import Request

__all__ = ["fit_reasoning", "without_loans"]


def fit_reasoning(part: Thinking, source: str | None, target: str) -> Thinking | None:
    """The reasoning as a provider of the format `target` takes it back; None when it is not its own.

    `source`: the format of the caller, None for a request made by hand. Reasoning of which nothing tells who made it
    stays in a request made by hand. Ollama's is plain text: it takes that of anyone who did not sign it.
    """
    theirs = returned(part)
    if theirs is not None and source is None and lender(part) == target:
        return part  # whoever lent it takes it back
    part = part if theirs is None else theirs
    made_by = _makers(part)
    if target in made_by or (not made_by and source is None):
        if target == "anthropic":
            return _as_signed(part)
        by_id = target == "openai_responses" and part.encrypted is None and not _content(part)
        # An id alone is good only as long as the provider stores the answer, which nobody here knows.
        return None if by_id and source is not None else part
    if target == "bedrock" and source is None and "anthropic" in made_by:
        return part  # made by hand: Claude's signatures hold at Bedrock, too
    if target == "ollama" and part.text and not part.signature and part.encrypted is None:
        return Thinking(text=part.text)
    return None


def without_loans(request: Request, report: Callable[[str], None]) -> Request:
    """The request without the reasoning that providers of other formats lent to a caller of this one."""
    if isinstance(request.messages, str):
        return request
    kept: list[Message] = []
    changed = False
    for i, message in enumerate(request.messages):
        parts = () if isinstance(message.content, str) else message.content
        lent = {
            j for j, part in enumerate(parts) if isinstance(part, Thinking) and returned(part) is not None
        }
        for j in sorted(lent):
            report(f"messages[{i}].content[{j}]")
        changed = changed or bool(lent)
        own = tuple(part for j, part in enumerate(parts) if j not in lent)
        if not lent:
            kept.append(message)
        elif own:
            kept.append(Message(message.role, own, message.extra))
    return msgspec.structs.replace(request, messages=tuple(kept)) if changed else request


def _makers(part: Thinking) -> frozenset[str]:
    """The formats whose providers can read it: two, where a server of the chat format passed on what another made."""
    mark: object = part.extra.get("openai_chat")
    if isinstance(mark, dict):
        chat = cast("dict[str, Any]", mark)
        behind = _signed_by(part, chat.get("detail")) if chat.get("field") == "reasoning_details" else None
        return frozenset({"openai_chat", behind} if behind else {"openai_chat"})
    if "openai_responses" in part.extra:
        return frozenset({"openai_responses"})
    if "bedrock" in part.extra:
        return frozenset({"bedrock"})
    by = _signed_by(part, None)
    return frozenset({by} if by else ())


def _signed_by(part: Thinking, detail: object) -> str | None:
    """Whose signature or encrypted text this is. `detail`: what an entry of `reasoning_details` says besides."""
    said: object = cast("dict[str, Any]", detail).get("format") if isinstance(detail, dict) else None
    form = said if isinstance(said, str) else ""
    if form.startswith("anthropic"):
        return "anthropic"
    if form.startswith("openai"):
        return "openai_responses"
    if form not in {"", "unknown"}:  # Gemini's and Grok's: we speak with neither
        return None
    if part.signature is not None:
        return "anthropic"
    if part.encrypted is None:
        return None
    return "anthropic" if part.id is None else "openai_responses"


def _as_signed(part: Thinking) -> Thinking:
    """Anthropic's reasoning has a signature, or is encrypted; entries of `reasoning_details` give either an id."""
    encrypted = None if part.signature is not None else part.encrypted
    return msgspec.structs.replace(part, encrypted=encrypted, id=None)


def _content(part: Thinking) -> bool:
    """Whether a reasoning item came with its text in full, as open models tell it: no id is needed then."""
    mark: object = part.extra.get("openai_responses")
    item: object = cast("dict[str, Any]", mark).get("item") if isinstance(mark, dict) else None
    return isinstance(item, dict) and bool(cast("dict[str, Any]", item).get("content"))
