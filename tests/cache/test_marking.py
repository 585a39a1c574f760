"""Marks in a body that goes out: at most four, nothing else changed, and the bytes of the rest as they came."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.cache import MarkPolicy
from tidyllm.cache.marking import body_marks
from tidyllm.models.touch import touched

MARK = {"type": "ephemeral"}
blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=9)}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(max_size=9)}),
    st.fixed_dictionaries({"type": st.just("tool_result"), "content": st.text(max_size=9)}),
)
contents = st.one_of(st.text(max_size=9), st.lists(blocks, max_size=3))
turns = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": contents})
bodies = st.fixed_dictionaries(
    {"messages": st.lists(turns, max_size=5)},
    optional={
        "system": contents,
        "tools": st.lists(st.fixed_dictionaries({"name": st.text(max_size=3)}), max_size=3),
        "temperature": st.floats(0, 1),
    },
)
mark_all = body_marks(MarkPolicy(min_tokens=0), "m")


def marked(body: dict[str, Any]) -> Any:
    return msgspec.json.decode(touched(msgspec.json.encode(body), mark_all, "anthropic"))


def count(value: Any) -> int:
    return msgspec.json.encode(value).count(b'"cache_control":{"type":"ephemeral"}')


def plain(body: Any) -> Any:
    """Without marks, and a text alone as a text."""

    def bare(content: Any) -> Any:
        if isinstance(content, str):
            content = [{"type": "text", "text": content}] if content else []
        return [{name: each for name, each in one.items() if name != "cache_control"} for one in content]

    whole = {name: bare(value) if name in ("system", "tools") else value for name, value in body.items()}
    return whole | {"messages": [{**one, "content": bare(one["content"])} for one in body["messages"]]}


@given(bodies)
def test_nothing_but_marks_is_added(body: dict[str, Any]) -> None:
    done = marked(body)
    assert count(done) <= 4
    assert list(done) == list(body)
    assert plain(done) == plain(body)
    assert marked(done) == done


def test_what_is_not_marked_keeps_its_spelling() -> None:
    raw = (
        b'{"max_tokens": 10, "system": "s", "messages": [ {"role":"user", "content": "\\u00e9", "n": 1.50},'
        b' {"role":"user","content":[{"type":"text","text":"\\u00e9","n":1e400}]} ]}'
    )
    done = touched(raw, mark_all, "anthropic")
    assert b'"n":1.50' in done
    assert b'"text":"\\u00e9","n":1e400,"cache_control":{"type":"ephemeral"}' in done
    assert touched(raw, mark_all, "openai_chat") is raw
    assert touched(raw, None, "anthropic") is raw


@pytest.mark.parametrize(
    "body",
    [
        {"messages": "no list"},
        {"messages": [1, 2]},
        {"messages": [{"role": 1, "content": "x"}]},
        {"messages": [{"role": "user", "content": ["x"]}]},
        {"messages": [{"role": "user", "content": "x"}], "tools": {"a": 1}},
        {"messages": [], "system": [3]},
        {"messages": [{"role": "user", "content": "x"}], "cache_control": MARK},
        {"messages": [{"role": "user", "content": [{"type": "text", "cache_control": MARK}]}], "system": "s"},
        {},
    ],
)  # fmt: skip
def test_what_is_no_prompt_or_has_marks_goes_out_as_it_came(body: dict[str, Any]) -> None:
    raw = msgspec.json.encode(body)
    assert touched(raw, mark_all, "anthropic") == raw


def test_a_text_that_speaks_of_marks_has_none() -> None:
    body = {"messages": [{"role": "user", "content": '{"cache_control": 1}'}]}
    assert count(marked(body)) == 1
