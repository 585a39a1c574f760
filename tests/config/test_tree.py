"""YAML text to plain values: what plain words mean, what is refused by name, and that nothing makes it explode."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.config.tree import parse


def problems(text: str) -> list[str]:
    return [f"{one.line}: {one}" for one in parse(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# only a comment", None),
        ("a: 1", {"a": 1}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: [1, -2, +3, 0x1f, 0o17, 010]", {"a": [1, -2, 3, 31, 15, 10]}),
        ("a: [1.5, .5, 1e3, -2.E-1, 1.]", {"a": [1.5, 0.5, 1000.0, -0.2, 1.0]}),
        ("a: [true, False, TRUE]", {"a": [True, False, True]}),
        ("a: [null, ~, NULL]\nb:", {"a": [None, None, None], "b": None}),
        (
            "a: [off, no, yes, on, y, 1:30, 1_000, 2026-01-01, 1.2.3]",
            {"a": ["off", "no", "yes", "on", "y", "1:30", "1_000", "2026-01-01", "1.2.3"]},
        ),
        ("a: ['1', \"true\", 'null']", {"a": ["1", "true", "null"]}),
        ("a: !!str 1", {"a": 1}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("4: x\ntrue: y", {"4": "x", "true": "y"}),
        ('{"a": {"b": [1]}}', {"a": {"b": [1]}}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        (f"a: {'9' * 301}", {"a": "9" * 301}),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    tree = parse(text)
    assert tree.problems == []
    assert tree.value == value


def test_merge_keys_fill_in_what_is_not_said() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {<<: *a}\ne: {'<<': 1}"
    assert parse(text).value == {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"x": 1, "y": 1, "z": 3},
        "d": {"x": 1, "y": 1},
        "e": {"<<": 1},
    }


def test_every_key_and_item_knows_its_line() -> None:
    tree = parse("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert tree.lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", 0): 4,
        ("a", "c", 1): 5,
        ("a", "c", 1, "y"): 5,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "3: a: the key stands here twice, first in line 1."),
        ("x: {a: 1, a: 1}", "1: x.a: the key stands here twice, first in line 1."),
        ("a: .inf", "1: a: .inf is not a finite number."),
        ("a: [-.INF, .nan]", "1: a[1]: .nan is not a finite number."),
        ("a: 1e999", "1: a: 1e999 is not a finite number."),
        ("a: !!python/object:os.system x", "1: a: the tag !!python/object:os.system is not supported."),
        ("a: !secret x", "1: a: the tag !secret is not supported."),
        ("a: !!binary aGk=", "1: a: the tag !!binary is not supported."),
        ("? [a, b]\n: 1", "1: a key must be a plain word or text in quotes."),
        ("a: {<<: 5}", "1: a: '<<' takes a section, or a list of sections."),
        ("a: [", "1: this is not YAML"),
        ("a: *nowhere", "1: this is not YAML: found undefined alias 'nowhere' (column 4)."),
        ("a:\n\tb: 1", "Indent with spaces."),
        ("a: \x00", "None: this is not YAML: it holds the character U+0000."),
        ("a: 1\n---\nb: 2", "expected a single document"),
        ("a: &a [*a]", "it is nested more than 64 levels deep."),
        ("a: &a {<<: *a}", "it is nested more than 64 levels deep."),
        ("[" * 5_000, "it is nested more than 64 levels deep."),
        ("a: " + "{b: " * 100 + "1" + "}" * 100, "nested more than 64 levels deep."),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, said: str) -> None:
    assert any(said in one for one in problems(text)), problems(text)


def test_several_problems_are_told_at_once() -> None:
    assert len(problems("a: .inf\na: 2\nb: !x 3\n")) == 3


@pytest.mark.parametrize("merging", [False, True])
def test_aliases_to_aliases_do_not_explode(merging: bool) -> None:
    """Nine lines that stand for four hundred million values."""
    lines = ["a0: &a0 {k: v}"]
    for n in range(1, 10):
        aliases = ", ".join([f"*a{n - 1}"] * 9)
        lines.append(f"a{n}: &a{n} {{<<: [{aliases}]}}" if merging else f"a{n}: &a{n} [{aliases}]")
    [problem] = problems("\n".join(lines))
    assert "more than 20,000 values" in problem


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_a_library_writes_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value)
    tree = parse(text)
    assert tree.problems == []
    assert tree.value == value


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@#<, \n\t\\01.e~", max_size=60))
def test_any_text_gives_a_tree_or_problems(text: str) -> None:
    tree = parse(text)
    assert all(str(one) for one in tree.problems)
    assert tree.value is not None or tree.problems or not tree.lines
