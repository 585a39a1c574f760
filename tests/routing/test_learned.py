"""A learned policy: what it learns, when it falls back, how it is set and kept in a file."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.prompts import COSTS, EASY, HARD, learnable, outcomes, policy
from tidyllm.errors import ConfigError
from tidyllm.routing import LearnedPolicy, Outcome, Outcomes, apgr, read_outcomes
from tidyllm.routing.curve import curve, oracle


def test_it_sends_hard_prompts_to_the_better_route_and_easy_ones_to_the_cheaper() -> None:
    assert policy().at(0.3).choose(HARD) == "premium"
    assert policy().at(0.3).choose(EASY) == "fast"


def test_its_expectations_are_calibrated() -> None:
    told = [policy().predict(row.prompt).quality["fast"] for row in learnable(300, seed=7)]
    real = [row.quality["fast"] for row in learnable(300, seed=7)]
    assert sum(told) / 300 == pytest.approx(sum(real) / 300, abs=0.06)


def test_it_beats_chance_on_prompts_it_has_not_seen() -> None:
    rows = learnable(1000, seed=9)
    told = [policy().predict(row.prompt).quality for row in rows]
    gain = np.array([one["premium"] - one["fast"] for one in told])
    weak, strong = (np.array([row.quality[name] for row in rows]) for name in ("fast", "premium"))
    assert apgr(gain, weak, strong) > 0.7
    assert (policy().facts.apgr or 0) > 0.7


@pytest.mark.parametrize(
    "prompt",
    [
        "def f(x):\n    return {x: 1}\n\n\n# explain\n" * 20,
        "Wie heißt die Hauptstadt von Österreich und warum ist das so gekommen?",
        "",
    ],
)
def test_a_prompt_unlike_those_it_learned_from_gets_the_safe_route(prompt: str) -> None:
    told = policy().at(1e9).predict(prompt)
    assert told.route == policy().safe == "premium"
    assert told.foreign is not None


def test_the_wanted_quality_costs_as_little_as_measured() -> None:
    at = policy().for_quality(0.95)
    safe = policy().facts.singles[1]
    assert at.point.quality - at.point.error / 2 >= 0.95 * safe
    cheaper = [point for point in at.facts.curve if point.cost_usd < at.point.cost_usd]
    assert cheaper
    assert all(point.quality - point.error / 2 < 0.95 * safe for point in cheaper)
    assert at.point.cost_usd < COSTS["premium"]
    assert policy().for_quality(2).point.shares == (0.0, 1.0)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_wanted_share_of_calls_goes_to_the_dearest_route(share: float) -> None:
    assert policy().for_share(share).point.shares[-1] == pytest.approx(share, abs=0.03)


def test_it_learns_the_same_twice() -> None:
    again = LearnedPolicy.train(outcomes())
    assert again.facts == policy().facts


def test_it_learns_where_only_one_route_was_asked_for_each_prompt() -> None:
    rows = [
        msgspec.structs.replace(row, quality={name: row.quality[name]})
        for number, row in enumerate(learnable(300))
        for name in (["fast", "premium"][number % 2],)
    ]
    learned = LearnedPolicy.train(Outcomes(rows, costs=COSTS))
    assert learned.facts.estimated
    assert learned.at(0.3).choose(HARD) == "premium"
    assert learned.at(0.3).choose(EASY) == "fast"


def test_it_chooses_among_three_routes_and_only_among_those_allowed() -> None:
    rows = [
        msgspec.structs.replace(row, quality={**row.quality, "middle": row.quality["fast"] * 0.5}, group=None)
        for row in learnable()
    ]
    learned = LearnedPolicy.train(Outcomes(rows, costs={**COSTS, "middle": 0.005}))
    assert learned.routes == ("fast", "middle", "premium")
    assert learned.at(0.3).choose(EASY) == "fast"
    assert learned.choose(EASY, among=["middle"]) == "middle"
    with pytest.raises(ConfigError, match="learned about fast, middle, premium"):
        learned.choose(EASY, among=["other"])


def test_where_all_routes_cost_the_same_each_prompt_gets_the_best_one() -> None:
    learned = LearnedPolicy.train(Outcomes(learnable(), costs={"fast": 1.0, "premium": 1.0}))
    assert learned.choose(HARD) == "premium"
    assert learned.point.cost_usd == 1


def test_a_group_without_a_name_has_only_the_prompts_that_say_so() -> None:
    rows = [
        msgspec.structs.replace(row, group="" if number % 10 == 0 else None)
        for number, row in enumerate(learnable())
    ]
    rows += [msgspec.structs.replace(row, group="maths") for row in learnable(20, seed=3)]
    assert LearnedPolicy.train(Outcomes(rows, costs=COSTS)).facts.groups == ()


# -- what cannot be learned from


def _file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "outcomes.jsonl"
    good = [msgspec.json.encode(row).decode() for row in learnable(60)]
    path.write_text("\n".join([*good, *lines]) + "\n")
    return path


def test_a_file_of_outcomes_is_read(tmp_path: Path) -> None:
    read = read_outcomes(_file(tmp_path, "", "  "), costs=COSTS)
    assert (len(read.rows), read.routes, read.groups) == (60, ("fast", "premium"), ("general", "maths"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 61: Input data was truncated"),
        ("[]", "line 61: Expected `object`, got `array`"),
        ('{"quality": {"fast": 1}}', "line 61: Object missing required field `prompt`"),
        (
            '{"prompt": "a", "quality": {"fast": 2}}',
            "line 61: `quality` of 'fast' must be from 0 to 1, got 2",
        ),
        ('{"prompt": " ", "quality": {"fast": 1}}', "line 61: `prompt` is empty"),
        ('{"prompt": "a", "quality": {}}', "line 61: `quality` names no route"),
        (
            '{"prompt": "a", "quality": {"fast": 1}, "cost_usd": {"fast": -1}}',
            "line 61: `cost_usd` of 'fast'",
        ),
        (
            '{"prompt": "a", "quality": {"fast": 1}, "grup": "x"}',
            "line 61: Object contains unknown field `grup`",
        ),
        ('{"prompt": "a", "quality": {"fast": NaN}}', "line 61"),
    ],
)
def test_a_broken_line_is_refused_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_outcomes(_file(tmp_path, line), costs=COSTS)
    assert said in str(refused.value)
    assert "Each line is an object" in str(refused.value)


def test_of_many_broken_lines_the_first_five_are_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"9 broken lines: line 61: .*; and 4 more"):
        read_outcomes(_file(tmp_path, *["{"] * 9), costs=COSTS)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"prompt": "\xff", "quality": {"a": 1}}\n')
    with pytest.raises(ConfigError, match="line 1"):
        read_outcomes(path)


@pytest.mark.parametrize(
    ("rows", "costs", "said"),
    [
        (learnable(10), COSTS, "10 rows are too few"),
        (
            [Outcome(prompt=f"p{n}", quality={"a": n % 2}) for n in range(60)],
            {"a": 1.0},
            "a choice needs two",
        ),
        (
            [Outcome(prompt=f"p{n}", quality={"a": 1, "b": 1}) for n in range(60)],
            {"a": 1.0, "b": 2.0},
            "one class",
        ),
        (
            [Outcome(prompt=f"p{n}", quality={"a": 0, "b": 1}) for n in range(60)],
            {"a": 1.0, "b": 2.0},
            "one class",
        ),
        (learnable(60), {}, "what a call on route 'fast' costs is not known"),
        (learnable(60), {**COSTS, "x": 1.0}, "a cost is given for 'x'"),
        (learnable(60), {"fast": -1.0, "premium": 1.0}, "must be 0 dollars or more"),
        (learnable(60), {"fast": 0.0, "premium": 0.0}, "cost nothing"),
    ],
)
def test_outcomes_that_teach_nothing_are_refused(
    rows: list[Outcome], costs: dict[str, float], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Outcomes(rows, costs=costs)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="safe route 'slow' has no outcomes"):
        LearnedPolicy.train(outcomes(), safe="slow")
    with pytest.raises(ConfigError, match="not both"):
        LearnedPolicy.train(outcomes(), quality=0.9, share=0.5)
    for wrong in (0, -1, math.nan, 3):
        with pytest.raises(ConfigError, match="wanted quality"):
            policy().for_quality(wrong)
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match="wanted share"):
            policy().for_share(wrong)


# -- measures


qualities = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=40
)


@given(qualities)
def test_a_policy_that_knows_nothing_has_an_apgr_of_one_half(rows: list[tuple[float, float]]) -> None:
    weak, strong = np.array(rows).T
    value = apgr(np.zeros(len(rows)), weak, strong)
    assert math.isnan(value) if weak.sum() == strong.sum() else value == pytest.approx(0.5)


def test_prompts_that_all_go_to_the_safe_route_first_are_in_no_order() -> None:
    weak, strong = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0])
    assert apgr(np.full(4, np.inf), weak, strong) == 0.5


@given(qualities)
def test_an_opposite_policy_has_the_opposite_apgr(rows: list[tuple[float, float]]) -> None:
    weak, strong = np.array(rows).T
    gain = np.arange(len(rows), dtype=float)
    if weak.sum() != strong.sum():
        assert apgr(gain, weak, strong) + apgr(-gain, weak, strong) == pytest.approx(1)


@given(qualities, st.randoms())
def test_no_policy_is_better_than_hindsight(rows: list[tuple[float, float]], draw: object) -> None:
    real = np.array(rows)
    expected = np.random.default_rng(len(rows)).random(real.shape)
    best = max(point.quality for point in oracle(real, [1.0, 5.0]))
    assert max(point.quality for point in curve(expected, real, [1.0, 5.0], safe=1)) <= best + 1e-9


def test_importing_it_loads_no_numpy_and_no_database() -> None:
    code = "import sys, tidyllm.routing; print({'numpy', 'matplotlib', 'sqlalchemy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
