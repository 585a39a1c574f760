"""How a policy is learned: honestly, and with a word to say where it cannot be."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.routing.prompts import COSTS, learnable
from tidyllm.errors import ConfigError
from tidyllm.routing import LearnedPolicy, Outcome, Outcomes
from tidyllm.routing.features import hashed, shape, words_of
from tidyllm.routing.likeness import Likeness, standard
from tidyllm.routing.training import Seen, left_out

Array = NDArray[Any]


def _left_out(real: Array, rows: list[Outcome], groups: bool) -> Array:
    raw = np.array([shape(row.prompt) for row in rows])
    looks = (raw - standard(raw)[0]) / standard(raw)[1]
    kinds = np.array([row.group == "maths" for row in rows], int) if groups else np.full(len(rows), -1)
    likeness = Likeness([hashed(words_of(row.prompt)) for row in rows], looks)
    seen = Seen(likeness, looks, real, kinds, 2 if groups else 0)
    return left_out(seen, np.arange(len(rows)) % 5)[0]


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("asked", ["every route", "one route each"])
def test_what_is_expected_of_a_left_out_prompt_does_not_know_its_own_answer(asked: str, groups: bool) -> None:
    rows = learnable(100, seed=4)
    real = np.array([[row.quality["fast"], row.quality["premium"]] for row in rows])
    if asked == "one route each":
        real[np.arange(100), np.arange(100) // 5 % 2] = np.nan
    other = real.copy()
    at = int(np.flatnonzero(~np.isnan(real[:, 0]))[3])
    other[at, 0] = 1 - other[at, 0]
    one, two = _left_out(real, rows, groups), _left_out(other, rows, groups)
    assert (one[at] == two[at]).all()
    assert (one != two).any()


@pytest.mark.parametrize("prompts", [1, 4])
def test_outcomes_of_too_few_different_prompts_are_refused(prompts: int) -> None:
    rows = [
        Outcome(
            prompt=f"number {at % prompts}", quality={"fast": float(at % 3 == 0), "premium": float(at % 2)}
        )
        for at in range(60)
    ]
    with pytest.raises(ConfigError, match="route 'fast' are of too few different prompts"):
        LearnedPolicy.train(Outcomes(rows, costs=COSTS))


def test_a_route_that_was_asked_one_prompt_only_is_refused_by_name() -> None:
    rows = [*learnable(), *[Outcome(prompt="again", quality={"third": float(at % 2)}) for at in range(40)]]
    with pytest.raises(ConfigError, match="route 'third' are of too few different prompts"):
        LearnedPolicy.train(Outcomes(rows, costs={**COSTS, "third": 0.5}))


def test_where_no_setting_is_good_enough_the_best_measured_one_is_taken_though_the_dearest_is_no_better() -> (
    None
):
    rows = [
        Outcome(prompt=row.prompt, quality={**row.quality, "vain": float(at % 4 == 0)}, group=row.group)
        for at, row in enumerate(learnable())
    ]
    policy = LearnedPolicy.train(Outcomes(rows, costs={**COSTS, "vain": 1.0}), quality=2)
    assert policy.safe == "premium"
    assert policy.point.quality == max(point.quality for point in policy.facts.curve)
    assert policy.point.shares[-1] < 0.1


def test_without_scikit_learn_learning_says_what_to_install() -> None:
    code = """import sys; sys.modules["sklearn"] = None
from tests.routing.prompts import outcomes
from tidyllm.errors import ConfigError
from tidyllm.routing import LearnedPolicy
try:
    LearnedPolicy.train(outcomes())
except ConfigError as error:
    print(error.hint)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "Install it with: pip install 'tidyllm[routing]'"
