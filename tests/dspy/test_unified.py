"""The wrapper: retries, cache, validation, metrics and backends around any module or signature."""

# Functions that are given to DSPy, which has no types:
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.dspy.both import MODEL, dspy, lm, reply, said
from tidyllm.dspy import (
    CacheConfig,
    RetryConfig,
    UnifiedConfig,
    UnifiedDSPyWrapper,
    UnifiedModule,
    ValidationConfig,
)
from tidyllm.errors import BadAnswer, ConfigError
from tidyllm.models import Request
from tidyllm.money import Budget
from tidyllm.testing import ModelServer, Reply

QUICK = RetryConfig(max_retries=5, initial_delay=0.001, max_delay=0.001)


@pytest.fixture(autouse=True)
def chat() -> Iterator[None]:
    with dspy.context(adapter=dspy.ChatAdapter()):
        yield


Wrapper: Any = UnifiedDSPyWrapper  # its modules are DSPy's, which have no types


def direct(server: ModelServer, **more: Any) -> Any:
    config = UnifiedConfig(backend="direct", model=MODEL, base_url=server.openai_url, **more)
    return Wrapper(config)


@pytest.mark.parametrize("retries", (0, 2, 5))
def test_n_retries_are_n_plus_one_attempts(retries: int) -> None:
    with ModelServer(*(Reply(status=500),) * 9) as server:
        retry = RetryConfig(max_retries=retries, initial_delay=0.0)
        module = direct(server, retry=retry).create_module("qa", "question -> answer")
        with pytest.raises(dspy.LMServerError):
            module(question="?")
        assert len(server.requests) == retries + 1
    assert module.metrics.failures == 1


def test_a_wrapped_module_answers_counts_and_keeps() -> None:
    with ModelServer(Reply(status=429), reply(reasoning="r", answer="Paris")) as server:
        wrapper = direct(server, retry=QUICK, cache=CacheConfig(ttl_seconds=3600))
        module = wrapper(dspy.ChainOfThought("question -> answer"))
        assert [module(question="?").answer for _ in range(2)] == ["Paris", "Paris"]
        assert len(server.requests) == 2
    metrics = wrapper.metrics["ChainOfThought"]
    assert (metrics.calls, metrics.model_calls, metrics.cached, metrics.failures) == (2, 2, 1, 0)
    assert metrics.input_tokens > 0
    assert metrics.seconds > 0


def test_modules_signatures_and_classes_are_wrapped() -> None:
    class Own(dspy.Module):
        def __init__(self) -> None:
            dspy.Module.__init__(self)
            self.ask = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            return self.ask(question=question)

    class Ask(dspy.Signature):
        """Ask."""

        question: str = dspy.InputField()
        answer: str = dspy.OutputField()

    with ModelServer(lambda request: reply(answer="yes")) as server:
        wrapper = direct(server)
        modules = [wrapper.wrap(one) for one in (Own, Own(), Ask, "question -> answer")]
        assert [module(question="?").answer for module in modules] == ["yes"] * 4
        assert asyncio.run(modules[0].acall(question="?")).answer == "yes"  # it has no aforward
    assert list(wrapper.modules) == ["Own", "Own-2", "Ask", "predict"]


def test_a_module_may_have_a_model_of_its_own() -> None:
    with ModelServer(lambda request: reply(answer=request.model)) as server:
        wrapper = direct(server)
        wrapper.create_module("small", "question -> answer", model="openai/tiny")
        wrapper.create_module("usual", "question -> answer")
        assert [wrapper[name](question="?").answer for name in ("small", "usual")] == ["tiny", "any"]


def test_each_module_counts_its_own_calls_whatever_threads_make_them() -> None:
    with ModelServer(lambda request: reply(answer="yes")) as server:
        wrapper = direct(server)
        one, two = (wrapper.create_module(name, "question -> answer") for name in ("one", "two"))

        def ask(number: int) -> None:
            with dspy.context(adapter=dspy.ChatAdapter()):
                (two if number % 4 else one)(question=f"question {number}")

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(ask, range(80)))
        pairs = [(one, dspy.Example(question=str(n)).with_inputs("question")) for n in range(20)]
        dspy.Parallel(num_threads=8, disable_progress_bar=True)(pairs)
        assert len(server.requests) == 100
    counts = [(each.calls, each.model_calls, each.failures) for each in (one.metrics, two.metrics)]
    assert counts == [(40, 40, 0), (60, 60, 0)]


