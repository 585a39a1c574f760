"""The final answer as a type: how the model is asked for it, and how it is read. It knows no loop.

Three ways: `native` (the provider's structured output), `tool` (a tool whose arguments are the answer), and `prompt`
(the schema in the instructions). In each of them an answer that comes as text is read as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from tidyllm.agents.agent_tool import AgentTool
from tidyllm.core import Context
from tidyllm.errors import BadAnswer, ConfigError
from tidyllm.models.message import Text
from tidyllm.models.output import json_schema
from tidyllm.models.request import JSONSchema
from tidyllm.models.response import Response

__all__ = ["FinalAnswer", "OutputWay"]

OutputWay: TypeAlias = Literal["native", "tool", "prompt"]

_FENCE = re.compile(r"```(?:json[c5]?)?[ \t]*\n(.*?)```", re.DOTALL)


class FinalAnswer:
    """What a final answer must be, and in which way it is asked for.

    :raises BadRequest: no JSON schema can be made of the type.
    """

    def __init__(self, output: Any, way: OutputWay, taken: tuple[str, ...] = ()) -> None:
        self.output = output
        self.way = way
        found = json_schema(output)
        if found is None:
            raise ConfigError(
                f"output={output!r} is no type for an answer.", hint="Give str, or a type with a JSON schema."
            )
        self.schema: JSONSchema = found
        self._is_object = found.schema.get("type") == "object"
        self.tool: AgentTool | None = None
        if way == "tool":
            name = next(
                one for one in ("final_answer", "give_final_answer", "finish_with") if one not in taken
            )
            self.tool = AgentTool(
                name, "Give the final answer. Call it once, when the task is done.", self._arguments(), _never
            )

    @property
    def prompt(self) -> str:
        """What the instructions say about it; "" where the request says it."""
        if self.way == "native":
            return ""
        if self.tool is not None:
            return f"When the task is done, call {self.tool.name} with the answer."
        schema = msgspec.json.encode(self.schema.schema).decode()
        return f"When the task is done, answer with JSON alone, which fits this JSON schema:\n{schema}"

    def of_text(self, text: str) -> Any:
        """The answer in a text: all of it, or the one block of JSON that stands in it.

        :raises BadAnswer: it does not fit; the message is for the model.
        """
        try:
            return self._read(text)
        except BadAnswer as error:
            fitting: list[Any] = []
            for part in _blocks(text):
                try:
                    fitting.append(self._read(part))
                except BadAnswer:
                    continue
            if len(fitting) == 1:
                return fitting[0]
            raise error from None

    def of_arguments(self, arguments: Mapping[str, Any]) -> Any:
        """The answer in the arguments of the tool.

        :raises BadAnswer: they do not fit.
        """
        value = arguments if self._is_object or "answer" not in arguments else arguments["answer"]
        return self._read(msgspec.json.encode(value).decode())

    def _read(self, text: str) -> Any:
        return Response(content=(Text(text=text),), output=self.output).parsed

    def _arguments(self) -> dict[str, Any]:
        if self._is_object:
            return self.schema.schema
        inner = dict(self.schema.schema)
        around: dict[str, Any] = {"type": "object", "required": ["answer"], "properties": {"answer": inner}}
        if "$defs" in inner:
            around["$defs"] = inner.pop("$defs")
        return around


def _blocks(text: str) -> Iterator[str]:
    fenced = _FENCE.findall(text)
    yield from fenced
    if not fenced:
        for opening, closing in (("{", "}"), ("[", "]")):
            start, end = text.find(opening), text.rfind(closing)
            if 0 <= start < end:
                yield text[start : end + 1]


async def _never(arguments: Mapping[str, Any], ctx: Context) -> str:
    raise AssertionError("the loop reads the final answer itself")
