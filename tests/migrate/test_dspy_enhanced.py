"""The pattern `dspy_enhanced`: its pairs."""

from __future__ import annotations

import pytest

from tests.migrate.pairs import before_and_after, untouched
from tidyllm.migrate import PATTERNS, convert, load

RULES = [load("dspy_enhanced")]
ALL = [load(name) for name in PATTERNS]


@pytest.mark.parametrize(("name", "before", "after"), before_and_after("dspy_enhanced"))
def test_becomes(name: str, before: str, after: str) -> None:
    """A file becomes what stands beside it, and nothing more when it is converted once more."""
    done = convert(before, RULES).text
    assert done == after, name
    compile(done, name, "exec")
    assert convert(done, RULES).text == done


@pytest.mark.parametrize(("name", "text"), untouched("dspy_enhanced"))
def test_stays(name: str, text: str) -> None:
    """What only looks legacy, or cannot be converted, stays to the byte."""
    assert convert(text, ALL).text == text, name