async def test_each_module_counts_its_own_calls_when_they_run_at_once() -> None:
    with ModelServer(lambda request: reply(answer="yes")) as server:
        wrapper = direct(server)
        one, two = (wrapper.create_module(name, "question -> answer") for name in ("one", "two"))
        calls = [(two if n % 4 else one).acall(question=f"question {n}") for n in range(80)]
        calls += [dspy.asyncify(one)(question=f"in a thread {n}") for n in range(10)]
        await asyncio.gather(*calls)
    assert [(each.calls, each.model_calls) for each in (one.metrics, two.metrics)] == [(30, 30), (60, 60)]


# -- validation


def answers(*texts: str) -> Any:
    given = iter(texts)

    def answer(request: Request) -> Reply:
        return reply(answer=next(given))

    return answer


@pytest.mark.parametrize(
    ("wanted", "bad", "why"),
    [
        (ValidationConfig(), "", "it is empty"),
        (ValidationConfig(min_length=5), "no", "fewer than 5"),
        (ValidationConfig(max_length=5), "much too long", "more than 5"),
        (ValidationConfig(keywords=["good"]), "bad", "does not contain 'good'"),
        (ValidationConfig(check=lambda text: text == "good"), "bad", "does not pass the check"),
        (ValidationConfig(check=lambda text: None if text == "good" else "no good."), "bad", "no good."),
    ],
)
def test_a_refused_answer_is_asked_for_once_more_with_what_was_wrong(
    wanted: ValidationConfig, bad: str, why: str
) -> None:
    good = "good " if wanted.min_length == 5 else "good"
    good = "good." if wanted.min_length == 5 else good
    with ModelServer(answers(bad, good)) as server:
        module = direct(server, validation=wanted).create_module("qa", "question -> answer")
        assert module(question="?").answer == good
        assert why in str(server.requests[1].body["messages"][0]["content"])
        assert why not in str(server.requests[0].body)
    assert module.metrics.refused == 1


def test_an_answer_that_stays_wrong_is_an_error_that_says_why() -> None:
    with ModelServer(answers("bad", "worse", "unused")) as server:
        module = direct(server, validation=ValidationConfig(keywords=("good",))).wrap("question -> answer")
        with pytest.raises(BadAnswer, match="does not contain 'good'"):
            module(question="?")
        assert len(server.requests) == 2


async def test_validation_works_for_async_programs() -> None:
    with ModelServer(answers("bad", "good")) as server:
        module = direct(server, validation=ValidationConfig(keywords=("good",))).wrap("question -> answer")
        assert (await module.acall(question="?")).answer == "good"


def test_a_field_that_there_is_not_is_no_fault_of_the_model() -> None:
    with ModelServer(reply(answer="fine")) as server:
        module = direct(server, validation=ValidationConfig(fields=["anser"])).wrap("question -> answer")
        with pytest.raises(ConfigError, match="no output 'anser'; there are answer"):
            module(question="?")
        assert len(server.requests) == 1


def test_the_reasoning_is_not_looked_at() -> None:
    with ModelServer(reply(reasoning="secret word", answer="fine")) as server:
        wanted = ValidationConfig(check=lambda text: "secret" not in text)
        module = direct(server, validation=wanted).wrap(dspy.ChainOfThought("question -> answer"))
        assert module(question="?").answer == "fine"


# -- optimisers, samples, money


def test_a_wrapped_module_is_optimised_saved_and_loaded(tmp_path: Path) -> None:
    def capitals(request: Request) -> str:
        text = request.turns[-1].text
        word = text.partition("[[ ## question ## ]]\n")[2].partition("\n")[0]
        return said(answer=word.upper())

    examples = [
        dspy.Example(question=word, answer=word.upper()).with_inputs("question") for word in ("a", "b", "c")
    ]
    with ModelServer(capitals) as server:
        wrapper = direct(server)
        module = wrapper.wrap("question -> answer")
        optimiser = dspy.BootstrapFewShot(
            metric=lambda example, found, trace=None: example.answer == found.answer, max_bootstrapped_demos=2
        )
        compiled = optimiser.compile(module, trainset=examples)
        assert isinstance(compiled, UnifiedModule)
        kept: Any = compiled
        assert len(kept.inner.demos) == 3
        kept.save(tmp_path / "program.json")
        again = wrapper.wrap("question -> answer")
        again.load(tmp_path / "program.json")
        assert len(again.inner.demos) == 3
        assert again(question="z").answer == "Z"


