"""Tools from typed functions: what the model is told of them, which arguments they take, what they answer."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest

from tidyllm.agents import AgentTool, tool
from tidyllm.core import Context
from tidyllm.errors import BadToolCall, ToolError

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(msgspec.Struct):
    x: int
    y: int = 0


@dataclasses.dataclass
class Size:
    width: float


@tool
def paint(  # noqa: PLR0917 - as many as there are kinds of types
    what: str,
    colour: Colour,
    at: Point,
    size: Size | None = None,
    layers: list[int] = [1],  # noqa: B006 - defaults as people write them
    mode: Literal["fill", "line"] = "fill",
    opacity: float = 1.0,
    fast: bool = False,
    notes: dict[str, str] | None = None,
) -> str:
    """Paint something."""
    return f"{what} {colour.value} {at.x},{at.y} {size} {layers} {mode} {opacity} {fast} {notes}"


def test_name_schema_and_description_come_from_the_function() -> None:
    properties = paint.schema["properties"]
    assert (paint.name, paint.description) == ("paint", "Paint something.")
    assert paint.schema["required"] == ["what", "colour", "at"]
    assert paint.schema["additionalProperties"] is False
    assert properties["what"] == {"type": "string"}
    assert properties["layers"] == {"type": "array", "items": {"type": "integer"}, "default": [1]}
    assert properties["mode"] == {"enum": ["fill", "line"], "default": "fill"}
    assert properties["size"]["anyOf"] == [{"$ref": "#/$defs/Size"}, {"type": "null"}]
    assert set(paint.schema["$defs"]) == {"Colour", "Point", "Size"}


async def test_arguments_become_the_functions_own_types() -> None:
    said = await paint({"what": "wall", "colour": "red", "at": {"x": 1}, "size": {"width": 2}})
    assert said == "wall red 1,0 Size(width=2.0) [1] fill 1.0 False None"


GOOGLE = """Do it.

    More words.

    Args:
        first (str): The one
            and more of it.
        second: The other.

    Returns:
        Nothing.
    """
NUMPY = """Do it.

    More words.

    Parameters
    ----------
    first : str
        The one
        and more of it.
    second
        The other.

    Returns
    -------
    str
        Nothing.
    """
REST = """Do it.

    More words.

    :param str first: The one
        and more of it.
    :param second: The other.
    :returns: Nothing.
    :rtype: str
    """
PLAIN = """Do it.

    More words.

    first: The one
      and more of it.
    second: The other.
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, REST, PLAIN])
def test_parameters_are_described_by_the_docstring(docstring: str) -> None:
    def work(first: str, second: int = 3) -> None: ...

    work.__doc__ = docstring
    made = tool(work)
    assert made.description == "Do it.\n\nMore words."
    assert made.schema["properties"] == {
        "first": {"type": "string", "description": "The one and more of it."},
        "second": {"type": "integer", "description": "The other.", "default": 3},
    }


async def test_ctx_is_given_and_hidden() -> None:
    @tool
    async def where(ctx: Context, more: str = "") -> str:
        return ctx.where + more

    assert list(where.schema["properties"]) == ["more"]
    assert await where({"more": "!"}) == "where!"


async def test_an_argument_that_is_called_ctx_is_the_models_own() -> None:
    @tool
    def twice(ctx: int) -> int:
        return 2 * ctx

    assert twice.schema["required"] == ["ctx"]
    assert await twice({"ctx": 4}) == "8"


@pytest.mark.parametrize("kind", [object, list[object], dict[str, object] | None])
def test_object_is_refused_in_words(kind: Any) -> None:
    def take(x: object) -> str:
        return str(x)

    take.__annotations__["x"] = kind
    with pytest.raises(ToolError, match=r"'take' cannot be a tool: its parameter 'x' is .*object"):
        tool(take)


def test_the_type_of_ctx_need_not_exist_at_runtime() -> None:
    def work(x: int, ctx: Decimal) -> int:
        return x

    assert tool(work).schema["required"] == ["x"]


def starred(*names: str) -> None: ...
def double_starred(**names: str) -> None: ...
def untyped(x) -> None: ...  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]
def positional(x: int, /) -> None: ...
def unresolved(x: Decimal) -> None: ...
def unfit(x: Point | Size) -> None: ...
def generator(x: int) -> Any:
    yield x


