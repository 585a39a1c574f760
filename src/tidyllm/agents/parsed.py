"""A model's answer → the calls it asks for. Native calls first; the text is read only where there are none.

It knows answers and toolsets; how calls are written in text is `parse.py`'s business. Nothing is run.
"""

from __future__ import annotations

import itertools

import msgspec

from tidyllm.agents.call import Call, ToolResult
from tidyllm.agents.parse import read_calls
from tidyllm.agents.parse_json import Unreadable, read_json
from tidyllm.agents.toolset import Toolset
from tidyllm.models.message import Part, ToolCall
from tidyllm.models.response import Response

__all__ = ["Parsed", "calls_of", "with_ids"]

_CUT = "the answer was cut off at its length limit before this call was whole. Write it again, in smaller pieces."


class Parsed(msgspec.Struct, frozen=True):
    """What an answer asks for.

    - `calls`: to be run, in order.
    - `problems`: what was meant as a call and is none, in words for the model: give them back to it.
    - `text`: what it said beside its calls.
    - `refused`: for native calls among the problems: the result of each. Providers want one for every call.
    """

    calls: tuple[Call, ...] = ()
    problems: tuple[str, ...] = ()
    text: str = ""
    refused: tuple[ToolResult, ...] = ()


def calls_of(response: Response, toolset: Toolset) -> Parsed:
    """The calls in a response. A name that is not in `toolset` is a problem, never taken for another one.

    Calls that were read from text get the ids `call-1`, `call-2`, … as native ones do that came without an id.
    """
    native = with_ids(response).tool_calls
    return _native(native, response, toolset) if native else _written(response, toolset)


def with_ids(response: Response) -> Response:
    """The same answer with an id of its own for each native call; itself where that is so already.

    Some providers send none, or one twice. Whoever goes on with the conversation sends this answer back, so that
    results and calls belong together.
    """
    seen: set[str] = set()
    content: list[Part] = []
    calls = 0
    for part in response.content:
        kept = part
        if isinstance(part, ToolCall):
            calls += 1
            id = part.id or f"call-{calls}"
            id = next(one for n in itertools.count(1) if (one := id if n == 1 else f"{id}-{n}") not in seen)
            seen.add(id)
            kept = part if id == part.id else msgspec.structs.replace(part, id=id)
        content.append(kept)
    if all(one is other for one, other in zip(content, response.content, strict=True)):
        return response
    return msgspec.structs.replace(response, content=tuple(content))


def _native(asked: tuple[ToolCall, ...], response: Response, toolset: Toolset) -> Parsed:
    calls: list[Call] = []
    refused: list[ToolResult] = []
    for one in asked:
        id = one.id
        try:
            if one.name not in toolset:
                refused.append(
                    ToolResult(id, one.name, toolset.unknown(one.name), ok=False, error="UnknownTool")
                )
            elif one.valid:
                calls.append(Call(id, one.name, one.arguments))
            else:
                calls.append(
                    Call(id, one.name, _repaired(one.raw_arguments, cut=response.finish_reason == "length"))
                )
        except Unreadable as why:
            text = f"{one.name} was not called: its arguments cannot be read: {why.reason}"
            refused.append(ToolResult(id, one.name, text, ok=False, error="BadToolCall"))
    return Parsed(tuple(calls), tuple(one.text for one in refused), response.text, tuple(refused))


def _repaired(raw: str, *, cut: bool) -> dict[str, object]:
    """:raises Unreadable: it is no JSON object, or the end of it is missing."""
    text = raw.strip()
    if text[:1] != "{":
        raise Unreadable("they are no JSON object.", 0)
    found = read_json(text)
    if found.closed and cut:
        raise Unreadable(_CUT, found.end)
    if text[found.end :].strip():
        raise Unreadable(f"after the JSON object stands {text[found.end :].strip()[:30]!r}.", found.end)
    return found.value


def _written(response: Response, toolset: Toolset) -> Parsed:
    text = response.text
    if not text:
        return Parsed()
    reading = read_calls(text, {one.name: one.schema for one in toolset})
    calls: list[Call] = []
    problems = list(reading.problems)
    for one in reading.calls:
        if one.name not in toolset:
            problems.append(toolset.unknown(one.name))
        elif one.closed and response.finish_reason == "length":
            problems.append(f"{one.name} was not called: {_CUT}")
        else:
            calls.append(Call(f"call-{len(calls) + 1}", one.name, one.arguments))
    return Parsed(tuple(calls), tuple(problems), reading.text)
