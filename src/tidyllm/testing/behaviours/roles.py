"""Answers for the other roles of a team: planner, reviewer, arbiter, analyst.

They look at the schema that is asked for, then at the words of the request; no class and no prompt is known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from tidyllm.models.offline.reply import Reply
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.fit import fit
from tidyllm.testing.behaviours.heard import conversation
from tidyllm.testing.behaviours.offer import offer

__all__ = ["PREFERRED", "Behaviour", "acting", "is_asked_for_data", "role_answer", "schema_of"]

Behaviour: TypeAlias = Callable[[Request], Reply | str]
"""What a scripted model is: a function of the request and of nothing else."""

PREFERRED: Mapping[str, Any] = {
    "action": ["continue_phase", "finish"],
    "reason": "The conversation gives no cause for anything else.",
    "kind": ["coding", "code"],
    "query": "Why do the tests fail?",
    "verdict": ["approve", "approved", "accept", "ok", "pass"],
    "status": ["new", "done", "ok"],
    "approved": True,
    "accepted": True,
    "done": True,
    "success": True,
    "id": "task-1",
    "title": "Make the tests pass",
    "name": "Make the tests pass",
    "goal": "Make the tests pass",
    "description": "Run the tests, read what fails, and repair the code.",
    "summary": "The tests were run and the code was looked at.",
    "answer": "The tests were run and the code was looked at.",
    "text": "The tests were run and the code was looked at.",
    "phase": ["coding"],
    "confidence": [0.9, 1],
    "score": [0.9, 1],
    "priority": 1,
}
"""What fields of these names hold, where the schema allows it."""

_IMMEDIATE = frozenset({"action", "decision", "findings", "plan", "tasks", "verdict", "vote"})
"""Schemas with one of these ask for a judgement: it is given at once, whatever tools are at hand."""


_ANSWER = re.compile(r"answer|respond|reply|output|fits? ", re.IGNORECASE)
_BEFORE = 120  # characters in front of a schema in a prompt that say what it is of: tools have schemas, too


def schema_of(request: Request) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit: from the request's own field, else one written out in its text."""
    wanted = json_schema(request.output)
    if wanted is not None:
        return wanted.schema
    decoder = json.JSONDecoder()
    told = [each.text for each in conversation(request) if each.kind == "told"]
    for text in told[:1] + told[-1:]:
        at = 0
        while (at := text.find("{", at)) >= 0:
            start = at
            try:
                found, at = decoder.raw_decode(text, at)
            except ValueError:
                at += 1
                continue
            if _is_schema(found) and _ANSWER.search(text[max(start - _BEFORE, 0) : start]):
                return cast("Mapping[str, Any]", found)
    return None


def _is_schema(found: Any) -> bool:
    if not isinstance(found, dict):
        return False
    keys = set(cast("dict[str, Any]", found))
    unions = bool(keys & {"anyOf", "oneOf", "$defs"})
    return "name" not in keys and (unions or {"type", "properties"} <= keys)


def is_asked_for_data(request: Request) -> bool:
    """Whether the request asks for a judgement as data (a plan, findings, a decision), not for work with tools."""
    schema = schema_of(request)
    if schema is None:
        return wants_json(request.output)
    return not offer(request).edits or bool(_properties(schema) & _IMMEDIATE)


def _properties(schema: Mapping[str, Any]) -> set[str]:
    found = set(cast("Mapping[str, Any]", schema.get("properties") or {}))
    for key in ("anyOf", "oneOf"):
        for choice in schema.get(key) or ():
            reference = str(choice.get("$ref", "")).rpartition("/")[2]
            found |= _properties(cast("Mapping[str, Any]", schema.get("$defs", {}).get(reference, choice)))
    return found


def role_answer(request: Request, prefer: Mapping[str, Any] | None = None) -> Reply:
    """The answer of a sensible colleague: data that fits the schema, or a sentence or two.

    `prefer` stands before `PREFERRED`: `{"action": ["finish"]}` makes the arbiter end.
    """
    schema = schema_of(request)
    words = {**PREFERRED, **(prefer or {})}
    if schema is not None:
        return Reply(text=msgspec.json.encode(fit(schema, words)).decode())
    told = "\n".join(each.text for each in conversation(request) if each.kind == "told").lower()
    if "continue_phase" in told:
        return Reply(text=json.dumps({"action": "continue_phase"}))
    if wants_json(request.output):
        return Reply(text=json.dumps({"answer": words["answer"]}))
    if re.search(r"\breview", told):
        return Reply(text="I have no findings: the change is small, and the tests cover it.")
    if re.search(r"\bplan", told):
        return Reply(
            text="1. Run the tests.\n2. Read the file that fails.\n3. Repair it and run the tests again."
        )
    return Reply(text="The tests say what is wrong; the code should be repaired until they pass.")


def acting(bad: Behaviour, *, everywhere: bool = False) -> Behaviour:
    """A model that misbehaves at work and is a sensible colleague otherwise, so that a team gets as far as its work.

    `everywhere`: it misbehaves as a planner, reviewer and arbiter as well.
    """
    if everywhere:
        return bad
    return lambda request: role_answer(request) if is_asked_for_data(request) else bad(request)
