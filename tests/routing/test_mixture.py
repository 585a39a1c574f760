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
from tidyllm.routing.forest import fit_forest
from tidyllm.routing.groups import fit_groups, softmax
from tidyllm.routing.kernel import Kernel, fit_kernel
from tidyllm.routing.likeness import Likeness
from tidyllm.routing.mixture import fit_mixture, leaning
from tidyllm.routing.signs import SIGNS, signs

Array = NDArray[Any]
QUESTION = "Which of the following is NOT true?\nA. 1 and 2\nB. 3\nC. 17\nD. None of the above\nAnswer:"


def _points() -> tuple[Array, Array]:
    points: Array = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    return points, (points[:, 0] > 0).astype(int)


def _circle(seed: int) -> tuple[Array, Array]:
    """The first route is right inside a circle, which no straight line tells; the second outside of it."""
    points: Array = np.random.default_rng(seed).standard_normal((2000, 2)).astype(np.float32)
    inside = (points**2).sum(1) < 1.4
    return points, np.stack([inside, ~inside], 1).astype(float)


def test_a_fit_of_groups_skips_rows_without_one() -> None:
    points, side = _points()
    kinds = np.where(np.arange(300) % 4 == 0, -1, side)
    weights, offset = fit_groups(points, kinds, 2)
    assert (softmax(points @ weights + offset).argmax(1) == side).mean() > 0.95


def test_without_groups_nothing_is_told_of_them() -> None:
    points, _ = _points()
    weights, offset = fit_groups(points, np.full(300, -1), 0)
    assert softmax(points @ weights + offset).shape == (300, 0)


def test_a_kernel_tells_what_no_straight_line_tells() -> None:
    table, quality = _circle(0)
    later, real = _circle(1)
    told = fit_kernel(table, quality).told(later)
    assert ((told > 0.5) == real).mean() > 0.95


def test_far_from_all_that_it_saw_a_kernel_tells_the_mean() -> None:
    table, quality = _circle(0)
    kernel = fit_kernel(table, quality)
    assert kernel.told(np.full((1, 2), 1e4, np.float32))[0] == pytest.approx(quality.mean(0))


def test_a_kernel_learns_each_route_from_the_prompts_that_it_was_asked() -> None:
    table, quality = _circle(0)
    partly = quality.copy()
    partly[::2, 0] = np.nan
    partly[1::2, 1] = np.nan
    told = fit_kernel(table, partly).told(table)
    assert ((told > 0.5) == quality).mean() > 0.95


def test_of_thousands_of_nearly_equal_prompts_a_kernel_learns_what_exact_sums_would_teach() -> None:
    random = np.random.default_rng(0)
    table = (30 + 0.01 * random.standard_normal((4000, 2))).astype(np.float32)
    quality = (random.random((4000, 1)) < 0.5).astype(float)
    kernel = fit_kernel(table, quality)
    known = kernel.landmarks.astype(float)

    def near(one: Array) -> Array:
        # In single precision, as the policy sees them when it chooses.
        square = (one**2).sum(1)[:, None] + (kernel.landmarks**2).sum(1) - 2 * (one @ kernel.landmarks.T)
        return np.exp(-0.5 * np.maximum(square, 0)).astype(float)

    square = near(table).T @ near(table) + 3 * (near(kernel.landmarks) + 0.01 * np.eye(len(known)))
    solve: Any = np.linalg.solve
    exact: Array = solve(square, near(table).T @ (quality - quality.mean()))
    assert kernel.weights == pytest.approx(exact, abs=1e-3)


def test_landmarks_are_as_a_file_keeps_them() -> None:
    kernel = fit_kernel(*_circle(0))
    assert (kernel.landmarks == kernel.landmarks.astype(np.float16)).all()
    assert len(kernel.landmarks) == 1500


def test_equal_prompts_are_told_their_mean() -> None:
    table = np.ones((200, 3), np.float32)
    quality = np.arange(200)[:, None] % 4 == np.array([0, 1])
    assert fit_kernel(table, quality.astype(float)).told(table[:1]) == pytest.approx(0.25, abs=0.01)


def test_a_damaged_kernel_is_seen() -> None:
    table, quality = _circle(0)
    whole = fit_kernel(table, quality)
    assert whole.fits(2, 2)
    damaged = {
        "a column too many": Kernel(np.hstack([whole.landmarks, whole.landmarks]), whole.weights, whole.mean),
        "a landmark too few": Kernel(whole.landmarks[1:], whole.weights, whole.mean),
        "a route too few": Kernel(whole.landmarks, whole.weights[:, :1], whole.mean),
        "a mean too few": Kernel(whole.landmarks, whole.weights, whole.mean[:1]),
        "a landmark that is nowhere": Kernel(whole.landmarks * np.nan, whole.weights, whole.mean),
        "weights that are no numbers": Kernel(whole.landmarks, whole.weights * np.inf, whole.mean),
        "a mean that is no number": Kernel(whole.landmarks, whole.weights, whole.mean * np.nan),
    }
    assert [name for name, kernel in damaged.items() if kernel.fits(2, 2)] == []


def test_both_fits_together_learn_where_a_route_was_not_asked() -> None:
    table, quality = _circle(0)
    partly = quality.copy()
    partly[::3, 0] = np.nan
    later, real = _circle(1)
    mixture = fit_mixture(table, partly)
    known = fit_forest(table, np.where(np.isnan(partly), np.clip(mixture.kernel.told(table), 0, 1), partly))
    assert (known.quality == mixture.forest.quality).all()
    assert ((mixture.told(later) > 0.5) == real).mean() > 0.95
    assert mixture.told(later) == pytest.approx((mixture.kernel.told(later) + mixture.forest.told(later)) / 2)


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
