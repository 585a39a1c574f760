from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.observe.labels import LONGEST, OTHER, Labels


def test_the_first_values_keep_their_names_and_later_ones_are_other() -> None:
    label = Labels("model", cap=2)
    assert [label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_the_log_hears_once_that_a_label_is_full(caplog: pytest.LogCaptureFixture) -> None:
    label = Labels("model", cap=1)
    with caplog.at_level(logging.WARNING, "tidyllm.observe"):
        for name in ("a", "b", "c"):
            label(name)
    (record,) = caplog.records
    assert "'model' has 1 values" in record.getMessage()


def test_asking_for_what_is_known_takes_no_place() -> None:
    label = Labels("model", cap=1)
    assert label.known("junk") == OTHER
    assert label("real") == label.known("real") == "real"


def test_a_name_of_a_page_is_cut() -> None:
    assert Labels("model")("x" * 10_000) == "x" * LONGEST


@given(st.lists(st.text(st.characters(), max_size=5)), st.integers(0, 5))
def test_there_are_never_more_labels_than_the_cap_and_other(values: list[str], cap: int) -> None:
    label = Labels("any", cap=cap)
    labels = {label(value) for value in values} - {OTHER}
    assert len(labels) <= cap
    for text in labels:
        text.encode()  # a lone surrogate would raise