REFUSED: list[tuple[Callable[..., Any], str | None]] = [
    (starred, r"takes \*names"),
    (double_starred, r"takes \*\*names"),
    (untyped, "'x' has no type"),
    (positional, "stands before /"),
    (unresolved, "type of 'x' cannot be found"),
    (unfit, "no JSON schema"),
    (generator, "is a generator"),
    (print, "cannot be a tool"),
    (lambda: None, None),
]


@pytest.mark.parametrize(("function", "why"), REFUSED)
def test_what_no_schema_can_describe_is_refused_when_it_is_defined(
    function: Callable[..., Any], why: str | None
) -> None:
    if why is None:
        assert tool(function).name == "lambda"
        return
    with pytest.raises(ToolError, match=why):
        tool(function)


@pytest.mark.parametrize("name", ["", "two words", "a/b", "1st", "x" * 129, "naïve"])
def test_a_name_that_providers_refuse_is_refused(name: str) -> None:
    with pytest.raises(ToolError, match="cannot be the name"):
        AgentTool(name, "", {}, _nothing)


async def _nothing(_arguments: object, _ctx: Context) -> None: ...


def test_settings_are_checked() -> None:
    with pytest.raises(ToolError, match="policy is 'maybe'"):
        tool(policy="maybe")(_typed)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ToolError, match="in_doubt is 'never'"):
        tool(in_doubt="never")(_typed)  # pyright: ignore[reportArgumentType]


def _typed(
    n: int,
    flag: bool = False,
    items: list[int] | None = None,
    name: str = "",
    data: dict[str, Any] | None = None,
) -> str:
    return f"{n!r} {flag!r} {items!r} {name!r} {data!r}"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"n": 1}, "1 False None '' None"),
        ({"n": "12", "flag": "true"}, "12 True None '' None"),
        ({"n": 3.0, "items": "[1, 2]"}, "3 False [1, 2] '' None"),
        ({"n": 1, "items": "null", "name": "12"}, "1 False None '12' None"),
        ({"n": 1, "data": '{"a": [1]}', "name": "[1]"}, "1 False None '[1]' {'a': [1]}"),
        ({"n": 1, "items": ["1"]}, "1 False [1] '' None"),
    ],
)
async def test_what_can_mean_one_thing_only_is_taken(given: dict[str, Any], taken: str) -> None:
    assert await tool(_typed)(given) == taken


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "missing required field `n`"),
        ({"n": 1, "m": 2}, "unknown field `m`"),
        ({"n": 3.5}, r"at `\$.n`"),
        ({"n": "three"}, r"at `\$.n`"),
        ({"n": 1, "flag": "yes"}, r"at `\$.flag`"),
        ({"n": 1, "name": 5}, r"at `\$.name`"),
        ({"n": 1, "items": "1, 2"}, r"at `\$.items`"),
        ({"n": True}, r"at `\$.n`"),
    ],
)
async def test_what_does_not_fit_is_refused_with_the_parameters_named(
    given: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadToolCall, match=why) as refused:
        await tool(_typed)(given)
    assert "Its parameters are: n, flag (optional), items (optional)" in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("a", "a"),
        (None, "(done; no output)"),
        (b"\xff!", "�!"),
        ([1, "a"], '[1,"a"]'),
        (Point(1), '{"x":1,"y":0}'),
    ],
)
async def test_an_answer_is_text_or_json(answer: Any, text: str) -> None:
    assert await tool(lambda: answer)({}) == text


@pytest.mark.parametrize("limit", [1, 10, 60, 100, 999])
async def test_a_long_answer_is_cut_in_the_middle_and_says_so(limit: int) -> None:
    @tool(max_chars=limit)
    def long() -> str:
        return "a" * 500 + "z" * 500

    said = await long({})
    assert len(said) <= limit
    assert said[0] == "a"
    if limit >= 100:
        assert "of 1,000 characters are left out" in said
        assert said[-1] == "z"


async def test_a_failure_is_a_reason_without_a_traceback() -> None:
    @tool
    def broken() -> str:
        raise KeyError("lost")

    with pytest.raises(ToolError, match=r"^KeyError: 'lost'$"):
        await broken({})


async def test_a_plain_function_may_run_in_a_thread() -> None:
    import threading

    @tool(thread=True)
    def name(prefix: str) -> str:
        return prefix + str(threading.current_thread() is threading.main_thread())

    assert await name({"prefix": "main: "}) == "main: False"


def test_a_method_is_a_tool_when_it_is_bound() -> None:
    class Shop:
        def price(self, item: str) -> str:
            """The price."""
            return item

    assert list(tool(Shop().price).schema["properties"]) == ["item"]
    with pytest.raises(ToolError, match="bound method"):
        tool(Shop.price)
