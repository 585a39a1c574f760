"""Structured output: what is asked for, and how the answer becomes that value."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer, BadRequest, StepError
from tidyllm.models.message import Text, ToolCall
from tidyllm.models.output import json_schema, parse, strict_schema, wants_json
from tidyllm.models.request import JSONSchema
from tidyllm.models.response import Response


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class City(msgspec.Struct):
    name: str
    people: int = 0


@dataclasses.dataclass
class Trip:
    """A journey."""

    stops: list[City]
    color: Color = Color.RED
    next: Trip | None = None


class Person(pydantic.BaseModel):
    name: str
    age: Annotated[int, pydantic.Field(ge=0, description="in years")] = 3
    boss: Annotated[Person | None, pydantic.Field(description="who leads")] = None


class Note(TypedDict):
    title: str
    body: NotRequired[str]


@dataclasses.dataclass
class Team:
    """A dataclass that only pydantic can read."""

    lead: Person


def answer(text: str, output: Any, **more: Any) -> Response:
    return Response(content=(Text(text=text),), output=output, **more)


CASES: list[tuple[Any, str, Any]] = [
    (City, '{"name":"Oslo","people":7}', City("Oslo", 7)),
    (Trip, '{"stops":[{"name":"Oslo"}],"color":"blue"}', Trip([City("Oslo")], Color.BLUE)),
    (Person, '{"name":"Ada"}', Person(name="Ada")),
    (Note, '{"title":"t"}', {"title": "t"}),
    (Team, '{"lead":{"name":"Ada"}}', Team(Person(name="Ada"))),
    (list[City], '[{"name":"Oslo"}]', [City("Oslo")]),
    (list[Person], '[{"name":"Ada"}]', [Person(name="Ada")]),
    (pydantic.TypeAdapter(list[Person]), '[{"name":"Ada"}]', [Person(name="Ada")]),
    (Annotated[list[int], msgspec.Meta(examples=[[1]])], "[1]", [1]),
    ("json", '{"a":1}', {"a": 1}),
    ({"type": "object"}, '{"a":1}', {"a": 1}),
    ({"type": "array"}, "[1]", [1]),
    (JSONSchema({"anyOf": [{"type": "string"}]}), '"x"', "x"),
]


@pytest.mark.parametrize(("output", "text", "value"), CASES)
def test_the_text_becomes_the_value_that_was_asked_for(output: Any, text: str, value: Any) -> None:
    assert parse(answer(text, output)) == value
    assert answer(text, output).parsed == value


@pytest.mark.parametrize("fence", ["```json\n%s\n```", "```\n%s\n```\n", "  ```JSON\n%s```"])
def test_one_code_fence_around_the_whole_text_is_taken_off(fence: str) -> None:
    assert parse(answer(fence % '{"name":"a ``` b"}', City)) == City("a ``` b")


@pytest.mark.parametrize(
    "text",
    [
        'Here it is: {"name":"Oslo"}',
        '{"name":"Oslo"} done',
        '{"name":"Oslo",}',
        "{'name':'Oslo'}",
        '```json\n{"name":"Oslo"}\n```\nand\n```json\n{"name":"Rome"}\n```',
        '```python\n{"name":"Oslo"}\n```',
        '```{"name":"Oslo"}```',
        "``````",
        "",
    ],
)
def test_nothing_else_is_repaired_or_guessed(text: str) -> None:
    with pytest.raises(BadAnswer):
        parse(answer(text, City))


@pytest.mark.parametrize(
    ("output", "text", "where"),
    [
        (City, '{"name":"Oslo","people":"many"}', r"\$\.people"),
        (City, "{}", "name"),
        (Trip, '{"stops":[{"name":1}]}', r"\$\.stops\[0\]\.name|\$\.stops\[\.\.\.\]\.name"),
        (Person, '{"name":"Ada","boss":{"name":"Bo","age":-1}}', r"\$\.boss\.age: Input should be"),
        (list[Person], "[{}, {}, {}, {}, {}]", r"\$\[0\]\.name: Field required; .*\(and 2 more\)"),
        ("json", "[1]", "expected a JSON object, got an array"),
        ("json", "1.5", "expected a JSON object, got a number"),
        ({"type": "array"}, "null", "expected a JSON array, got null"),
        (City, "", "it is empty"),
        (City, '{"name":', "truncated"),
        ("json", "[" * 100_000, "nested too deep"),
    ],
)
def test_an_answer_that_does_not_fit_says_where(output: Any, text: str, where: str) -> None:
    with pytest.raises(BadAnswer, match=where):
        parse(answer(text, output))


def test_an_answer_without_a_question_for_structure_is_a_mistake_of_the_program() -> None:
    with pytest.raises(StepError, match="asked for no structured output"):
        parse(answer('{"a":1}', None))


@pytest.mark.parametrize(
    ("more", "hint"),
    [
        ({"finish_reason": "length"}, "raise max_output_tokens"),
        ({"finish_reason": "refused"}, "refused to answer"),
        ({"content": (ToolCall(id="1", name="f"),)}, "asks for tools"),
    ],
)
def test_the_error_says_why_an_answer_has_no_such_value(more: dict[str, Any], hint: str) -> None:
    with pytest.raises(BadAnswer, match=hint) as caught:
        parse(msgspec.structs.replace(answer("", City, provider="openai", model="gpt"), **more))
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt")


def test_any_json_is_a_mode_and_no_schema() -> None:
    assert wants_json("json")
    assert not wants_json({"type": "object"})
    assert json_schema("json") is None
    assert json_schema(None) is None


def test_a_schema_that_was_given_is_passed_on_untouched() -> None:
    given_schema = {"title": "My answer!", "type": "object", "properties": {"a": {"default": 1}}}
    assert json_schema(given_schema) == JSONSchema(schema=given_schema, name="My_answer", strict=None)
    named = JSONSchema(schema=given_schema, name="x", strict=True)
    assert json_schema(named) is named
    assert json_schema({"type": "object"}) == JSONSchema(schema={"type": "object"}, name="answer")


def test_a_type_gives_a_strict_schema_named_after_it() -> None:
    schema = json_schema(City)
    assert schema == JSONSchema(
        name="City",
        strict=True,
        schema={
            "title": "City",
            "type": "object",
            "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
            "required": ["name", "people"],
            "additionalProperties": False,
        },
    )
    assert json_schema(City) is schema  # built once


def test_a_recursive_type_keeps_its_definition_and_an_enum_gets_its_type() -> None:
    schema = json_schema(Trip)
    assert schema is not None
    assert schema.schema["type"] == "object"
    assert set(schema.schema["$defs"]) == {"Trip", "City", "Color"}
    assert schema.schema["$defs"]["Color"]["type"] == "string"


def test_a_reference_with_a_description_stands_beside_an_any_of() -> None:
    strict = strict_schema({"$ref": "#/$defs/A", "description": "why", "default": None})
    assert strict == {"anyOf": [{"$ref": "#/$defs/A"}], "description": "why"}


def test_the_description_of_a_field_reaches_the_model() -> None:
    schema = json_schema(Person)
    assert schema is not None
    assert schema.strict
    assert schema.schema["properties"]["age"]["description"] == "in years"
    assert schema.schema["properties"]["boss"]["description"] == "who leads"


@pytest.mark.parametrize("output", [dict[str, int], list[City], int])
def test_a_type_without_a_strict_form_keeps_its_plain_schema(output: Any) -> None:
    schema = json_schema(output)
    assert schema is not None
    assert schema.strict is None


class Free(msgspec.Struct):
    tags: dict[str, int]
    name: Annotated[str, msgspec.Meta(min_length=1)]


def test_free_keys_and_unknown_keywords_are_kept_rather_than_lost() -> None:
    schema = json_schema(Free)
    assert schema is not None
    assert schema.strict is None
    assert schema.schema["properties"]["name"]["minLength"] == 1
    assert schema.schema["properties"]["tags"]["additionalProperties"] == {"type": "integer"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "array"},
        {"type": "array", "items": True},
        {"properties": {}},
        {"type": "object", "properties": {"a": {}}},
        {"enum": ["a", 1]},
        {"allOf": [{"type": "string"}]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": True},
        {"type": "string", "not": {"const": "a"}},
    ],
)
def test_what_strict_mode_cannot_express_has_no_strict_form(schema: dict[str, Any]) -> None:
    assert strict_schema(schema) is None


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"const": 1}, {"const": 1, "type": "integer"}),
        ({"oneOf": [{"type": "string"}], "discriminator": {}}, {"anyOf": [{"type": "string"}]}),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        ),
        (
            {"type": "array", "items": {"type": ["string", "null"], "default": "x"}, "minItems": 1},
            {"type": "array", "items": {"type": ["string", "null"]}, "minItems": 1},
        ),
    ],
)
def test_the_strict_form_of_simple_schemas(schema: dict[str, Any], strict: dict[str, Any]) -> None:
    assert strict_schema(schema) == strict


def test_a_schema_nested_without_end_has_no_strict_form() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(10_000):
        schema = {"type": "array", "items": schema}
    assert strict_schema(schema) is None


plain_schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 0}, {"enum": ["a"], "default": "a"}]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.dictionaries(st.sampled_from(["a", "default", "$ref", "type"]), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties}
        ),
    ),
    max_leaves=8,
)


@given(plain_schemas)
def test_the_strict_form_of_the_strict_form_is_itself(schema: dict[str, Any]) -> None:
    strict = strict_schema(schema)
    assert strict is not None
    assert strict_schema(strict) == strict


@given(plain_schemas)
def test_making_a_schema_strict_leaves_the_original_alone(schema: dict[str, Any]) -> None:
    before = msgspec.json.encode(schema)
    strict_schema(schema)
    assert msgspec.json.encode(schema) == before


@pytest.mark.parametrize("output", [object(), City("Oslo"), "xml", 7, Literal])
def test_what_has_no_schema_is_refused_by_name(output: Any) -> None:
    with pytest.raises(BadRequest, match="no JSON schema can be made of") as caught:
        json_schema(output)
    assert caught.value.field == "output"


def test_pydantic_is_not_imported_for_types_that_do_not_need_it() -> None:
    program = (
        "import sys, msgspec\n"
        "from tidyllm.models.output import json_schema\n"
        "class City(msgspec.Struct): name: str\n"
        "assert json_schema(City).strict\n"
        "try: json_schema(object())\n"
        "except Exception as error: assert type(error).__name__ == 'BadRequest', error\n"
        "else: raise SystemExit('object() has no schema')\n"
        "assert 'pydantic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
