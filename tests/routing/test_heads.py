"""The fits behind a policy, each by itself: what they learn, and what must hold whatever they are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.routing.prompts import learnable
from tidyllm.routing.features import hashed, words_of
from tidyllm.routing.heads import fit_heads, leaning, mixed
from tidyllm.routing.logistic import fit_each, fit_one_of, sigmoid, softmax
from tidyllm.routing.ridge import Likeness
from tidyllm.routing.signs import SIGNS, signs

Array = NDArray[Any]
QUESTION = "Which of the following is NOT true?\nA. 1 and 2\nB. 3\nC. 17\nD. None of the above\nAnswer:"


def _points() -> tuple[Array, Array]:
    points: Array = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    return points, (points[:, 0] > 0).astype(int)


def test_a_logistic_fit_tells_two_sides_apart_and_skips_what_is_unknown() -> None:
    points, side = _points()
    targets = np.stack([side, 1 - side], 1).astype(float)
    targets[::3, 0] = np.nan
    weights, offset = fit_each(points, targets, penalty=1, steps=50)
    told = sigmoid(points @ weights + offset)
    assert ((told[:, 0] > 0.5) == side).mean() > 0.95
    assert ((told[:, 1] > 0.5) == 1 - side).mean() > 0.95


def test_a_fit_of_groups_skips_rows_without_one() -> None:
    points, side = _points()
    kinds = np.where(np.arange(300) % 4 == 0, -1, side)
    weights, offset = fit_one_of(points, kinds, 2, penalty=1, steps=50)
    assert (softmax(points @ weights + offset).argmax(1) == side).mean() > 0.95


@pytest.mark.parametrize("count", [0, 2])
def test_the_mixture_expects_what_it_was_shown(count: int) -> None:
    points, side = _points()
    quality = np.stack([side, np.ones(300)], 1).astype(float)
    kinds = side if count else np.full(300, -1)
    by_space, by_sign, offset, net = fit_heads(points / 5, np.zeros((300, 1)), quality, kinds, count)
    scores = np.hstack([quality, points / 5 @ by_space + np.zeros((300, 1)) @ by_sign + offset])
    means = [[0.0, 1.0], [1.0, 1.0]][:count]
    told, likely = mixed(scores, net, means)
    assert np.corrcoef(told[:, 0], side)[0, 1] > 0.9
    assert likely.shape == (300, count)


@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=20))
def test_the_two_leanings_of_each_route_add_up_to_its_quality(rows: list[list[float]]) -> None:
    quality = np.array(rows)
    assert leaning(quality).sum(-1) == pytest.approx(quality)


def test_coordinates_give_back_how_alike_prompts_are() -> None:
    prompts = [hashed(words_of(row.prompt)) for row in learnable(80)]
    likeness = Likeness(prompts, np.zeros((80, 1)))
    space, directions = likeness.space(40)
    assert np.abs(space @ space.T - likeness.table).max() < 0.3
    assert likeness.table @ directions == pytest.approx(space, abs=0.02)


# -- signs


def test_signs_of_a_question_with_options_are_told_by_name() -> None:
    told = dict(zip(SIGNS, signs(QUESTION), strict=True))
    for name in ("negation", "shouted", "of_the_following", "none_of", "asks_which", "ends_as_question"):
        assert told[name] == 1, name
    assert told["options_with_digits"] == 0.75
    assert told["single_words"] == 0.5
    assert told["all_of_the"] == told["numeric_options"] == told["ascending"] == 0


@given(st.text(max_size=300) | st.text("A.B) \n?,'9I", max_size=300))
def test_any_text_has_signs_that_are_numbers(text: str) -> None:
    told = signs(text)
    assert len(told) == len(SIGNS)
    assert np.isfinite(told).all()
