"""Calls through our engine: who they belong to, what they cost, which answers are kept, how they end."""

# Functions that are given to DSPy, which has no types:
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.dspy.both import BOTH, MODEL, Which, dspy, lm, lm15, make
from tidyllm import Context, Fallback, step
from tidyllm.dspy import LM, scope
from tidyllm.errors import ConfigError
from tidyllm.models import Request, Response, Text, Usage
from tidyllm.money import Budget
from tidyllm.testing import ModelServer, Reply, scripted


def ask(model: Any, mode: str) -> Any:
    return model("?") if mode == "sync" else asyncio.run(model.acall("?"))


# -- what it is


def test_it_is_a_dspy_lm_whose_own_retries_and_cache_are_off() -> None:
    model = lm("offline/echo", temperature=0.5, max_tokens=9)
    assert isinstance(model, dspy.LM)
    assert (model.num_retries, model.cache) == (0, False)
    assert model.kwargs == {"temperature": 0.5, "max_tokens": 9}


def test_names_that_lead_nowhere_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match=r"no tidyllm\.yaml"):
        lm("fast")
    with pytest.raises(ConfigError, match="opnai"):
        lm("opnai/gpt-5-mini")
    with pytest.raises(ConfigError, match="cache cannot be given with a step"):
        lm(scripted("x"), cache=True)
    with pytest.raises(ConfigError, match="user or a password"):
        lm(MODEL, base_url="http://me:secret@127.0.0.1/v1")


def test_a_route_of_a_file_answers(tmp_path: Any) -> None:
    file = tmp_path / "tidyllm.yaml"
    file.write_text("providers: {o: {kind: offline}}\nmodels: {fast: {route: [o/echo]}}\n")
    assert lm("fast", config=file)("hello") == ["hello"]


def test_a_step_answers_and_a_function_does() -> None:
    spare = Fallback(scripted(Reply(status=500)), scripted("from the spare"))
    assert lm(spare)("?") == ["from the spare"]
    assert lm(lambda request: f"{len(request.turns)} turns")("?") == ["1 turns"]


def test_what_is_no_answer_is_said_to_be_none() -> None:
    with pytest.raises(dspy.LMProviderError, match="gave a int"):
        lm(step(name="number")(lambda request: 5))("?")


def test_capabilities_come_from_the_catalogue_or_from_the_caller() -> None:
    known = lm("openai/gpt-5-mini", api_key="k", base_url="https://api.openai.com/v1")
    assert known.supports_function_calling
    assert known.supports_response_schema
    unknown = lm("offline/echo")
    assert not unknown.supports_function_calling
    assert "response_format" not in unknown.supported_params
    told = lm("offline/echo", abilities=("tools", "structured_output"))
    assert told.supports_response_schema
    assert {"tools", "response_format"} <= told.supported_params


# -- runs


def _seeing(seen: list[Context]) -> Any:
    @step(name="seeing")
    def answer(request: Request, ctx: Context) -> str:
        seen.append(ctx)
        return "yes"

    return answer


async def test_500_concurrent_calls_have_a_context_each() -> None:
    @step(name="who")
    async def who(request: Request, ctx: Context) -> str:
        await asyncio.sleep(0.01)
        return ctx.tags["caller"]

    model = lm(who)

    async def one(number: int) -> str:
        with scope(tags={"caller": str(number)}):
            return (await model.acall("who?"))[0]

    assert await asyncio.gather(*map(one, range(500))) == [str(number) for number in range(500)]


def test_a_program_s_threads_belong_to_its_run() -> None:
    seen: list[Context] = []
    model = lm(_seeing(seen))

    def one(question: str) -> Any:
        return model(question)

    pairs = [(one, {"question": str(number)}) for number in range(6)]
    with scope(tags={"job": "nightly"}) as at:
        dspy.Parallel(num_threads=3, disable_progress_bar=True)(pairs)
    assert {ctx.tags["job"] for ctx in seen} == {"nightly"}
    assert {ctx.run_id for ctx in seen} == {at.run_id}


async def test_a_step_around_a_program_is_its_run() -> None:
    seen: list[Context] = []
    model = lm(_seeing(seen))

    @step(name="outer")
    async def outer(x: str) -> str:
        return (await model.acall(x))[0]

    at = Context.new(tags={"a": "b"})
    assert await outer("?", at) == "yes"
    assert seen[0].run_id == at.run_id
    assert seen[0].path[-2:] == ("outer", "seeing")


@pytest.mark.parametrize("mode", ("sync", "async"))
def test_a_deadline_ends_a_call_as_a_timeout(mode: str) -> None:
    with ModelServer(Reply(stall_after=0)) as server:
        model = make("ours", server.openai_url)
        with scope(deadline=0.2), pytest.raises(dspy.LMTimeoutError):
            ask(model, mode)


