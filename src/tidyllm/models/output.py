"""Structured output: the JSON schema of what was asked for, and the answer's text as that value.

It knows msgspec and, where the caller uses it, pydantic; it does not know how a provider wants to be asked.
Pydantic is never imported here: it is used only when the caller's own type comes from it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast, get_args

import msgspec

from tidyllm.errors import BadAnswer, BadRequest, StepError
from tidyllm.models.request import JSONSchema
from tidyllm.models.response import Response
from tidyllm.models.strict import strict_schema

__all__ = ["json_schema", "parse", "strict_schema", "wants_json"]


def wants_json(output: Any) -> bool:
    """Whether any JSON object will do (`output="json"`): providers call it JSON mode."""
    return isinstance(output, str) and output == "json"


def json_schema(output: Any) -> JSONSchema | None:
    """The schema for `Request.output`; None when there is none (`None` and "json").

    - `JSONSchema`: itself. A dict: itself as the schema, named by its title, `strict` left to the provider.
    - A type (pydantic model, msgspec Struct, dataclass, TypedDict, `list[...]` of them): its schema, named
      after it. An object whose schema has a strict form (see `strict_schema`) comes in that form with
      `strict=True`, everything else in the plain one with `strict=None`.

    The schema of a type is built once; do not change it.

    :raises BadRequest: no JSON schema can be made of it (field `output`).
    """
    if output is None or wants_json(output):
        return None
    if isinstance(output, JSONSchema):
        return output
    if isinstance(output, dict):
        schema = cast("dict[str, Any]", output)
        return JSONSchema(schema=schema, name=_name(schema.get("title")))
    return _shape(output).schema


def parse(response: Response) -> Any:
    """The answer's text as the value that `response.output` asks for.

    "json" gives a dict. A plain JSON schema gives the decoded JSON, checked for being an object or an
    array where the schema says so, and no further; a type gives an instance, checked in full. One
    markdown code fence around the whole text is taken off, because some providers put it there in their
    JSON mode; nothing else is repaired.

    :raises BadAnswer: the text is not JSON, or does not fit; the message says where.
    :raises StepError: the request asked for no structured output.
    """
    output = response.output
    if output is None:
        raise StepError(
            "this response has no parsed value: its request asked for no structured output.",
            hint="Set Request(output=...) to a type, a JSON schema or 'json'.",
        )
    text = _unfenced(response.text)
    if isinstance(output, str | dict | JSONSchema):
        value = _decoded(response, text, lambda: msgspec.json.decode(text))
        kind = "object" if wants_json(output) else _root_type(cast("dict[str, Any] | JSONSchema", output))
        if (kind == "object" and not isinstance(value, dict)) or (
            kind == "array" and not isinstance(value, list)
        ):
            raise _misfit(response, f"expected a JSON {kind}, got {_json_type(cast(object, value))}")
        return cast(Any, value)
    decode = _shape(output).decode
    return _decoded(response, text, lambda: decode(text))


class _Shape:
    """What one type needs: its schema and its decoder."""

    __slots__ = ("decode", "schema")

    def __init__(self, schema: dict[str, Any], decode: Callable[[str], Any], name: str) -> None:
        plain = _inlined_root(schema)
        strict = strict_schema(plain) if plain.get("type") == "object" else None
        self.schema = JSONSchema(
            schema=plain if strict is None else strict, name=name, strict=None if strict is None else True
        )
        self.decode = decode


def _shape(output: Any) -> _Shape:
    try:
        hash(output)
    except TypeError:  # an annotation that holds a list or dict
        return _new_shape(output)
    return _cached_shape(output)


def _new_shape(output: Any) -> _Shape:
    name = _name(getattr(output, "__name__", None))
    pydantic = sys.modules.get("pydantic")
    try:
        if pydantic is None or not _is_pydantic(output, pydantic):
            try:
                return _Shape(msgspec.json.schema(output), msgspec.json.Decoder[Any](output).decode, name)
            except TypeError:
                if pydantic is None:
                    raise
        # A dataclass that holds a pydantic model comes here too: only pydantic can read it.
        adapter = output if isinstance(output, pydantic.TypeAdapter) else pydantic.TypeAdapter(output)
        return _Shape(adapter.json_schema(), adapter.validate_json, name)
    except Exception as error:  # pydantic's schema errors have no common base
        raise BadRequest(
            f"no JSON schema can be made of output={output!r}: {error}",
            field="output",
            hint="Give a pydantic model, msgspec Struct, dataclass, TypedDict, JSON schema (dict) or 'json'.",
        ) from error


_cached_shape = lru_cache(maxsize=512)(_new_shape)


def _is_pydantic(output: Any, pydantic: Any) -> bool:
    if isinstance(output, pydantic.TypeAdapter) or hasattr(output, "__pydantic_core_schema__"):
        return True
    return any(_is_pydantic(inner, pydantic) for inner in get_args(output))


def _inlined_root(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its root written out: providers want `type: object` there, not a reference."""
    reference = schema.get("$ref")
    definitions: dict[str, Any] = schema.get("$defs", {})
    if not isinstance(reference, str):
        return schema
    name = reference.removeprefix("#/$defs/")
    root = {**definitions[name]}
    others = {key: value for key, value in definitions.items() if key != name}
    if _refers_to(reference, root) or _refers_to(reference, others):
        others = definitions  # a recursive type: its definition must stay
    return {**root, "$defs": others} if others else root


