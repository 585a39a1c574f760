"""DSPy's own native engine and ours, on the same server: what both do is compared, never assumed.

DSPy has no types; it is seen here as what it is, anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import dspy as _dspy
from dspy import lm15 as _lm15
from dspy._vendor.lm15.result import StreamAccumulator
from dspy.clients.engines.lm15_engine import AsyncLM15Engine, LM15Engine

import tidyllm.dspy
from tidyllm.testing import ModelServer, Reply

dspy: Any = cast("Any", _dspy)
lm15: Any = cast("Any", _lm15)
lm: Any = tidyllm.dspy.lm

Which: TypeAlias = Literal["native", "ours"]
BOTH: tuple[Which, Which] = ("native", "ours")
SECRET = "sk-very-secret-1234567890"
MODEL = "openai/any"


def make(which: Which, url: str, *, retries: int = 0, **settings: Any) -> Any:
    """A `dspy.LM` of either kind, without DSPy's cache."""
    if which == "native":
        client = {"api_base": url, "api_key": SECRET}
        return dspy.LM(MODEL, cache=False, num_retries=retries, engine="lm15", **client, **settings)
    return lm(MODEL, base_url=url, api_key=SECRET, num_retries=retries, **settings)


def asked(text: str = "Hello?", **config: Any) -> Any:
    """A question in DSPy's own types."""
    return lm15.Request(model=MODEL, messages=(lm15.Message.user(text),), config=lm15.Config(**config))


@dataclass(frozen=True)
class Seen:
    """What a caller saw of a call, and how many requests it took."""

    outcome: tuple[Any, ...]
    requests: int
    error: BaseException | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and (self.outcome, self.requests) == (other.outcome, other.requests)

    def __hash__(self) -> int:
        return hash(self.requests)


def call(
    which: Which, mode: str, script: tuple[Any, ...], *, retries: int = 0, request: Any = None, **more: Any
) -> Seen:
    """Ask once, `mode` "sync" or "async", and say what came of it."""
    with ModelServer(*script) as server:
        model = make(which, server.openai_url, retries=retries, **more)
        question = request or asked()
        try:
            answer = model(question) if mode == "sync" else asyncio.run(model.acall(question))
        except dspy.LMError as error:
            return Seen(failed(error), len(server.requests), error)
        return Seen(answered(answer), len(server.requests))


def answered(answer: Any) -> tuple[Any, ...]:
    """All of an answer that a program can see; the provider's own data is each engine's own."""
    return (
        answer.model,
        answer.message.parts,
        answer.finish_reason,
        (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens),
        answer.logprobs,
    )


def failed(error: Any) -> tuple[Any, ...]:
    """All of an error that DSPy acts upon; its words are each engine's own."""
    return (type(error).__name__, error.status, error.retry_after)


# -- streams


def engine(which: Which, mode: str, url: str) -> Any:
    """The engine alone: DSPy streams only inside of `streamify`."""
    if which == "ours":
        made: Any = make(which, url)
        return made._engine_spec if mode == "sync" else made._async_engine_spec
    kind: Any = LM15Engine if mode == "sync" else AsyncLM15Engine
    config = lm15.RouterConfig(api_keys={"openai-chat": SECRET}, base_urls={"openai-chat": url})
    return kind(config)


def streamed(which: Which, mode: str, script: tuple[Any, ...]) -> Seen:
    """Read one stream to its end."""
    with ModelServer(*script) as server:
        question = asked()
        whole: Any = StreamAccumulator(question)
        kinds: list[str] = []

        def take(event: Any) -> None:
            whole.push(event)
            kinds.append(event.delta.type if event.type == "delta" else event.type)

        one = engine(which, mode, server.openai_url)
        try:
            read(one, mode, take)
        except lm15.LM15Error as error:
            return Seen((type(error).__name__, getattr(error, "status", None)), len(server.requests), error)
        return Seen((*kinds, *answered(whole.response())), len(server.requests))


def read(one: Any, mode: str, take: Callable[[Any], None]) -> None:
    """Read one stream of an engine to its end."""
    if mode == "sync":
        for event in one.stream(asked()):
            take(event)
    else:
        asyncio.run(_all(one, asked(), take))


async def _all(one: Any, question: Any, take: Callable[[Any], None]) -> None:
    async for event in one.stream(question):
        take(event)


def said(**fields: Any) -> str:
    """An answer as DSPy's chat adapter reads it."""
    parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def reply(**fields: Any) -> Reply:
    """The same as a reply of the scripted server."""
    return Reply(text=said(**fields))