def test_best_of_five_asks_five_times_through_the_cache() -> None:
    count = iter(range(100))
    with ModelServer(lambda request: reply(answer=f"number {next(count)}")) as server:
        wrapper = direct(server, cache=CacheConfig())
        with dspy.context(lm=wrapper.lm):
            best = dspy.BestOfN(
                dspy.Predict("question -> answer"), N=5, reward_fn=lambda args, found: 0.5, threshold=1.0
            )
            best(question="?")
            assert len(server.requests) == 5
            best(question="?")
            assert len(server.requests) == 5


def test_a_budget_holds_for_all_modules_of_a_wrapper() -> None:
    config = UnifiedConfig(
        backend="direct", model="openai/gpt-5-mini", base_url="https://api.openai.com/v1", api_key="k",
        budget=Budget("0.000001"), max_tokens=20_000,
    )  # fmt: skip
    with pytest.raises(dspy.LMBillingError, match="budget"):
        Wrapper(config).wrap("question -> answer")(question="?")


def test_costs_are_estimated_from_the_list_price() -> None:
    wrapper = UnifiedDSPyWrapper(UnifiedConfig(model="openai/gpt-5-mini"))
    thousand, more = wrapper.estimate_cost(1_000, 100), wrapper.estimate_cost("word " * 8_000, 100)
    assert thousand is not None
    assert more is not None
    assert Decimal(0) < thousand < more
    assert wrapper.estimate_cost(10, model="openai/unheard-of") is None
    assert UnifiedDSPyWrapper(UnifiedConfig(backend="offline")).estimate_cost("x") == 0


def test_passages_come_from_the_retriever_that_is_given() -> None:
    wrapper = UnifiedDSPyWrapper(
        UnifiedConfig(retriever=lambda query, k: [f"{query} {n}" for n in range(k + 3)])
    )
    assert wrapper.retrieve("q", k=2) == ["q 0", "q 1"]
    with dspy.context(rm=lambda query, k: [dspy.Example(long_text=f"{query}!")] * k):
        assert UnifiedDSPyWrapper().retrieve("q", k=2) == ["q!", "q!"]
    with pytest.raises(ConfigError, match="nothing to retrieve from"):
        UnifiedDSPyWrapper().retrieve("q")


# -- backends


def test_the_offline_backend_answers_without_anything() -> None:
    assert UnifiedDSPyWrapper(UnifiedConfig(backend="offline")).lm("hello")[0]


def test_the_gateway_is_asked_for_a_route_and_retries_itself() -> None:
    with ModelServer(Reply(status=500), "unused") as server:
        wrapper = UnifiedDSPyWrapper(
            UnifiedConfig(backend="gateway", route="fast", base_url=server.openai_url)
        )
        with pytest.raises(dspy.LMServerError):
            wrapper.lm("?")
        assert [one.model for one in server.requests] == ["fast"]


def test_what_is_missing_is_said_at_the_first_call() -> None:
    for config, words in (
        (UnifiedConfig(backend="gateway"), "needs a route"),
        (UnifiedConfig(backend="direct"), "needs a model"),
        (UnifiedConfig(backend="direct", model="gpt"), "does not say who serves"),
        (UnifiedConfig(backend="bedrock"), "needs a model"),
    ):
        with pytest.raises(dspy.LMConfigurationError, match=words):
            UnifiedDSPyWrapper(config).lm("?")


def test_auto_takes_what_the_program_has_configured() -> None:
    with ModelServer(Reply(status=500), Reply(status=500), "fine") as server:
        theirs = dspy.LM(
            MODEL, api_base=server.openai_url, api_key="k", cache=False, num_retries=0, temperature=0.2
        )
        wrapper = UnifiedDSPyWrapper(UnifiedConfig(retry=QUICK))
        with dspy.context(lm=theirs):
            assert wrapper.lm("?") == ["fine"]
        assert len(server.requests) == 3
        assert server.requests[0].request.temperature == 0.2


def test_auto_takes_a_route_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tidyllm.yaml"
    file.write_text("providers: {o: {kind: offline}}\nmodels: {fast: {route: [o/echo]}}\n")
    wrapper = UnifiedDSPyWrapper(UnifiedConfig(config=str(file), route="fast", retry=QUICK))
    assert wrapper.lm("hello") == ["hello"]


