"""A selector: what it leaves out, what it prefers, and that it tells why."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.routing.prompts import outcomes
from tidyllm.core import Context, Step
from tidyllm.errors import ConfigError, Refused
from tidyllm.models import Request, Tool
from tidyllm.models.message import Image, Message, Text
from tidyllm.models.model_info import ModelInfo, Prices
from tidyllm.routing import (
    TASKS,
    Candidate,
    Latencies,
    LearnedPolicy,
    Needs,
    Router,
    Selector,
    detect_task,
)
from tidyllm.routing.selector import By


def info(name: str, window: int = 100_000, price: str = "1", **facts: Any) -> ModelInfo:
    prices = Prices(input=Decimal(price), output=Decimal(price))
    return ModelInfo(name=f"x/{name}", context_window_tokens=window, prices=prices, **facts)


FAST = Candidate(
    name="fast", info=info("fast", 8_000, "0.1"), region="us-east-1", residency=frozenset({"us"})
)
PREMIUM = Candidate(
    name="premium",
    info=info("premium", 200_000, "5", abilities=frozenset({"tools", "vision"})),
    region="eu-west-1",
    residency=frozenset({"eu"}),
    weight=3,
)
UNKNOWN = Candidate(name="unknown")
ALL = (FAST, PREMIUM, UNKNOWN)


@cache
def policy_of_routes() -> LearnedPolicy:
    return LearnedPolicy.train(outcomes(120))


@pytest.mark.parametrize(
    ("prompt", "task"),
    [
        ("Write a Python function that reverses a list.", "code"),
        ("Why does this fail?\n```\nfor x in range(3): print(y)\n```", "code"),
        ("Solve the equation x^2 - 4 = 0.", "maths"),
        (
            "Janet's ducks lay 16 eggs a day. She eats 3 and sells each for $2. How much does she make per day?",
            "maths",
        ),
        ("Summarise this report in three sentences: sales rose …", "summarise"),
        ("Extract all names and dates from the letter as JSON.", "extract"),
        ("Translate this into French: good morning", "translate"),
        ("Classify the sentiment of this review: it was fine", "classify"),
        ("Write a short poem about the sea.", "write"),
        ("Hello, how are you today?", "chat"),
        ("", "chat"),
    ],
)
def test_a_task_is_told_from_the_prompt(prompt: str, task: str) -> None:
    assert detect_task(prompt).task == task


@given(st.text(max_size=400))
def test_every_text_has_a_task(text: str) -> None:
    assert detect_task(text).task in TASKS


@pytest.mark.parametrize(
    ("needs", "left"),
    [
        (Needs(), ["fast", "premium", "unknown"]),
        (Needs(window_tokens=50_000), ["premium"]),
        (Needs(usd_per_million=Decimal(1)), ["fast"]),
        (Needs(abilities=frozenset({"vision"})), ["premium"]),
        (Needs(regions=frozenset({"us-east-1", "us-west-2"})), ["fast"]),
        (Needs(residency="eu"), ["premium"]),
    ],
)
def test_a_fact_that_is_not_known_does_not_meet_a_need(needs: Needs, left: list[str]) -> None:
    choice = Selector(ALL, needs=needs).choose("hello")
    assert [one.name for one in choice.candidates if one.eligible] == left
    assert all(one.reasons for one in choice.candidates if not one.eligible)


def test_a_request_needs_what_it_uses() -> None:
    picture = Request([Message("user", (Text(text="what is it?"), Image(url="https://x.test/a.png")))])
    for request in (picture, Request("hi", tools=[Tool("f")])):
        assert [c.eligible for c in Selector(ALL).choose(request).candidates] == [False, True, True]


def test_a_prompt_that_does_not_fit_goes_elsewhere() -> None:
    choice = Selector([FAST, PREMIUM]).choose("word " * 20_000)
    assert choice.route == "premium"
    assert "window 8,000, the request takes about 25,000" in choice.candidates[0].reasons


def test_when_nothing_may_be_chosen_each_reason_is_told() -> None:
    with pytest.raises(
        Refused, match=r"fast: data residency us, mars needed; premium: .*unknown: .*not known"
    ) as no:
        Selector(ALL, needs=Needs(residency="mars")).choose("hello")
    assert not no.value.retryable


def test_a_task_has_its_routes_as_long_as_one_of_them_may_be_chosen() -> None:
    selector = Selector(ALL, tasks={"code": ["premium"], "maths": ["fast"]})
    assert selector.choose("Write a Python function that adds.").route == "premium"
    assert selector.choose("hello", task="maths").route == "fast"
    assert selector.choose(Request("hello", metadata={"task": "code"})).route == "premium"
    limited = Selector(ALL, tasks={"code": ["premium"]}, needs=Needs(residency="us"))
    assert limited.choose("hello", task="code").route == "fast"


def test_the_cheapest_known_price_wins() -> None:
    assert Selector([UNKNOWN, PREMIUM, FAST], by="price").choose("hello").route == "fast"
    assert Selector([UNKNOWN], by="price").choose("hello").why == "no price is known: the first"


def test_weights_are_kept() -> None:
    drawn = [
        Selector([FAST, PREMIUM], by="weight", draw=lambda n=n: n / 400).choose("x").route for n in range(400)
    ]
    assert drawn.count("fast") == 100
    never = Candidate(name="never", weight=0)
    assert Selector([never, FAST], by="weight", draw=lambda: 0.0).choose("x").route == "fast"


def test_the_fastest_wins_once_all_are_measured() -> None:
    latencies = Latencies()
    selector = Selector([FAST, PREMIUM], by="latency", latencies=latencies, draw=lambda: 0.9)
    latencies.observe("fast", 2.0)
    assert selector.choose("x").route == "premium"  # not measured yet
    latencies.observe("premium", 0.5)
    assert selector.choose("x").why == "the fastest"
    curious = Selector([FAST, PREMIUM], by="latency", latencies=latencies, draw=lambda: 0.01)
    assert curious.choose("x").route == "fast"
    assert (
        Selector([FAST, PREMIUM], latencies=latencies, needs=Needs(latency=1.0)).choose("x").route
        == "premium"
    )


def test_a_policy_chooses_among_what_may_be_chosen_and_says_why() -> None:
    policy = policy_of_routes().at(0.3)
    easy = "please exactly tell briefly now the capital of France number 31?"
    selector = Selector([PREMIUM, FAST, UNKNOWN], by="learned", policy=policy)
    choice = selector.choose(easy)
    assert choice.route == "fast"
    assert any("expected quality" in reason for reason in choice.candidates[0].reasons)
    assert "safe route" in selector.choose("x").why
    assert (
        Selector(ALL, by="learned", policy=policy, needs=Needs(residency="eu")).choose(easy).route
        == "premium"
    )
    alone = Selector(
        [UNKNOWN, Candidate(name="fast", weight=0, residency=frozenset())], by="learned", policy=policy
    )
    assert alone.choose(easy).route == "fast"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Selector([]), "at least one candidate"),
        (lambda: Selector([FAST, FAST]), "two candidates have one name"),
        (lambda: Selector([FAST], by="magic"), "`by` is one of order"),  # pyright: ignore[reportArgumentType] - the point
        (lambda: Selector([FAST], tasks={"poetry": ["fast"]}), "unknown task 'poetry'"),
        (lambda: Selector([FAST], tasks={"code": ["slow"]}), "'slow' is no candidate"),
        (lambda: Selector([FAST], by="learned"), "there is no `policy`"),
        (
            lambda: Selector([UNKNOWN], by="learned", policy=policy_of_routes()),
            "learned about fast",
        ),
        (lambda: Selector([Candidate(name="a", weight=0)], by="weight"), "weight above 0"),
        (lambda: Latencies(memory=0), "above 0 seconds"),
        (
            lambda: Router({"a": str.upper}, choose=Selector([FAST])),
            "chooses among 'fast', but the routes are 'a'",
        ),
    ],
)
def test_wrong_settings_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Candidate(name=""), "`name` is empty"),
        (lambda: Candidate(name="a", weight=float("nan")), "`weight`"),
        (lambda: Needs(window_tokens=0), "`window_tokens`"),
        (lambda: Needs(usd_per_million=Decimal(-1)), "`usd_per_million`"),
        (lambda: Needs(latency=float("inf")), "`latency`"),
    ],
)
def test_wrong_facts_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@given(st.text(max_size=200), st.sampled_from(["order", "weight", "price", "latency"]))
def test_a_choice_is_always_one_of_the_candidates(prompt: str, by: By) -> None:
    choice = Selector(ALL, by=by).choose(prompt)
    assert [one.name for one in choice.candidates if one.chosen] == [choice.route]


# -- the router


class Named(Step[str, str]):
    """Answers with its own name."""

    async def invoke(self, x: str, ctx: Context) -> str:
        return self.name


async def test_a_router_runs_the_route_that_was_chosen() -> None:
    router = Router(
        {"fast": str.lower, "premium": str.upper},
        choose=Selector([FAST, PREMIUM], tasks={"code": ["premium"]}),
    )
    assert await router("Hello") == "hello"
    assert await router("Hello", Context.new(tags={"task": "code"})) == "HELLO"
    assert router.latencies.of("fast") is not None


async def test_a_router_streams_what_its_route_streams() -> None:
    from tidyllm import model

    router = Router(
        {"fast": model("offline/echo"), "premium": model("offline/echo")}, choose=lambda x: "premium"
    )
    pieces = [piece async for piece in router.stream("one two three")]
    assert router.join(pieces).text == "one two three"
    assert len(pieces) > 1
    assert router.latencies.of("premium") is not None
    assert router.latencies.of("fast") is None


async def test_a_policy_is_a_choice_of_its_own() -> None:
    policy = policy_of_routes().at(0.3)
    router = Router({"fast": Named("fast"), "premium": Named("premium")}, choose=policy)
    assert await router("please exactly tell briefly now the proof of a theorem number 31?") == "premium"


def test_a_router_writes_itself_down() -> None:
    router = Router({"fast": str.lower}, choose=Selector([FAST]))
    assert repr(router) == "Router({'fast': lower}, choose=Selector(fast; by='order'))"
    assert router.name == "Router(fast)"
