"""Calls in a model's text: every way of writing them, with every damage, and nothing that is no call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidyllm.agents.parse import Reading, read_calls
from tidyllm.agents.parse_json import MAX_DEPTH, Unreadable, read_json

# `text` stands for what models pass as text, `data` for anything else.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "data": {"type": "object"}},
}
NAMES: tuple[str, ...] = ("read_file", "write_file", "run")
SCHEMAS: dict[str, dict[str, Any]] = dict.fromkeys(NAMES, SCHEMA)

Calls = list[tuple[str, dict[str, Any]]]
Dialect = Callable[[Calls, Callable[[Any], str]], str]

words = st.text(st.characters(codec="utf-8"), max_size=40)
nasty = st.sampled_from(
    [
        "a,}",
        '{"name": "run", "arguments": {}}',
        "it's",
        '"""',
        "```\nx\n```",
        "<tool_call>",
        "</tool_call>",
        "// no",
        "# no",
        "True, None,]",
        "\\",
        "\\n",
        "\n\n",
        "{",
        "]",
        "a: b",
        "/* x */",
        "“q”",
        "null",
        "<parameter=x>",
    ]
)
texts = words | nasty | st.lists(words | nasty, max_size=4).map("".join)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.fixed_dictionaries(
    {}, optional={"text": texts, "data": st.dictionaries(texts, values, max_size=3)}
)
calls = st.lists(st.tuples(st.sampled_from(NAMES), arguments), min_size=1, max_size=4)


def found(text: str) -> Calls:
    reading = read_calls(text, SCHEMAS)
    assert reading.problems == ()
    return [(one.name, one.arguments) for one in reading.calls]


def dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


DIALECTS: dict[str, Dialect] = {
    "asked for": lambda cs, d: "\n".join(
        f"<tool_call>\n{d({'name': n, 'arguments': a})}\n</tool_call>" for n, a in cs
    ),
    "bare": lambda cs, d: "\n".join(d({"name": n, "arguments": a}) for n, a in cs),
    "fenced": lambda cs, d: "\n".join(f"```json\n{d({'tool': n, 'parameters': a})}\n```" for n, a in cs),
    "in prose": lambda cs, d: (
        "I will do this:\n"
        + "\nand then\n```\n".join(d({"tool_name": n, "args": a}) + "\n```" for n, a in cs)
    ),
    "arguments as text": lambda cs, d: "\n".join(d({"name": n, "arguments": json.dumps(a)}) for n, a in cs),
    "function": lambda cs, d: "\n".join(d({"function": {"name": n, "arguments": a}}) for n, a in cs),
    "tool_calls": lambda cs, d: d(
        {
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": n, "arguments": a}} for n, a in cs
            ]
        }
    ),
    "array": lambda cs, d: d([{"name": n, "parameters": a} for n, a in cs]),
    "tool_use": lambda cs, d: "\n".join(
        d({"type": "tool_use", "id": "x", "name": n, "input": a}) for n, a in cs
    ),
    "function tag": lambda cs, d: "\n".join(f"<function={n}>{d(a)}</function>" for n, a in cs),
}


def rendered(value: Any, scalar: Callable[[Any], str], *, comma: str = "", gap: str = " ") -> str:
    """JSON by hand: `scalar` writes strings and words, `comma` ends a list or an object."""
    match value:
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            each = [f"{scalar(k)}:{gap}{rendered(v, scalar, comma=comma, gap=gap)}" for k, v in pairs]
            inner = f",{gap}".join(each)
            return f"{{{inner}{comma if inner else ''}}}"
        case list():
            items = [rendered(v, scalar, comma=comma, gap=gap) for v in cast("list[Any]", value)]
            inner = f",{gap}".join(items)
            return f"[{inner}{comma if inner else ''}]"
        case _:
            return scalar(value)


