"""Names and places: a place in the path always means one call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.core import Branch, Parallel, Sequence, Step, Wrapper, step
from tidyllm.core.names import segments
from tidyllm.errors import StepError

names = st.lists(st.sampled_from(["a", "b", "a#2", "b#2", "a#3", "a#2#2"]), max_size=8)


@given(names)
def test_places_are_unique_and_the_first_of_a_name_keeps_it(given_names: list[str]) -> None:
    places = segments(given_names)
    assert len(set(places)) == len(places) == len(given_names)
    for index, name in enumerate(given_names):
        assert places[index] == name or name in given_names[:index]


@given(st.lists(st.sampled_from("abc"), max_size=8), st.sampled_from("abc"))
def test_a_step_added_at_the_end_leaves_the_places_of_the_others(before: list[str], new: str) -> None:
    assert segments([*before, new])[:-1] == segments(before)


@pytest.mark.parametrize("name", ["", "a#2", "a#0", "#7", None, 7])
def test_a_step_cannot_take_a_name_that_is_ours(name: Any) -> None:
    for use in (
        step(str).named,
        Sequence(str).named,
        Parallel(str, str).named,
        Branch({1: step(str)}, by=int).named,
    ):
        with pytest.raises(StepError, match="cannot be a name"):
            use(name)


def test_a_number_sign_elsewhere_in_a_name_is_fine() -> None:
    assert [step(str).named(name).name for name in ("c#", "a#b", "#2 things")] == ["c#", "a#b", "#2 things"]


def test_a_branch_of_a_parallel_cannot_take_a_name_that_is_ours() -> None:
    with pytest.raises(StepError, match="cannot be a name"):
        Parallel({"a#2": step(str)})


def test_a_new_name_leaves_the_old_step_as_it_was() -> None:
    first: Step[Any, Any] = Branch({1: step(str)}, by=int)
    assert (first.named("second").name, first.name) == ("second", "Branch(1)")
    parallel = Parallel(left=step(str), right=step(str))
    assert repr(parallel.named("both")) == "Parallel(left=str, right=str, name='both')"
    assert repr(parallel) == "Parallel(left=str, right=str)"


def test_an_expression_is_named_by_the_names_of_its_steps_without_their_wrappers() -> None:
    fast: Step[Any, Any] = Wrapper(step(name="fast")(str))
    assert (fast >> step(len)).name == "fast >> len"
    assert (fast | step(len)).name == "fast | len"
    assert ((fast >> step(len)) | fast).name == "(fast >> len) | fast"
    assert Parallel(left=fast, right=fast).name == "Parallel(left, right)"