def test_auto_names_the_routes_of_the_file_where_one_is_misspelt(tmp_path: Path) -> None:
    file = tmp_path / "tidyllm.yaml"
    file.write_text("providers: {o: {kind: offline}}\nmodels: {fast: {route: [o/echo]}}\n")
    with pytest.raises(dspy.LMConfigurationError, match="no route 'fsat'"):
        UnifiedDSPyWrapper(UnifiedConfig(config=str(file), route="fsat")).lm("?")


def test_auto_says_that_it_found_nothing(tmp_path: Path) -> None:
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        with pytest.warns(UserWarning, match="answers are simulated"):
            UnifiedDSPyWrapper().lm("hello")
    finally:
        os.chdir(before)


def test_retries_that_cannot_be_laid_over_another_engine_are_named() -> None:
    with dspy.context(lm=lm(lambda request: "ours")):
        with pytest.warns(UserWarning, match="do not apply"):
            assert UnifiedDSPyWrapper(UnifiedConfig(retry=QUICK)).lm("?") == ["ours"]
        assert UnifiedDSPyWrapper().lm("?") == ["ours"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RetryConfig(max_retries=-1), "max_retries"),
        (lambda: RetryConfig(initial_delay=float("nan")), "initial_delay"),
        (lambda: CacheConfig(ttl_seconds=0), "ttl_seconds"),
        (lambda: ValidationConfig(min_length=5, max_length=4), "more than max_length"),
        (lambda: ValidationConfig(keywords="word"), "expected a list"),
        (lambda: UnifiedConfig(backend="gatway"), "Did you mean 'gateway'"),  # pyright: ignore[reportArgumentType]
        (lambda: UnifiedConfig(retry={"max_retries": 3}), "expected a RetryConfig"),  # pyright: ignore[reportArgumentType]
        (lambda: UnifiedConfig(regions="eu-central-1"), "UnifiedConfig.regions.*expected a list"),
        (lambda: UnifiedDSPyWrapper().wrap(42), "neither a module nor a signature"),
        (lambda: UnifiedDSPyWrapper({}), "expected a UnifiedConfig"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_bad_settings_are_refused_by_name(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_delays_and_caps_are_carried_over() -> None:
    told = RetryConfig(max_retries=2, initial_delay=0.5, max_delay=30).settings()
    assert (told.attempts, told.base, told.cap) == (3, 0.5, 30)
    steep = RetryConfig(multiplier=3, jitter=False).settings()
    assert (steep.multiplier, steep.jitter) == (3.0, False)


def test_growth_and_jitter_reach_the_retries_of_every_backend(tmp_path: Path) -> None:
    file = tmp_path / "tidyllm.yaml"
    file.write_text("providers: {o: {kind: offline}}\nmodels: {fast: {route: [o/echo]}}\n")
    told = RetryConfig(initial_delay=1, multiplier=3, jitter=False)
    for backend in (
        UnifiedConfig(backend="offline", retry=told),
        UnifiedConfig(backend="gateway", route="fast", base_url="http://127.0.0.1:1/v1", retry=told),
        UnifiedConfig(config=str(file), route="fast", retry=told),
    ):
        step = Wrapper(backend).lm._engine_spec.step
        assert "multiplier=3.0, jitter=False" in repr(step)


def test_every_call_makes_its_attempts_however_many_failed_before() -> None:
    """No breaker stands in the way: ten calls of three attempts are thirty requests."""
    with ModelServer(*(Reply(status=500),) * 40) as server:
        model = direct(server, retry=RetryConfig(max_retries=2, initial_delay=0.0)).lm
        for _ in range(10):
            with pytest.raises(dspy.LMServerError):
                model("?")
        assert len(server.requests) == 30


def test_a_route_keeps_a_breaker_that_its_file_gives_it(tmp_path: Path) -> None:
    file = tmp_path / "tidyllm.yaml"
    with ModelServer(*(Reply(status=500),) * 40) as server:
        provider = f"providers: {{o: {{kind: openai, base_url: '{server.openai_url}', api_key: k}}}}\n"
        for breaker, requests in (("", 12), (", breaker: {failures: 4}", 4)):
            file.write_text(f"{provider}models: {{fast: {{route: [o/any]{breaker}}}}}\n")
            retry = RetryConfig(max_retries=3, initial_delay=0.0)
            model = Wrapper(UnifiedConfig(config=str(file), route="fast", retry=retry)).lm
            before = len(server.requests)
            for _ in range(3):
                with pytest.raises(dspy.LMServerError):
                    model("?")
            assert len(server.requests) - before == requests
