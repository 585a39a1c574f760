"""Calls in the tokens that families of models were trained with, for servers that pass them on as text. Pure.

Harmony, Mistral, DeepSeek and ReAct put a name before a JSON object: those are read. Of Python code, YAML and damaged
tokens it only says that a call was meant, so that it does not pass for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["HEAD", "TAIL", "named", "unread"]

_NAME = r"[\w.-]{1,128}+"
_HARMONY = (
    rf"<\|(?:channel|start)\|>[^{{\n]{{0,100}}?\bto=(?:functions\.)?(?P<harmony>{_NAME})"
    r"[^{\n]{0,200}?<\|message\|>\s*+(?=\{)"
)
_MISTRAL = (
    rf"\[TOOL_CALLS\]\s*+(?P<mistral>{_NAME})\s*+(?:\[CALL_ID\][\w-]{{0,80}}+\s*+)?(?:\[ARGS\])?\s*+(?=\{{)"
)
_SEP = r"<[|\uff5c]tool[_\u2581]sep[|\uff5c]>"
_DEEPSEEK = (
    rf"<[|\uff5c]tool[_\u2581]call[_\u2581]begin[|\uff5c]>(?:function{_SEP})?(?P<deepseek>{_NAME})"
    rf"\s*+(?:{_SEP})?\s*+(?:```(?:json)?\s*+)?(?=\{{)"
)
_REACT = (
    rf"(?m:^)[ \t]*+(?:\*\*)?Action:(?:\*\*)?[ \t]*+`?(?P<react>{_NAME})`?[ \t]*+\n[ \t]*+"
    r"(?:\*\*)?Action Input:(?:\*\*)?\s*+(?:```(?:json)?\s*+)?(?=\{)"
)
HEAD = rf"(?P<head>{_HARMONY}|{_MISTRAL}|{_DEEPSEEK}|{_REACT})"
"""What stands before the JSON object of the arguments."""
TAIL = re.compile(
    r"(?:\s*+(?:```|<\|call\|>|<[|\uff5c]tool[_\u2581]calls?[_\u2581]end[|\uff5c]>|</s>)){0,4}"
    r"(?P<result>\s*+^[ \t]*+(?:\*\*)?Observation:)?",
    re.MULTILINE,
)
"""What may stand behind it; `result`: an answer of the tool that the model made up."""

_MARKERS = (
    (re.compile(r"<\|(?:channel|start)\|>[^{\n]{0,100}?\bto="), "with the tokens of harmony"),
    (re.compile(r"^[ \t]*+\[TOOL_CALLS\]|\[TOOL_CALLS\]\w", re.MULTILINE), "with the tokens of Mistral"),
    (re.compile(r"<[|\uff5c]tool[_\u2581]calls?[_\u2581]begin[|\uff5c]>"), "with the tokens of DeepSeek"),
    (re.compile(r"^[ \t]*+```tool_(?:code|calls?)[ \t]*+$", re.MULTILINE), "as code"),
    (re.compile(r"^[ \t]*+(?:\*\*)?Action Input:", re.MULTILINE), "as Action and Action Input"),
)
_YAML = re.compile(
    rf"^[ \t]*+(?:-[ \t]++)?(?:tool|tool_name|name|function|action):[ \t]*+[\"']?(?P<name>{_NAME})[\"']?[ \t]*+\n"
    r"[ \t]*+(?:arguments|parameters|args|params|input|tool_input|action_input):",
    re.MULTILINE,
)


def named(found: re.Match[str]) -> str:
    """The tool's name in what `HEAD` has matched."""
    return found["harmony"] or found["mistral"] or found["deepseek"] or found["react"]


def unread(text: str, names: Mapping[str, Any]) -> str:
    """In which way of writing, not read here, a call was meant; "" where none was. `names`: of the tools."""
    if not names:
        return ""
    for marker, how in _MARKERS:
        if marker.search(text):
            return how
    return "as YAML" if any(one["name"] in names for one in _YAML.finditer(text)) else ""
