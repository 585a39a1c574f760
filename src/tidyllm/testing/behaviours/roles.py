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
    "conclusion": "The failing test shows what is wrong.",
    "message": "The tests were run and the code was looked at.",
    "question": "What is the program meant to do?",
    "rationale": "The conversation gives no cause for anything else.",
    "phase": ["coding"],
    "confidence": [0.9, 1],
    "score": [0.9, 1],
    "priority": 1,
}
"""What fields of these names hold, where the schema allows it."""

_IMMEDIATE = frozenset({"action", "decision", "findings", "plan", "tasks", "verdict", "vote"})
"""Schemas with one of these ask for a judgement: it is given at once, whatever tools are at hand."""


_ANSWER = re.compile(r"answer|respond|reply|output|fits? ", re.IGNORECASE)
_TOOLS = re.compile(r"(?:arguments|parameters|input)\W{0,8}$", re.IGNORECASE)
_BEFORE = 120  # characters in front of a schema in a prompt that say what it is of: tools have schemas, too


def schema_of(request: Request) -> Mapping[str, Any] | None:
    """The JSON schema that the answer must fit: from the request's own field, else that of a tool by which to answer,
    else one written out in its text."""
    wanted = json_schema(request.output)
    if wanted is not None:
        return wanted.schema
    tools = offer(request)
    if answers := tools.name("answer"):
        return tools.schemas[answers]
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
            before = text[max(start - _BEFORE, 0) : start]
            if (
                _is_schema(found)
                and _ANSWER.search(before)
                and not _TOOLS.search(before.replace("schema", ""))
            ):
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


def _properties(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, level: int = 0) -> set[str]:
    """Names of fields, those of unions and of what only wraps an answer included."""
    root = schema if root is None else root
    reference = str(schema.get("$ref", "")).rpartition("/")[2]
    node = cast("Mapping[str, Any]", root.get("$defs", {}).get(reference, schema))
    fields = cast("Mapping[str, Mapping[str, Any]]", node.get("properties") or {})
    inner = [*(node.get("anyOf") or ()), *(node.get("oneOf") or ())]
    inner += [fields[name] for name in ("answer", "result") if name in fields]
    found = set(fields)
    for each in inner if level < _LEVELS else ():
        found |= _properties(each, root, level + 1)
    return found


_LEVELS = 4


def role_answer(request: Request, prefer: Mapping[str, Any] | None = None, *, native: bool = True) -> Reply:
    """The answer of a sensible colleague: data that fits the schema, or a sentence or two.

    `prefer` stands before `PREFERRED`: `{"action": ["finish"]}` makes the arbiter end. `native`: False writes the call
    of a tool by which to answer as text.
    """
    schema = schema_of(request)
    words = {**PREFERRED, **(prefer or {})}
    if schema is not None:
        value = fit(schema, words)
        tools = offer(request, native=native)
        answers = tools.name("answer")
        if answers and request.output is None:
            return tools.calling(answers, value)
        return Reply(text=msgspec.json.encode(value).decode())
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
