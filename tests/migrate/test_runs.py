"""Converted code runs on the real steps, and means what the old code meant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.migrate.pairs import before_and_after
from tidyllm import Fallback, Retry
from tidyllm.errors import BadRequest, TimeoutExceeded
from tidyllm.migrate import convert, load


def run(pattern: str, text: str, **names: Any) -> dict[str, Any]:
    """The names of a module after it was converted and run."""
    space: dict[str, Any] = {"__name__": "converted", **names}
    exec(compile(convert(text, [load(pattern)]).text, "converted", "exec"), space)
    return space


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.calls = 0
        self.error = error or ValueError("flaky")

    async def __call__(self, x: Any) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return f"ok {x}"


RETRY = """
from tta_dev_primitives.recovery import RetryPrimitive, RetryStrategy
workflow = RetryPrimitive(fetch, strategy=RetryStrategy(max_retries=2, backoff_base=2.0, max_backoff={}))
"""


@pytest.mark.parametrize("cap", ["0.001", "0.0"])
def test_two_retries_are_three_attempts(cap: str) -> None:
    """Also for errors that ours would not try again by itself."""
    fetch = Flaky(9, BadRequest("no"))
    workflow = run("tta_primitives", RETRY.format(cap), fetch=fetch)["workflow"]
    with pytest.raises(BadRequest):
        workflow.run_sync(1)
    assert fetch.calls == 3
    assert isinstance(workflow, Retry)
    assert workflow.schedule.base == 1.0
    assert workflow.schedule.cap == float(cap)


def test_without_a_strategy_there_are_four_attempts_and_a_minute() -> None:
    text = "from tta_dev_primitives import RetryPrimitive\nworkflow = RetryPrimitive(fetch)\n"
    workflow = run("tta_primitives", text, fetch=Flaky(0))["workflow"]
    assert (workflow.schedule.attempts, workflow.schedule.cap) == (4, 60.0)


def test_without_jitter_the_pauses_are_exact() -> None:
    text = (
        "from tta_dev_primitives import RetryPrimitive, RetryStrategy\n"
        "workflow = RetryPrimitive(fetch, RetryStrategy(max_retries=3, jitter=False))\n"
    )
    schedule = run("tta_primitives", text, fetch=Flaky(0))["workflow"].schedule
    pauses = [schedule.after(n, asked=None, remaining=None, rng=lambda: 0.0) for n in (1, 2, 3)]
    assert pauses == [1.0, 2.0, 4.0]


async def test_a_fallback_on_time_out_only() -> None:
    text = (
        "from tta_dev_primitives import TimeoutPrimitive\n"
        "workflow = TimeoutPrimitive(primitive=slow, timeout_seconds=0.01, fallback=quick)\n"
    )

    async def slow(x: object) -> str:
        await asyncio.sleep(60)
        return "slow"

    workflow = run("tta_primitives", text, slow=slow, quick=Flaky(0))["workflow"]
    assert await workflow(1) == "ok 1"
    assert isinstance(workflow, Fallback)
    assert workflow.on is TimeoutExceeded


PROGRAM = """
from tta_dev_primitives import (
    CachePrimitive, ConditionalPrimitive, FallbackPrimitive, LambdaPrimitive, ParallelPrimitive, RouterPrimitive,
    SequentialPrimitive, WorkflowContext, WorkflowPrimitive,
)

class Tag(WorkflowPrimitive[str, str]):
    def __init__(self, sign):
        self.sign = sign

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return f"{self.sign}{input_data}{context.workflow_id}"

async def fail(x, ctx):
    raise RuntimeError("no")

double = LambdaPrimitive(lambda x, ctx: x * 2)
plus, minus = Tag("+"), Tag("-")
router = RouterPrimitive(
    routes={"plus": plus, "minus": minus}, router_fn=lambda x, context: "plus" if x == "a" else "?", default="minus"
)
chosen = ConditionalPrimitive(condition=lambda x, ctx: len(x) > 2, then_primitive=plus, else_primitive=double)
cached = CachePrimitive(double, cache_key_fn=lambda x, ctx: x, ttl_seconds=60.0)
safe = FallbackPrimitive(primary=LambdaPrimitive(fail), fallback=cached)
both = ParallelPrimitive([plus, minus])
chain = SequentialPrimitive([safe, plus])

