"""Converted programs run: routers, streams and classes of one's own do what they did."""

from __future__ import annotations

from typing import Any

from tidyllm.migrate import convert, load
from tidyllm.testing import ModelServer, Reply

ROUTER = """
from litellm import Router

router = Router(
    model_list=[
        {"model_name": "fast", "litellm_params": {"model": "openai/a", "api_base": ADDRESS, "api_key": "k"}},
        {"model_name": "fast", "litellm_params": {"model": "openai/b", "api_base": ADDRESS, "api_key": "k"}},
        {"model_name": "big", "litellm_params": {"model": "openai/c", "api_base": ADDRESS, "api_key": "k"}},
    ],
    fallbacks=[{"fast": ["big"]}],
    num_retries=1,
)


async def ask(name):
    answer = await router.acompletion(model=name, messages=[{"role": "user", "content": "hi"}])
    return answer.choices[0].message.content
"""

STREAM = """
from litellm import acompletion


async def ask():
    texts = []
    question = [{"role": "user", "content": "hi"}]
    stream = await acompletion("openai/a", question, api_base=ADDRESS, api_key="k", stream=True)
    async for chunk in stream:
        text = chunk.choices[0].delta.content
        if text is not None:
            texts.append(text)
    return "".join(texts)
"""

CLASS = """
import dspy


class Mine(dspy.LM):
    def __init__(self, model):
        super().__init__(model)
        self.asked = []

    def __call__(self, prompt=None, messages=None, **kwargs):
        self.asked.append(messages)
        return ["[[ ## answer ## ]]\\n42\\n\\n[[ ## completed ## ]]"]


mine = Mine("m")
with dspy.context(lm=mine):
    answer = dspy.Predict("question -> answer")(question="what?").answer
asked = mine.asked
"""


def run(pattern: str, text: str, **names: Any) -> dict[str, Any]:
    done = convert(text, [load(pattern)])
    assert not [one for one in done.findings if one.kind == "could_not"]
    exec(compile(done.text, "converted", "exec"), names)
    return names


async def test_a_router() -> None:
    """One retry of one of two deployments, then the other name: three requests."""
    busy = Reply(status=503)
    with ModelServer(busy, busy, Reply(text="from big")) as server:
        ask = run("litellm", ROUTER, ADDRESS=server.openai_url)["ask"]
        assert await ask("fast") == "from big"
        models = [one.model for one in server.requests]
    assert len(models) == 3
    assert {*models[:2]} <= {"a", "b"}
    assert models[2] == "c"


async def test_a_stream() -> None:
    with ModelServer(Reply(text="one two three")) as server:
        names = run("litellm", STREAM, ADDRESS=server.openai_url)
        assert await names["ask"]() == "one two three"


def test_a_class_of_ones_own() -> None:
    names = run("dspy_legacy", CLASS)
    assert names["answer"] == "42"
    assert names["asked"][0][-1]["role"] == "user"
    assert "what?" in names["asked"][0][-1]["content"]
