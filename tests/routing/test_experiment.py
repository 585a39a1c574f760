"""An experiment: who gets which arm, and that a verdict holds however often somebody looks."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.servers import store_url
from tidyllm.core import Context
from tidyllm.errors import ConfigError
from tidyllm.routing import ABSettings, Experiment, Feedback, Outcomes, Router, read_feedback, record_feedback
from tidyllm.routing.feedback import recorded_outcomes
from tidyllm.routing.sequences import ArmSums, difference
from tidyllm.store import Store
from tidyllm.store.tables.money import ledger

SETTINGS = ABSettings(name="cheaper", arms={"control": 0.9, "cheap": 0.1}, sticky="user")
HALVES = ABSettings(name="halves", arms={"control": 0.5, "cheap": 0.5})


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    yield one
    one.close()


def told(arm: str, user: str, quality: float, number: int = 0) -> Feedback:
    return Feedback(
        run_id=f"{user}-{number}", route=arm, quality=quality, experiment="halves", arm=arm, sticky=user
    )


def test_arms_get_their_shares() -> None:
    dealt = Counter(Experiment(SETTINGS).arm_for(f"user-{n}") for n in range(20_000))
    assert dealt["cheap"] / 20_000 == pytest.approx(0.1, abs=0.01)


@given(st.text(), st.text(min_size=1).filter(str.strip))
def test_the_same_user_always_gets_the_same_arm(who: str, name: str) -> None:
    settings = ABSettings(name=name, arms={"a": 0.3, "b": 0.7})
    assert Experiment(settings).arm_for(who) == Experiment(settings).arm_for(who)


def test_experiments_deal_independently() -> None:
    other = Experiment(ABSettings(name="other", arms={"control": 0.5, "cheap": 0.5}))
    one = Experiment(HALVES)
    both = sum(one.arm_for(f"u{n}") == other.arm_for(f"u{n}") for n in range(4_000))
    assert both / 4_000 == pytest.approx(0.5, abs=0.04)


async def test_as_the_choice_of_a_router_it_sticks_to_the_tag() -> None:
    experiment = Experiment(SETTINGS)
    router = Router({"control": lambda x: "control", "cheap": lambda x: "cheap"}, choose=experiment)
    cheap = next(f"u{n}" for n in range(100) if experiment.arm_for(f"u{n}") == "cheap")
    assert await router("x", Context.new(tags={"user": cheap})) == "cheap"
    assert await router("x", Context.new()) == "control"  # nobody to stick to
    experiment.stop("cheap")
    assert await router("x", Context.new(tags={"user": cheap})) == "control"


def test_a_user_is_kept_as_a_hash() -> None:
    assert "ann@example.com" not in Experiment(SETTINGS).sticky_id("ann@example.com")
    assert len(Experiment(SETTINGS).sticky_id("ann")) == 24


def test_there_is_no_verdict_below_the_minimum() -> None:
    rows = [told(arm, f"{arm}{n}", float(arm == "control")) for n in range(49) for arm in HALVES.arms]
    report = Experiment(HALVES).report(rows)
    assert [one.verdict for one in report.arms] == ["control", "too early"]


def test_many_answers_of_few_users_are_no_sample() -> None:
    rows = [
        told(arm, f"{arm}{n % 10}", float(arm == "control"), n) for n in range(900) for arm in HALVES.arms
    ]
    assert Experiment(HALVES).report(rows).arms[1].verdict == "too early"


def test_an_arm_that_is_surely_worse_or_better_is_told() -> None:
    draw = random.Random(5)
    rows = [
        told(a, f"{a}{n}", float(draw.random() < p))
        for n in range(300)
        for a, p in (("control", 0.9), ("cheap", 0.5))
    ]
    report = Experiment(HALVES).report(rows)
    assert report.worse == ("cheap",)
    better = Experiment(ABSettings(name="halves", arms=HALVES.arms, control="cheap")).report(rows)
    assert better.arms[1].verdict == "better"
    tolerant = ABSettings(name="halves", arms=HALVES.arms, margin=0.6)
    assert Experiment(tolerant).report(rows).arms[1].verdict == "undecided"


def test_without_outcomes_nothing_is_said() -> None:
    (control, cheap) = Experiment(HALVES).report([]).arms
    assert math.isnan(control.mean)
    assert cheap.against is not None
    assert (cheap.against.low, cheap.against.high) == (-math.inf, math.inf)


def _ever_wrong(draw: random.Random, *, rate: float, spread: float, shares: tuple[float, float]) -> bool:
    """Whether one experiment without any difference ever gets a verdict, looked at after every 40 answers."""
    arms = ArmSums(clusters={}), ArmSums(clusters={})
    taste: dict[int, tuple[int, float]] = {}
    for number in range(1, 3_001):
        user = draw.randrange(20 + number // 3)  # old users come back, new ones join
        if user not in taste:
            taste[user] = int(draw.random() < shares[1]), min(max(draw.gauss(rate, spread), 0.0), 1.0)
        arm, own = taste[user]
        arms[arm].add(str(user), float(draw.random() < own))
        if number % 40 == 0 and min(len(one.clusters) for one in arms) >= 50:
            between = difference(arms[1], arms[0], tightest=200, alpha=0.05)
            if between.low > 0 or between.high < 0:
                return True
    return False


def _false_alarms(count: int, **world: object) -> float:
    draw = random.Random(f"{world}")
    return sum(_ever_wrong(draw, **world) for _ in range(count)) / count  # pyright: ignore[reportArgumentType] - passed on


def test_looking_all_the_time_raises_few_false_alarms() -> None:
    assert _false_alarms(25, rate=0.7, spread=0.25, shares=(0.5, 0.5)) <= 0.05 + 3 * math.sqrt(
        0.05 * 0.95 / 40
    )


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rate", [0.5, 0.8, 0.97])
@pytest.mark.parametrize("spread", [0.0, 0.3])
@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1)])
def test_false_alarms_stay_within_the_stated_level(
    rate: float, spread: float, shares: tuple[float, float]
) -> None:
    rounds = 300
    wrong = _false_alarms(rounds, rate=rate, spread=spread, shares=shares)
    assert wrong <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": " "}, "`name` is empty"),
        ({"arms": {"a": 1.0}}, "needs two"),
        ({"arms": {"a": 0.5, "b": 0.6}}, "must add up to 1, got 1.1"),
        ({"arms": {"a": 1.5, "b": -0.5}}, "`arms.a`"),
        ({"arms": {"a": math.nan, "b": 0.5}}, "`arms.a`"),
        ({"control": "c"}, "`control` must be one of"),
        ({"alpha": 0.0}, "`alpha`"),
        ({"min_clusters": 10}, "50 or more, got 10"),
        ({"margin": -1.0}, "`margin`"),
    ],
)
def test_wrong_settings_are_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ABSettings(**{"name": "x", "arms": {"a": 0.5, "b": 0.5}, **change})  # pyright: ignore[reportArgumentType] - the point


def test_only_an_arm_can_be_stopped() -> None:
    for arm in ("none", "control"):
        with pytest.raises(ConfigError):
            Experiment(SETTINGS).stop(arm)


# -- verdicts in the store


async def test_a_verdict_is_kept_and_the_last_one_counts(store: Store) -> None:
    await record_feedback(store, told("cheap", "u1", 0.0))
    await record_feedback(store, told("cheap", "u1", 1.0))
    assert await read_feedback(store, experiment="halves") == [told("cheap", "u1", 1.0)]
    assert await read_feedback(store, experiment="other") == []


async def test_a_review_stops_what_is_surely_worse(store: Store) -> None:
    for n in range(60):
        await record_feedback(store, told("control", f"c{n}", 1.0))
        await record_feedback(store, told("cheap", f"w{n}", 0.0))
    experiment = Experiment(HALVES)
    report = await experiment.review(store)
    assert report.worse == ("cheap",)
    assert {experiment.arm_for(f"u{n}") for n in range(50)} == {"control"}


async def test_verdicts_with_a_prompt_can_be_learned_from(store: Store) -> None:
    for n in range(40):
        for route in ("fast", "premium"):
            await record_feedback(
                store,
                Feedback(
                    run_id=f"{n}",
                    route=route,
                    quality=float(n % 3 > 0 or route == "premium"),
                    prompt=f"p {n}",
                ),
            )
    learned = Outcomes(recorded_outcomes(store), costs={"fast": 1.0, "premium": 2.0})
    assert (len(learned.rows), learned.routes) == (40, ("fast", "premium"))


async def test_what_a_run_cost_is_read_from_the_ledger(store: Store) -> None:
    run, row = "ab" * 16, {"writer": 1, "at": 1.0, "hash": b""}
    await store.append(ledger, {**row, "seq": 1, "kind": 0, "entry": 7, "run_id": bytes.fromhex(run)})
    await store.append(ledger, {**row, "seq": 2, "kind": 1, "entry": 7, "cost_nanos": 2_000_000})
    await record_feedback(store, Feedback(run_id=run, route="fast", quality=1.0, prompt="hello"))
    assert recorded_outcomes(store)[0].cost_usd == {"fast": 0.002}


async def test_verdicts_without_prompts_teach_nothing(store: Store) -> None:
    await record_feedback(store, told("cheap", "u1", 0.0))
    with pytest.raises(ConfigError, match="none of the 1 verdicts"):
        recorded_outcomes(store)


NASTY = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=40
)


def test_no_text_breaks_out_of_its_field() -> None:
    store = Store.open("sqlite://")

    @settings(max_examples=40)
    @given(NASTY.filter(str.strip), NASTY, NASTY)
    def there_and_back(route: str, arm: str, prompt: str) -> None:
        one = Feedback(
            run_id="'; DROP TABLE outcomes; --",
            route=route,
            quality=0.5,
            arm=arm,
            experiment=arm,
            sticky=arm,
            prompt=prompt,
        )
        asyncio.run(record_feedback(store, one))
        assert asyncio.run(read_feedback(store))[-1] == one

    there_and_back()
    store.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"run_id": ""}, "`run_id` is empty"),
        ({"route": " "}, "`route` is empty"),
        ({"quality": 1.5}, "`quality` must be from 0 to 1, got 1.5"),
        ({"quality": math.nan}, "`quality`"),
        ({"arm": "a"}, "belong together; only arm given"),
        ({"kind": "x" * 300}, "`kind` must be at most 256"),
        ({"prompt": "a\0b"}, "NUL"),
    ],
)
def test_a_wrong_verdict_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Feedback(**{"run_id": "r", "route": "fast", "quality": 1.0, **change})  # pyright: ignore[reportArgumentType] - the point
