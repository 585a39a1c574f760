"""Directives of `cache-control`: the four that count are read, the others ignored, nonsense refused by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.cache import CacheControl
from tidyllm.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", CacheControl()),
        ("no-store", CacheControl(no_store=True)),
        ("No-Cache , ", CacheControl(no_cache=True)),
        ("max-age=60", CacheControl(max_age=60)),
        ('max-age="0", only-if-cached', CacheControl(max_age=0, only_if_cached=True)),
        ("private, stale-while-revalidate=5, no-transform", CacheControl()),
    ],
)
def test_directives_are_read(text: str, expected: CacheControl) -> None:
    assert CacheControl.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=x", "max-age=²", "=5", "a b", "x" * 2000],
)
def test_nonsense_is_refused_and_named(text: str) -> None:
    with pytest.raises(BadRequest, match="cache-control") as caught:
        CacheControl.parse(text)
    assert caught.value.field == "cache-control"


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        CacheControl.parse(text)
    except BadRequest:
        pass