def smart(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    inner = json.dumps(value, ensure_ascii=False)[1:-1].replace("\u201d", "\\u201d")
    return f"\u201c{inner}\u201d"


def single(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    inner = dump(value)[1:-1].replace("'", "\\'")
    return f"'{inner}'"


def raw_breaks(value: Any) -> str:
    written = dump(value)
    return re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[0], written)


GAP = ' // a, comment}\n /* and " another */ '
DAMAGES: dict[str, Callable[[Any], str]] = {
    "none": dump,
    "ascii": json.dumps,
    "indented": lambda v: json.dumps(v, indent=2, ensure_ascii=False),
    "trailing commas": lambda v: rendered(v, dump, comma=","),
    "python": repr,
    "single quotes": lambda v: rendered(v, single),
    "comments": lambda v: rendered(v, dump, gap=GAP),
    "smart quotes": lambda v: rendered(v, smart),
    "raw line breaks": lambda v: rendered(v, raw_breaks),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("damage", DAMAGES)
@settings(max_examples=12, deadline=None)
@given(asked=calls)
def test_calls_in_every_dialect_with_every_damage_are_read_as_they_were_meant(
    dialect: str, damage: str, asked: Calls
) -> None:
    assert found(DIALECTS[dialect](asked, DAMAGES[damage])) == asked


@pytest.mark.parametrize(
    "dialect", ["asked for", "bare", "fenced", "function", "tool_use", "array", "tool_calls"]
)
@settings(max_examples=25, deadline=None)
@given(asked=calls)
def test_closing_brackets_may_be_missing_at_the_end(dialect: str, asked: Calls) -> None:
    one = asked[:1] if dialect in ("array", "tool_calls") else asked
    text = DIALECTS[dialect](one, lambda v: dump(v)[:-1])
    assert found(text) == one


@settings(max_examples=100, deadline=None)
@given(asked=calls, short=st.booleans())
def test_parameters_in_tags_are_read_byte_for_byte(asked: Calls, short: bool) -> None:
    def written(key: str, value: Any) -> str:
        inner = value if isinstance(value, str) else dump(value)
        return (
            f"<parameter={key}>\n{inner}\n</parameter>"
            if short
            else f'<parameter name="{key}">{inner}</parameter>'
        )

    parts = [
        (f"<function={n}>" if short else f'<invoke name="{n}">')
        + "\n".join(written(k, v) for k, v in a.items())
        + ("</function>" if short else "</invoke>")
        for n, a in asked
    ]
    # A value that holds the end of a parameter cannot be told from one: such text has no place in this dialect.
    text = "<function_calls>\n" + "\n".join(parts) + "\n</function_calls>"
    assert found(text) == asked


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=300)
    | st.lists(
        nasty
        | words
        | st.sampled_from(['{"name":', '"arguments":', "<invoke name=", "<function=run>", "}", "{", "["]),
        max_size=20,
    ).map("".join)
)
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert isinstance(read_calls(text, SCHEMAS), Reading)


@pytest.mark.parametrize(
    "text",
    [
        "I would call read_file with a path, or write_file.",
        "Use `read_file(path='a.py')` first.",
        'The config is {"name": "demo", "version": 2}.',
        'A person: {"name": "run", "age": 3}',
        "def f(x): return {x: [1, 2]}  # run",
        "The <tool_call> tag marks a call.",
        "The token [TOOL_CALLS] marks one, too.",
        "name: run\nage: 3",
        '{"answer": {"text": "a"}}',
        "<function=read_file> is how some write it",
        "[read_file](docs/read_file.md) and {read_file}",
        '{"name": "read_file", "description": "…", "parameters": {"type": "object", "properties": {}}}',
        '<think>{"name": "run", "arguments": {}}</think>Nothing to do.',
        "",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    reading = read_calls(text, SCHEMAS)
    assert (reading.calls, reading.problems) == ((), ())


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "run", "arguments": {"text": "he said "hi" there"}}',
        '{"name": "run", "arguments": {"text": "no end',
        '{"name": "run", "arguments": "not json"}',
        '{"name": "run", "arguments": [1]}',
        '{"name": "run", "name": "read_file", "arguments": {}}',
        '{"name": "run", "arguments": {}, "parameters": {}}',
        '{"tool": "write_file", "text": "flat"}',
        "<tool_call>run the tests</tool_call>",
        "<tool_call>{}</tool_call>",
        '<invoke name="run"><parameter name="text">no end',
        '<tool_call>{"name": "run", "arguments": {"text": "\\ud800"}}</tool_call>',
    ],
)
def test_what_is_meant_as_a_call_and_cannot_be_read_is_a_problem(text: str) -> None:
    reading = read_calls(text, SCHEMAS)
    assert reading.calls == ()
    assert len(reading.problems) == 1


def test_nothing_behind_a_call_that_does_not_end_is_run() -> None:
    hidden = '{"name": "run", "arguments": {}}'
    reading = read_calls(
        f'{{"name": "write_file", "arguments": {{"text": "a "b" {hidden}"}}}}\n{hidden}', SCHEMAS
    )
    assert reading.calls == ()
    assert "Neither it nor what follows was run" in reading.problems[0]


def test_calls_before_a_problem_are_kept_in_order() -> None:
    reading = read_calls(
        '{"tool": "run"}\n{"tool": "read_file"}\n{"name": "run", "arguments": {"a": }}', SCHEMAS
    )
    assert [one.name for one in reading.calls] == ["run", "read_file"]
    assert len(reading.problems) == 1


def test_calls_are_cut_out_of_the_text() -> None:
    text = 'First:\n```json\n{"name": "run", "arguments": {}}\n```\nThen I wait.'
    assert read_calls(text, SCHEMAS).text == "First:\n\nThen I wait."


@pytest.mark.parametrize("prose", ["\n\nThen I'll wait.", " and then I wait.", "\nDone: see a.py, line 3"])
def test_prose_may_follow_where_the_last_brace_is_missing(prose: str) -> None:
    text = '{"tool": "run", "parameters": {"text": "a"}'
    assert found(text + prose) == [("run", {"text": "a"})]
    # The same after a string may be the rest of it, and so may anything that ends like one.
    assert read_calls(text[:-1] + prose, SCHEMAS).calls == ()
    assert read_calls(text + prose + '"}}', SCHEMAS).calls == ()


