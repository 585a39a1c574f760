"""Answers that are kept: samples of one question are answers of their own, and each is kept."""

# Functions that are given to DSPy, which has no types:
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import pytest

from tests.dspy.both import MODEL, dspy, lm, reply
from tidyllm.cache import AnswerCache
from tidyllm.dspy import CacheConfig, UnifiedConfig, UnifiedDSPyWrapper
from tidyllm.testing import ModelServer, scripted


def _numbered() -> Any:
    count = iter(range(1_000))
    return scripted(lambda request: f"answer {next(count)}")


def test_equal_questions_are_one_call_and_a_hit_says_so() -> None:
    model = lm(AnswerCache(_numbered()))
    assert model("?") == model("?") == ["answer 0"]
    first, second = model.history[-2:]
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    assert (second["cost"], second["usage"]) == (0.0, {})


@pytest.mark.parametrize("mode", ("sync", "async"))
def test_n_answers_are_n_and_the_same_n_again(mode: str) -> None:
    model = lm(AnswerCache(_numbered()))

    def ask() -> Any:
        return (
            model("?", n=5, temperature=1.0)
            if mode == "sync"
            else asyncio.run(model.acall("?", n=5, temperature=1.0))
        )

    first = ask()
    assert len(set(first)) == 5
    assert ask() == first
    assert model("?", temperature=1.0) == first[:1]  # the first candidate is the plain question


def test_rollouts_are_answers_of_their_own_and_each_is_kept() -> None:
    model = lm(AnswerCache(_numbered()), temperature=1.0)
    rolls = [model("?", rollout_id=number)[0] for number in range(5)]
    assert len(set(rolls)) == 5
    assert [model.copy(rollout_id=number)("?")[0] for number in range(5)] == rolls
    assert model("?")[0] not in rolls


def test_a_rollout_s_candidates_are_others_than_those_of_another_rollout() -> None:
    model = lm(AnswerCache(_numbered()), temperature=1.0)
    answers = [one for number in (1, 2, 12) for one in model("?", n=3, rollout_id=number)]
    assert len(set(answers)) == 9


def test_cache_false_for_one_call_asks_again() -> None:
    model = lm(AnswerCache(_numbered()))
    assert model("?") != model("?", cache=False)
    assert model("?", cache=True) == ["answer 0"]


def _wrapper(server: ModelServer, cache: CacheConfig | None) -> Any:
    config = UnifiedConfig(
        backend="direct", model=MODEL, base_url=server.openai_url, api_key="k", cache=cache
    )
    return UnifiedDSPyWrapper(config)


def test_modules_of_a_wrapper_share_what_is_kept_of_one_model_alone() -> None:
    """The same question by another module is a hit of that module's; by another model it is another question."""
    with ModelServer(lambda request: reply(answer=request.model)) as server, _chat():
        wrapper = _wrapper(server, CacheConfig())
        one, two = (wrapper.create_module(name, "question -> answer") for name in ("one", "two"))
        other = wrapper.create_module("other", "question -> answer", model="openai/other")
        assert [module(question="?").answer for module in (one, two, other)] == ["any", "any", "other"]
        assert len(server.requests) == 2
    assert [one.metrics.cached, two.metrics.cached, other.metrics.cached] == [0, 1, 0]


@pytest.mark.parametrize(
    ("cache", "requests"),
    [(CacheConfig(ttl_seconds=0.01), 2), (CacheConfig(ttl_seconds=600), 1), (CacheConfig(enabled=False), 2)],
)
def test_an_answer_is_kept_for_its_seconds_and_no_longer(cache: CacheConfig, requests: int) -> None:
    with ModelServer(lambda request: reply(answer="yes")) as server, _chat():
        module = _wrapper(server, cache).create_module("qa", "question -> answer")
        module(question="?")
        Event().wait(0.05)
        module(question="?")
        assert len(server.requests) == requests


def _chat() -> Any:
    return dspy.context(adapter=dspy.ChatAdapter())
