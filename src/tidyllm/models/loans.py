"""Reasoning of one provider on its way through the format of a caller, and back. It knows no bodies and no network.

A provider wants back what it gave with its reasoning: a signature, encrypted text, an id, the field it stood in.
Another format has no place for these, but each has one text that clients send back untouched. There it stands with
`tidyllm:` in front, a loan:

- Responses: `encrypted_content` is a loan;
- Anthropic: the `signature` of a thinking block is one, or the `data` of a redacted one;
- chat: the `id` of an entry in `reasoning_details` begins like one; signature and encrypted text have places there.

Readers leave loans as they are, so that whatever is read from a format is written back to it whole. Only a request
that crosses to another format has them taken out (`returned`), and a provider must never see one: it would refuse a
signature that is none (see `own_reasoning.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from tidyllm.models.marks import MARKS
from tidyllm.models.message import Thinking

__all__ = ["LOAN", "lender", "loan", "returned"]

LOAN: Final = "tidyllm:"


class _ChatMark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which of the chat format's fields it stood in, and its entry in `reasoning_details`."""

    field: str | None = None
    detail: dict[str, Any] | None = None


class _Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a reasoning item of the Responses format says besides."""

    summary: list[Any] | None = None
    content: list[Any] | None = None
    status: str | None = None


class _ItemMark(msgspec.Struct, frozen=True, omit_defaults=True):
    item: _Item = _Item()


class _Marks(msgspec.Struct, frozen=True, omit_defaults=True):
    openai_chat: _ChatMark | None = None
    openai_responses: _ItemMark | None = None
    bedrock: dict[str, Any] | None = None


class _Loan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the provider wants back. Only these fields are read: clients can send us anything."""

    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None
    marks: _Marks | None = None


_decode = msgspec.json.Decoder(_Loan).decode
_encode = msgspec.json.Encoder().encode


def loan(part: Thinking) -> str:
    """What the provider wants back with this reasoning, as one text. The reasoning itself is not in it."""
    return LOAN + _encode(_Loan(part.signature, part.encrypted, part.id, _known_marks(part.extra))).decode()


def returned(part: Thinking) -> Thinking | None:
    """The reasoning as its provider made it, where it came back with a loan; None for any other."""
    if part.id is not None and part.id.startswith(LOAN):
        return Thinking(
            text=part.text,
            signature=part.signature,
            encrypted=part.encrypted,
            id=part.id[len(LOAN) :] or None,
        )
    for held in (part.signature, part.encrypted):
        if held is not None and held.startswith(LOAN):
            try:
                theirs = _decode(held[len(LOAN) :])
            except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
                return None  # it only looks like one
            marks: dict[str, Any] = msgspec.to_builtins(theirs.marks or _Marks())
            return Thinking(
                text=part.text,
                signature=theirs.signature,
                encrypted=theirs.encrypted,
                id=theirs.id,
                extra=marks,
            )
    return None


def lender(part: Thinking) -> str:
    """The format of the caller through whose hands a loan went."""
    if part.id is not None and part.id.startswith(LOAN):
        return "openai_chat"
    return "openai_responses" if "openai_responses" in part.extra else "anthropic"


def _known_marks(extra: Mapping[str, Any]) -> _Marks | None:
    if MARKS.isdisjoint(extra):
        return None
    try:
        return msgspec.convert(dict(extra), _Marks)
    except msgspec.ValidationError:  # made by hand, and not as we do
        return None