def _refers_to(reference: str, schema: Any) -> bool:
    if isinstance(schema, dict):
        entries = cast("dict[str, Any]", schema)
        return entries.get("$ref") == reference or any(_refers_to(reference, v) for v in entries.values())
    return isinstance(schema, list) and any(_refers_to(reference, v) for v in cast("list[Any]", schema))


def _name(title: object) -> str:
    """A name as providers accept it: letters, digits, `_` and `-`, at most 64."""
    return (
        re.sub(r"[^a-zA-Z0-9_-]+", "_", title).strip("_")[:64] or "answer"
        if isinstance(title, str)
        else "answer"
    )


def _unfenced(text: str) -> str:
    stripped = text.strip()
    if not (stripped.startswith("```") and stripped.endswith("```") and len(stripped) >= 6):
        return stripped
    opening, line_end, rest = stripped.partition("\n")
    label = opening[3:].strip()
    if not line_end or not (label == "" or label.lower() in {"json", "jsonc", "json5"}):
        return stripped
    return rest[: -len("```")].strip()


def _root_type(output: dict[str, Any] | JSONSchema) -> object:
    schema = output.schema if isinstance(output, JSONSchema) else output
    return schema.get("type")


def _json_type(value: object) -> str:
    names = {
        "dict": "an object",
        "list": "an array",
        "str": "a string",
        "bool": "a boolean",
        "NoneType": "null",
    }
    return names.get(type(value).__name__, "a number")


def _decoded(response: Response, text: str, decode: Callable[[], Any]) -> Any:
    try:
        return decode()
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # pydantic's is a ValueError
        raise _misfit(response, _where(error, text)) from error


def _where(error: Exception, text: str) -> str:
    if not text:
        return "it is empty"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    errors = getattr(
        error, "errors", None
    )  # pydantic: the first few places, without its links and without the input
    if callable(errors):
        found = cast(
            "list[dict[str, Any]]", errors(include_url=False, include_input=False, include_context=False)
        )
        places = [f"{_path(item['loc'])}: {item['msg']}" for item in found[:3]]
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        return "; ".join(places) + more
    return str(error)


def _path(location: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)


def _misfit(response: Response, why: str) -> BadAnswer:
    hint = None
    if response.finish_reason == "length":
        hint = "The answer was cut at its token cap; raise max_output_tokens."
    elif response.finish_reason == "refused":
        hint = "The model refused to answer."
    elif response.tool_calls:
        hint = "The answer asks for tools; parse the one that follows their results."
    return BadAnswer(
        f"the answer does not fit the output that was asked for: {why}.",
        provider=response.provider or None,
        model=response.model or None,
        request_id=response.request_id,
        hint=hint,
    )
