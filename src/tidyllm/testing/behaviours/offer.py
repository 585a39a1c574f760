"""The tools that a request offers, natively or in its text, and calls of them. It knows names that tools often have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from tidyllm.models.message import ToolCall
from tidyllm.models.offline.reply import Reply
from tidyllm.models.offline.sample import sample
from tidyllm.models.request import Request, Tool
from tidyllm.testing.behaviours.heard import conversation

__all__ = ["Deed", "Offer", "offer", "said_in_text"]

Deed = Literal["list", "read", "search", "edit", "write", "test", "command", "answer"]

_NAMES: Mapping[Deed, tuple[str, ...]] = {
    "list": ("list_files", "list_dir", "list_directory", "ls"),
    "read": ("read_file", "read", "cat", "open_file"),
    "search": ("search", "search_files", "grep"),
    "edit": ("edit_file", "replace_in_file", "str_replace", "edit"),
    "write": ("write_file", "create_file", "write"),
    "test": ("run_tests", "run_checks", "pytest"),
    "command": ("run_command", "run", "execute", "shell"),
    "answer": ("final_answer", "give_final_answer", "finish_with", "submit_answer"),
}
_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "file_path", "filename"),
    "old": ("old", "old_text", "old_string", "find", "search", "before"),
    "new": ("new", "new_text", "new_string", "replace", "replacement", "after"),
    "text": ("text", "content", "contents", "new_text"),
    "pattern": ("pattern", "query", "text"),
    "argv": ("argv", "args", "command", "cmd"),
}


class Offer(msgspec.Struct, frozen=True):
    """What may be called. `native`: whether calls are parts of the answer, or JSON in its text; `tagged`: whether that
    JSON stands in `<tool_call>` tags, which is so where the prompt shows them."""

    schemas: dict[str, dict[str, Any]]
    native: bool
    tagged: bool = False

    def name(self, deed: Deed) -> str | None:
        """The tool that does this; None when none is offered."""
        return next((name for name in _NAMES[deed] if name in self.schemas), None)

    @property
    def edits(self) -> bool:
        """Whether files can be changed."""
        return self.name("edit") is not None or self.name("write") is not None

    def call(self, deed: Deed, **meant: Any) -> Reply:
        """The call that does this, with what is `meant` under the names that the tool's schema has for it.

        :raises KeyError: no such tool is offered.
        """
        name = self.name(deed)
        if name is None:
            raise KeyError(deed)
        schema = self.schemas[name]
        given: object = schema.get("properties")
        properties = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        arguments: dict[str, Any] = {}
        for word, value in meant.items():
            known = _ARGUMENTS[word]
            chosen = next((each for each in known if each in properties and each not in arguments), None)
            if chosen is None and properties:
                continue  # this tool does not take it
            chosen = chosen or known[0]
            kind: object = properties.get(chosen, {}).get("type")
            if isinstance(value, list) and kind == "string":
                arguments[chosen] = " ".join(cast("list[str]", value))
            else:
                arguments[chosen] = value
        for required in cast("list[str]", schema.get("required", [])):
            if required not in arguments:
                arguments[required] = sample(properties.get(required, {}))
        return self.calling(name, arguments)

    def calling(self, name: str, arguments: dict[str, Any]) -> Reply:
        """A call of `name`, offered or not, in the way that this request understands."""
        raw = msgspec.json.encode(arguments).decode()
        if self.native:
            return Reply(tool_calls=(ToolCall(name=name, arguments=arguments, raw_arguments=raw),))
        if self.tagged:
            told = msgspec.json.encode({"name": name, "arguments": arguments}).decode()
            return Reply(text=f"I will use a tool.\n\n<tool_call>\n{told}\n</tool_call>")
        return Reply(text=said_in_text(name, arguments))


def said_in_text(name: str, arguments: dict[str, Any]) -> str:
    """A call as a model without native tools writes it."""
    told = msgspec.json.format(
        msgspec.json.encode({"tool": name, "parameters": arguments}), indent=2
    ).decode()
    return f"I will use a tool.\n\n```json\n{told}\n```"


def offer(request: Request, *, native: bool = True) -> Offer:
    """The tools of `request`; without native ones (or with `native=False`), those that its text names."""
    tools = {tool.name: tool.parameters or {} for tool in request.tools if isinstance(tool, Tool)}
    heard = conversation(request)
    tagged = any("<tool_call>" in each.text for each in heard if each.kind == "told")
    if tools:
        return Offer(tools, native, tagged)
    told = "\n".join(each.text for each in heard[:3] if each.kind == "told")
    known = [name for names in _NAMES.values() for name in names if "_" in name or name == "search"]
    named = [name for name in known if re.search(rf"\b{name}\b", told)]
    if not any("_" in name for name in named):
        return Offer({}, native=False)
    return Offer({name: _schema(told, name) for name in named}, native=False, tagged=tagged)


def _schema(text: str, name: str) -> dict[str, Any]:
    """The parameters of a tool that a prompt describes by JSON, after its name or around it; {} where it does not."""
    decoder = json.JSONDecoder()
    headings = re.finditer(rf"^\W*{name}\b", text, re.MULTILINE)  # before what other tools say of this one
    for named in (*headings, *re.finditer(rf"\b{name}\b", text)):
        for start in (text.rfind("{", 0, named.start()), text.find("{", named.end())):
            if start < 0 or abs(start - named.start()) > _NEAR:
                continue
            try:
                found: Any = decoder.raw_decode(text, start)[0]
            except ValueError:
                continue
            schema = _parameters(cast("dict[str, Any]", found), name)
            if schema is not None:
                return schema
    return {}


_NEAR = 2_000  # characters between a tool's name and its schema: room for a description


def _parameters(found: dict[str, Any], name: str) -> dict[str, Any] | None:
    if isinstance(found.get("properties"), dict):
        return found
    inner: object = found.get("function", found)
    if not isinstance(inner, dict):
        return None
    tool = cast("dict[str, Any]", inner)
    schemas = [
        tool[key] for key in ("parameters", "schema", "input_schema") if isinstance(tool.get(key), dict)
    ]
    return schemas[0] if schemas and tool.get("name") == name else None
