"""A model's answer → the calls it asks for. Native calls first; the text is read only where there are none.

It knows answers and toolsets; how calls are written in text is `parse.py`'s business. Nothing is run.
"""

from __future__ import annotations

import msgspec

from tidyllm.agents.call import Call, ToolResult
from tidyllm.agents.parse import read_calls
from tidyllm.agents.parse_json import Unreadable, read_json
from tidyllm.agents.toolset import Toolset
from tidyllm.models.message import ToolCall
from tidyllm.models.response import Response

__all__ = ["Parsed", "calls_of"]

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
    native = response.tool_calls
    return _native(native, response, toolset) if native else _written(response, toolset)


def _native(asked: tuple[ToolCall, ...], response: Response, toolset: Toolset) -> Parsed:
    calls: list[Call] = []
    refused: list[ToolResult] = []
    for number, one in enumerate(asked, 1):
        id = one.id or f"call-{number}"
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
