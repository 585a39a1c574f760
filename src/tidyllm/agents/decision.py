"""What can be decided: a closed union, read strictly. It knows words of JSON, never what prose means."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias, cast

import msgspec

from tidyllm.agents.phases import Phase
from tidyllm.errors import BadAnswer

__all__ = [
    "AskUser",
    "ChangePhase",
    "ConsultSpecialist",
    "ContinuePhase",
    "Decision",
    "Finish",
    "decision_schema",
    "read_decision",
]

SpecialistName: TypeAlias = Literal["coding", "reasoning", "analysis"]


class _Decision(msgspec.Struct, frozen=True, tag_field="action", forbid_unknown_fields=True):
    pass


class ConsultSpecialist(_Decision, frozen=True, tag="consult_specialist"):
    """Put a question to a specialist; the answer is kept, and everybody who works later sees it."""

    kind: SpecialistName
    query: str


class ChangePhase(_Decision, frozen=True, tag="change_phase"):
    """Go on in another phase."""

    to: Phase
    reason: str


class ContinuePhase(_Decision, frozen=True, tag="continue_phase"):
    """Do the next piece of work of this phase."""

    reason: str = ""


class AskUser(_Decision, frozen=True, tag="ask_user"):
    """Ask whoever stands behind the run."""

    question: str


class Finish(_Decision, frozen=True, tag="finish"):
    """The goal is reached. With a check that is believed only when the check passes."""

    reason: str


Decision: TypeAlias = ConsultSpecialist | ChangePhase | ContinuePhase | AskUser | Finish


# For providers whose schemas must be of an object at their root.
class Wrapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done next."""

    decision: Decision


_ONE_FENCE = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)
_decisions: msgspec.json.Decoder[Decision] = msgspec.json.Decoder(Decision)
_wrapped = msgspec.json.Decoder(Wrapped)


def read_decision(text: str) -> Decision:
    """The decision that `text` is: JSON and nothing beside it, but for one fence around it all.

    Words around it would have to be understood ("I would never …"), so there may be none.

    :raises BadAnswer: it is none; the message is for the model.
    """
    bare = text.strip()
    fenced = _ONE_FENCE.match(bare)
    bare = fenced[1] if fenced else bare
    try:
        decoded: object = _pairs(bare)
        if isinstance(decoded, dict) and list(cast("dict[str, Any]", decoded)) == ["decision"]:
            decision = _wrapped.decode(bare).decision
        else:
            decision = _decisions.decode(bare)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BadAnswer(f"This is no decision: {str(error) or type(error).__name__}.") from None
    blank = next((name for name in ("query", "question") if not getattr(decision, name, "x").strip()), None)
    if blank is not None:
        raise BadAnswer(f"This is no decision: {blank!r} is empty.")
    return decision


def _pairs(text: str) -> Any:
    """The value, as long as no object in it names a field twice: of two words neither is meant."""
    import json

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a field is named twice")
        return found

    return json.loads(text, object_pairs_hook=checked)


def decision_schema() -> dict[str, Any]:
    """The JSON schema of a decision."""
    return msgspec.json.schema(Decision)