async def main():
    context = WorkflowContext(workflow_id="!")
    return [
        await router.execute("a", context),
        await router.execute("b", context),
        await chosen.execute("ab", context),
        await chosen.execute("abc", context),
        list(await both.execute("x", context)),
        await chain.execute("x", context),
        await (safe >> minus).execute(input_data="y", context=context),
    ]
"""


async def test_a_program_of_primitives() -> None:
    found = await run("tta_primitives", PROGRAM)["main"]()
    assert found == ["+a!", "-b!", "abab", "+abc!", ["+x!", "-x!"], "+xx!", "-yy!"]


TENACITY = """
from tenacity import retry, stop_after_attempt, wait_fixed

@retry(stop=stop_after_attempt(3), wait=wait_fixed(0))
def ask(client, prompt="?"):
    '''Ask.'''
    return client.chat.completions.create(prompt)

class Chat:
    @retry(stop=stop_after_attempt(2))
    async def ask(self, client):
        return await client.chat.completions.acreate(self) or client.messages.create("y")
"""


class Client:
    """Looks like a client and counts."""

    def __init__(self, failures: int) -> None:
        self.chat = self.completions = self.messages = self
        self.left = failures
        self.calls = 0

    def create(self, x: object) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise ValueError("no")
        return f"answer {x}"

    async def acreate(self, x: object) -> str:
        return ""


async def test_a_decorated_function_stays_a_function() -> None:
    space = run("tenacity", TENACITY)
    client = Client(2)
    assert space["ask"](client, prompt="x") == "answer x"
    assert client.calls == 3
    assert space["ask"].__doc__ == "Ask."
    with pytest.raises(ValueError, match="no"):
        space["ask"](Client(3))
    assert await space["Chat"]().ask(Client(1)) == "answer y"


def test_a_call_of_litellm_becomes_wrappers_around_models() -> None:
    text = (
        "from litellm import completion\n"
        "def ask():\n"
        "    r = completion('gpt-4o', [{'role': 'user', 'content': 'x'}], num_retries=2,\n"
        "                   fallbacks=['claude-3'], timeout=5, api_key='k', temperature=0)\n"
        "    return r.choices[0].message.content\n"
    )
    done = convert(text, [load("litellm")]).text
    space: dict[str, Any] = {}
    expression = done.partition("r = ")[2].partition(".run_sync")[0]
    exec(done, space)
    step: Any = eval(expression, space)
    assert repr(step).startswith("Fallback(")
    assert [one.name for one in step.steps] == ["openai/gpt-4o", "anthropic/claude-3"]
    first: Any = step.steps[0]
    assert first.schedule.attempts == 3
    assert first.inner.total == 5.0
    assert "temperature=0" in done


@pytest.mark.parametrize(("name", "before", "after"), before_and_after("openai_client"))
def test_openai_clients_are_made_from_the_environment(name: str, before: str, after: str) -> None:
    """OpenAI's own client takes what is written."""
    openai = pytest.importorskip("openai")
    for variable, value in (("TIDYLLM_BASE_URL", "http://127.0.0.1:8400/v1"), ("TIDYLLM_API_KEY", "sk-test")):
        after = after.replace(f'os.environ["{variable}"]', repr(value)).replace(
            f"tidyllm_{value!r}", repr(value)
        )
    assert "environ" not in after
    if name == "key":
        after = after.partition("answer =")[0]
    space: dict[str, Any] = {}
    exec(after, space)
    made = space["Chat"]("x").client if "Chat" in space else space["client"]
    made = made() if name == "inside" else made
    assert isinstance(made, openai.OpenAI | openai.AsyncOpenAI)
    assert str(made.base_url) == "http://127.0.0.1:8400/v1/"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (
            "dspy_enhanced",
            {"plain", "no_arguments", "variables", "star", "literal_kwargs", "subclass", "try_import"},
        ),
        ("dspy_bedrock", {"region", "inline_config", "config_variable", "no_arguments"}),
        ("dspy_wrapper", {"inline", "dynamic", "retries"}),
        ("dspy_gateway", {"keyword_variable", "default_route"}),
    ],
)
def test_the_new_wrapper_takes_what_is_written(pattern: str, names: set[str]) -> None:
    """What the pairs come to runs on the real wrapper; no model is asked."""
    pytest.importorskip("dspy")
    ran: set[str] = set()
    for name, _, after in before_and_after(pattern):
        if name in names:
            exec(compile(after, name, "exec"), {"__name__": "converted"})
            ran.add(name)
    assert ran == names