def test_a_closed_end_is_told() -> None:
    assert [one.closed for one in read_calls('{"name": "run", "arguments": {}', SCHEMAS).calls] == [True]


def test_patterns_keep_their_backslashes_where_json_is_damaged() -> None:
    assert found(r"""{"name": "run", "arguments": {"text": "\d+\.py \' \x41"},}""") == [
        ("run", {"text": r"\d+\.py ' A"})
    ]


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"a":[', "[{'a':"])
def test_nesting_is_bounded(opening: str) -> None:
    for times in (MAX_DEPTH + 1, 3_000):
        with pytest.raises(Unreadable):
            read_json(opening * times)


PIECES = [
    "{",
    '{"',
    "[",
    "[[{",
    '{"a":',
    "<tool_call>",
    '<invoke name="a">',
    "<function=a><parameter=x>",
    "{'",
    "{“",
    "{/*",
    '{"name":',
    '{"name":"a","arguments":{"x":',
    "[[],",
    "{a:[[[[],",
    "{#\n",
    '{"a" ',
    "<think>",
    "[1 ",
]


@pytest.mark.parametrize("piece", PIECES)
def test_work_is_bounded_by_the_length(piece: str) -> None:
    """No clock: quadratic work on 200,000 characters would not end within the time for one test."""
    read_calls(piece * (200_000 // len(piece)), SCHEMAS)


@pytest.mark.parametrize(
    "text",
    [
        'I will not run {"name": "run", "arguments": {}} because it is dangerous.',
        'I will not run this: {"name": "run", "arguments": {}}, for it is dangerous.',
        'I must never write {"tool": "run"}',
        'An example is `{"name": "run", "arguments": {}}`.',
        'As in\n`{"name": "run", "arguments": {}}`',
        'With [{"name": "run", "arguments": {}}] it would be gone.',
    ],
)
def test_a_call_within_a_sentence_is_asked_about_and_not_run(text: str) -> None:
    reading = read_calls(text, SCHEMAS)
    assert reading.calls == ()
    assert len(reading.problems) == 1
    assert "alone, on lines of its own" in reading.problems[0]


@pytest.mark.parametrize(
    "before",
    ["I run it now:\n", "I run it now: ", "**Call:** ", "- ", "1. ", "<|python_tag|>", "Now.\n", "```json "],
)
def test_a_call_on_its_own_or_after_a_colon_is_one(before: str) -> None:
    assert found(before + '{"name": "run", "arguments": {}}') == [("run", {})]


@pytest.mark.parametrize(
    "text",
    [
        '<|channel|>commentary to=functions.run <|constrain|>json<|message|>{"text": "a"}<|call|>',
        '<|start|>assistant to=run<|channel|>commentary<|message|>{"text": "a"}',
        'Thought: I look.\nAction: run\nAction Input: {"text": "a"}\n',
        'Action: run\nAction Input:\n```json\n{"text": "a"}\n```',
        '[TOOL_CALLS]run[ARGS]{"text": "a"}</s>',
        '[TOOL_CALLS] [{"name": "run", "arguments": {"text": "a"}}]',
        (
            "<\uff5ctool▁calls▁begin\uff5c><\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>run\n"
            '```json\n{"text": "a"}\n```<\uff5ctool▁call▁end\uff5c><\uff5ctool▁calls▁end\uff5c>'
        ),
        '<\uff5ctool▁call▁begin\uff5c>run<\uff5ctool▁sep\uff5c>{"text": "a"}<\uff5ctool▁call▁end\uff5c>',
    ],
)
def test_the_tokens_of_model_families_are_read(text: str) -> None:
    assert found(text) == [("run", {"text": "a"})]


def test_nothing_is_run_after_an_observation_that_the_model_made_up() -> None:
    call = 'Action: run\nAction Input: {"text": "a"}\n'
    reading = read_calls(f"{call}Observation: it worked\n{call}", SCHEMAS)
    assert len(reading.calls) == len(reading.problems) == 1


@pytest.mark.parametrize(
    "text",
    [
        "<|channel|>commentary to=functions.run<|message|>the tests",
        "[TOOL_CALLS]run(text)",
        "<\uff5ctool▁calls▁begin\uff5c>run",
        "Action: run\nAction Input: the tests",
        '```tool_code\nprint(run(text="a"))\n```',
        "```yaml\nname: run\narguments:\n  text: a\n```",
        "tool: run\nparameters:\n  text: a",
        '{"arguments": {"text": "a"}}',
        '{"run": {"text": "a"}}',
    ],
)
def test_a_call_in_a_way_that_is_not_read_is_a_problem_and_no_answer(text: str) -> None:
    reading = read_calls(text, SCHEMAS)
    assert reading.calls == ()
    assert len(reading.problems) == 1
    assert "<tool_call>" in reading.problems[0]
    assert read_calls(text, {}).problems == ()