def test_a_timeout_is_for_each_attempt() -> None:
    with ModelServer(Reply(stall_after=0), "late is fine") as server:
        model = lm(MODEL, base_url=server.openai_url, timeout=0.3, num_retries=1)
        assert model("?") == ["late is fine"]


@pytest.mark.parametrize("which", BOTH)
async def test_a_cancelled_call_is_cancelled_and_hangs_up(which: Which) -> None:
    with ModelServer(Reply(stall_after=0), "next") as server:
        model = make(which, server.openai_url)
        call = asyncio.ensure_future(model.acall("?"))
        while not server.requests:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await model.acall("?") == ["next"]


def test_calls_from_threads_and_from_inside_a_loop_work() -> None:
    model = lm(lambda request: "yes")
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(model("?"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def inside() -> Any:
        return model("?")  # a notebook's cell

    assert [*answers, asyncio.run(inside())] == [["yes"]] * 9


def test_a_plain_function_used_as_a_step_may_ask_a_program() -> None:
    """It runs on the loop that synchronous calls use, and waits for one of them."""
    model = lm(lambda request: "yes")

    @step(name="program")
    def program(question: str) -> str:
        return model(question)[0]

    assert program.run_sync("?") == "yes"
    assert (program >> (lambda text: f"{text}!")).run_sync("?") == "yes!"


# -- money


def _priced(cost: str | None) -> Any:
    answer = Response(
        content=(Text(text="yes"),),
        finish_reason="stop",
        usage=Usage(input_tokens=10, output_tokens=2),
        cost_usd=None if cost is None else Decimal(cost),
    )

    @step(name="priced")
    def priced(request: Request) -> Response:
        return answer

    return priced


def test_history_says_what_an_answer_cost() -> None:
    model = lm(_priced("0.0123"))
    model("?")
    entry = model.history[-1]
    assert entry["cost"] == 0.0123
    assert entry["cost_details"]["usd"] == "0.0123"
    assert entry["usage"]["prompt_tokens"] == 10


def test_five_candidates_cost_five_times_as_much_and_an_unknown_price_is_not_zero() -> None:
    model = lm(_priced("0.01"))
    assert model("?", n=5) == ["yes"] * 5
    assert model.history[-1]["cost_details"]["usd"] == "0.05"
    unknown = lm(_priced(None))
    unknown("?")
    assert unknown.history[-1]["cost"] is None


@pytest.mark.parametrize("mode", ("sync", "async"))
def test_a_budget_refuses_as_a_billing_error_which_nobody_retries(mode: str) -> None:
    known = lm("openai/gpt-5-mini", base_url="https://api.openai.com/v1", api_key="k", max_tokens=20_000)
    with scope(budget=Budget("0.000001")), pytest.raises(dspy.LMBillingError, match="budget"):
        ask(known, mode)  # nothing is sent: tests have no network


def test_two_budgets_hold_together() -> None:
    with scope(budget=Budget(100)), scope(budget=Budget("0.000001")), pytest.raises(dspy.LMBillingError):
        lm("openai/gpt-5-mini", api_key="k", base_url="https://api.openai.com/v1", max_tokens=20_000)("?")


# -- the rest of what an answer holds


@pytest.mark.parametrize("which", BOTH)
def test_logprobs_come_back(which: Which) -> None:
    token = {
        "token": "yes",
        "logprob": -0.1,
        "bytes": [121],
        "top_logprobs": [{"token": "no", "logprob": -2.3, "bytes": None}],
    }
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [token]},
    }
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": "any", "choices": [choice]}
    with ModelServer(Reply(garbage=msgspec.json.encode(body), content_type="application/json")) as server:
        output = make(which, server.openai_url)("?", logprobs=True, top_logprobs=1)[0]
    assert output["logprobs"].content[0].logprob == -0.1
    assert output["logprobs"].content[0].top_logprobs[0].token == "no"


def test_thinking_that_must_go_back_does_so() -> None:
    from tidyllm.models import Message, Thinking

    held: list[Request] = []

    def answer(request: Request) -> Response:
        held.append(request)
        return Response(
            content=(Thinking(text="hm", signature="sig"), Text(text="yes")), finish_reason="stop"
        )

    model = lm(step(name="thinker")(answer))
    first = model(lm15.Request(model="thinker", messages=(lm15.Message.user("?"),)))
    again = (lm15.Message.user("?"), first.message, lm15.Message.user("And?"))
    model(lm15.Request(model="thinker", messages=again))
    assert held[1].turns[1] == Message("assistant", (Thinking(text="hm", signature="sig"), Text(text="yes")))
    assert isinstance(model, LM)
