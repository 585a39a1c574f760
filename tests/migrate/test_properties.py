"""What holds for every file, whatever stands in it."""

from __future__ import annotations

import ast
import difflib
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.migrate.pairs import before_and_after, untouched
from tidyllm.migrate import PATTERNS, convert, load

ALL = [load(name) for name in PATTERNS]
TEXTS = [
    *(before for name in PATTERNS for _, before, _ in before_and_after(name)),
    *(text for name in PATTERNS for _, text in untouched(name)),
]

NOISE = [
    "x   =  1  # kept\n",
    'table = {"dspy_enhanced": [1,2 ,3], "litellm": None}\n',
    "def f( a,b ):\n\n\n    return  a\n",
    "class A :\n    x:int=1 ; y = 2\n",
    "'''dspy_enhanced\n  text'''\n",
    "if True :\n\tpass # tab\n",
    "z = (1,\n     2,)\n",
    "# dspy_enhanced.DSPyEnhancedWrapper\n\n\n",
]

noise = st.lists(st.sampled_from(NOISE), max_size=4).map("".join)
endings = st.sampled_from(["\n", "\r\n"])


@settings(max_examples=40)
@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3), noise, noise, endings)
def test_twice_is_once_and_every_output_compiles(
    texts: list[str], above: str, below: str, ending: str
) -> None:
    text = (above + "\n".join(texts) + below).replace("\n", ending)
    once = convert(text, ALL).text
    compile(once, "once", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert convert(once, ALL).text == once


@settings(max_examples=40)
@given(st.sampled_from(TEXTS), noise, noise, endings)
def test_bytes_outside_of_the_edits_stay(text: str, above: str, below: str, ending: str) -> None:
    """What stands around comes through unchanged, line by line, in its order."""
    whole = (above + text + below).replace("\n", ending)
    once = convert(whole, ALL).text
    alone = convert(text.replace("\n", ending), ALL).text
    kept = above.replace("\n", ending), below.replace("\n", ending)
    if once != whole:
        assert once.endswith(kept[1])
        lines = list(difflib.ndiff(whole.splitlines(keepends=True), once.splitlines(keepends=True)))
        gone = "".join(line[2:] for line in lines if line.startswith("- "))
        for line in {*kept[0].splitlines(), *kept[1].splitlines()} - set(text.splitlines()):
            assert not line.strip() or line not in gone.splitlines()
    if not above and not below:
        assert once == alone
    if ending == "\r\n":
        assert not re.search(r"(?<!\r)\n", once)


@settings(max_examples=25)
@given(noise, endings)
def test_a_file_without_legacy_names_is_the_same(text: str, ending: str) -> None:
    text = text.replace("\n", ending)
    assert convert(text, ALL).text == text
