"""Dollars of priced models: in history, in budgets, in metrics; whole answers, streams and kept ones."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import dspy, lm, said
from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper, scope
from tidyllm.models.response import Usage
from tidyllm.money import Budget
from tidyllm.testing import ModelServer, Reply

ANSWER = Reply(text=said(answer="Paris"), usage=Usage(input_tokens=1_000, output_tokens=100))
COST = Decimal("0.003")  # at $1 and $20 a million tokens
FILE = """
providers: {{main: {{kind: openai, base_url: "{url}", api_key: none}}}}
models:
  fast: {{route: [main/m]}}
  kept: {{route: [main/m], cache: {{ttl: 60}}}}
catalog:
  main/m: {{prices: {{input: "1", output: "20"}}, context_window_tokens: 8000, max_output_tokens: 1000}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Any:
    with ModelServer(lambda request: ANSWER) as server:
        file = tmp_path / "tidyllm.yaml"
        file.write_text(FILE.format(url=server.openai_url))
        with dspy.context(adapter=dspy.ChatAdapter()):
            yield file


def spent(model: Any) -> Any:
    return model.history[-1]["cost_details"]["usd"]


def test_history_has_the_dollars_of_each_call(config: Path) -> None:
    model = lm("fast", config=config)
    model("?", n=3)
    assert Decimal(spent(model)) == 3 * COST
    assert model.history[-1]["cost"] == float(3 * COST)


async def test_a_stream_costs_the_same(config: Path) -> None:
    model = lm("fast", config=config)
    program = dspy.streamify(dspy.Predict("question -> answer"))
    with dspy.context(lm=model):
        async for _ in program(question="?"):
            pass
    assert Decimal(spent(model)) == COST


def test_a_kept_answer_costs_nothing_and_says_what_it_saved(config: Path) -> None:
    model = lm("kept", config=config)
    model("?")
    model("?")
    first, second = (entry["cost_details"]["candidates"][0] for entry in model.history)
    assert (Decimal(first["cost_usd"]), first["cached"]) == (COST, False)
    assert (Decimal(second["cost_usd"]), second["cached"], Decimal(second["saved_usd"])) == (0, True, COST)


def test_a_budget_pays_for_a_whole_program(config: Path) -> None:
    model = lm("fast", config=config, max_tokens=100)
    program = dspy.Predict("question -> answer")

    def ask_on() -> None:
        for number in range(100):
            program(question=str(number))

    with dspy.context(lm=model), scope(budget=Budget("0.02")), pytest.raises(dspy.LMBillingError):
        ask_on()
    assert 3 <= len(model.history) <= 6
    assert sum(Decimal(one["cost_details"]["usd"]) for one in model.history) <= Decimal("0.02")


def test_modules_know_what_they_cost(config: Path) -> None:
    wrapper: Any = UnifiedDSPyWrapper(UnifiedConfig(route="fast", config=str(config)))
    inner = wrapper.create_module("qa", "question -> answer")

    class Two(dspy.Module):
        """Asks twice."""

        def forward(self, question: str) -> Any:
            inner(question=question)
            return inner(question=f"{question}!")

    outer = wrapper.wrap(Two)
    outer(question="?")
    assert wrapper["qa"].metrics.cost_usd == outer.metrics.cost_usd == 2 * COST
    assert outer.metrics.calls == 1
