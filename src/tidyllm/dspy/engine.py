"""The engines that DSPy calls: one question, one attempt as far as DSPy can see. They know no formats and no settings.

Retries, fallbacks, caches, budgets and traces are in the step behind them; DSPy's own are off.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import aclosing
from typing import Any, ClassVar, Self

from dspy import lm15
from dspy.clients.engines.base import validate_request

from tidyllm.core import Context, Step
from tidyllm.core.sync import run_sync
from tidyllm.core.tags import CONTROL_TAG, SAMPLE_TAG
from tidyllm.dspy.ambient import here
from tidyllm.dspy.answers import answer, delta, end, events
from tidyllm.dspy.failures import failure
from tidyllm.dspy.meter import tell
from tidyllm.dspy.pump import pumped
from tidyllm.dspy.questions import question
from tidyllm.dspy.sampling import current
from tidyllm.dspy.source import Source
from tidyllm.errors import BadAnswer, TidyllmError
from tidyllm.models.fold import fold
from tidyllm.models.message import Text
from tidyllm.models.model_info import Ability
from tidyllm.models.piece import Start
from tidyllm.models.response import Response

__all__ = ["AsyncEngine", "Engine"]

_NO_STORE: Mapping[str, str] = {CONTROL_TAG: "no-store"}
_BASE = (
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "stop",
    "seed",
    "logprobs",
    "top_logprobs",
)
_BASE_MORE = ("presence_penalty", "frequency_penalty", "user")
_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


class _Engine:
    """What both have: the step, what it can do, and how it is saved. It is shared by copies and closed by nobody."""

    is_async: ClassVar[bool]

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def step(self) -> Step[Any, Any]:
        """What answers.

        :raises dspy.lm15.ConfigurationError: it cannot be built here: a missing file, name or key.
        """
        try:
            return self.source.step
        except TidyllmError as error:
            raise failure(error) from error

    # -- capabilities: DSPy reads these names

    def _can(self, ability: Ability) -> bool:
        return ability in self.source.abilities

    @property
    def supports_function_calling(self) -> bool:
        """Whether every target is known to take tools."""
        return self._can("tools")

    @property
    def supports_reasoning(self) -> bool:
        """Whether every target is known to reason."""
        return self._can("reasoning")

    @property
    def supports_response_schema(self) -> bool:
        """Whether every target is known to keep to a JSON schema."""
        return self._can("structured_output")

    @property
    def supported_params(self) -> frozenset[str]:
        """Names of parameters, as OpenAI calls them."""
        names = {*_BASE, *_BASE_MORE}
        if self._can("tools") or self._can("structured_output"):
            names.add("response_format")
        if self._can("tools"):
            names.update(_TOOLS)
        if self._can("reasoning"):
            names.add("reasoning_effort")
        return frozenset(names)

    # -- saving

    def dump_state(self) -> dict[str, Any]:
        """Names only: what answers, where its settings stand, how its key is found.

        :raises ConfigError: the step has no name by which another process could find it.
        """
        return self.source.dump()

    @classmethod
    def load_state(cls, state: Mapping[str, Any]) -> Self:
        """The engine of a saved state. What it names is looked up at the first call."""
        return cls(Source.load(state))

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self.dump_state(),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source.name!r})"

    # -- a call

    def _place(self) -> Context | None:
        """The run that this call belongs to, with what tells it from equal ones."""
        at = here()
        sample = current.get()
        if sample is None:
            return at
        tag = sample.next()
        if tag is None and not sample.uncached:
            return at
        tags = {} if tag is None else {SAMPLE_TAG: tag}
        if sample.uncached:
            tags |= _NO_STORE
        return Context.new(tags=tags) if at is None else at.with_(tags=tags)

    async def _ask(self, asked: lm15.Request, at: Context | None) -> lm15.Response:
        try:
            given = await self.step(question(asked), at)
            response = given if isinstance(given, Response) else _response(given, self.source.name)
            tell(response)
            return answer(response, asked)
        except TidyllmError as error:
            raise failure(error) from error

    async def _stream(self, asked: lm15.Request, at: Context | None) -> AsyncGenerator[Any, None]:
        step = self.step
        seen: list[Any] = []
        begun = False
        try:
            async with aclosing(step.stream(question(asked), at)) as pieces:
                async for piece in pieces:
                    if isinstance(
                        piece, str | Response
                    ):  # a step that gives its answer whole, or as plain text
                        whole = piece if isinstance(piece, Response) else _response(piece, self.source.name)
                        tell(whole)
                        for event in events(whole, asked):
                            yield event
                        return
                    seen.append(piece)
                    if not begun:
                        begun = True
                        known = piece if isinstance(piece, Start) else Start()
                        yield lm15.StreamStartEvent(id=known.id or None, model=known.model or asked.model)
                    for one in delta(piece):
                        yield lm15.StreamDeltaEvent(one)
            whole = _joined(step, seen)
            tell(whole)
            yield end(whole)
        except TidyllmError as error:
            raise failure(error) from error


class AsyncEngine(_Engine):
    """`async_engine=` of a `dspy.LM`."""

    is_async = True

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """One answer, in the run of the caller."""
        validate_request(request)
        return await self._ask(request, self._place())

    async def stream(self, request: lm15.Request) -> AsyncGenerator[Any, None]:
        """The events of one answer."""
        validate_request(request)
        async with aclosing(self._stream(request, self._place())) as found:
            async for event in found:
                yield event

    async def aclose(self) -> None:
        """Nothing: connections belong to the process."""


class Engine(_Engine):
    """`engine=` of a `dspy.LM`: the same for callers that cannot await."""

    is_async = False

    def complete(self, request: lm15.Request) -> lm15.Response:
        """One answer, in the run of the caller; waits for it, Ctrl-C cancels it."""
        validate_request(request)
        at = self._place()
        if at is not None and at.entered:
            at = at.detached()
        return run_sync(lambda: self._ask(request, at))

    def stream(self, request: lm15.Request) -> Generator[Any, None, None]:
        """The events of one answer."""
        validate_request(request)
        at = self._place()
        if at is not None and at.entered:
            at = at.detached()
        return pumped(lambda: self._stream(request, at))

    def close(self) -> None:
        """Nothing: connections belong to the process."""


def _response(given: object, name: str) -> Response:
    """What a step of the user's own gave, as an answer of a model called `name`."""
    if not isinstance(given, str):
        raise BadAnswer(
            f"the step {name!r} gave a {type(given).__name__}; DSPy needs text or a tidyllm.Response.",
            hint="End the step in a model, or in a function that returns text.",
        )
    return Response(content=(Text(text=given),), finish_reason="stop", model=name)


def _joined(step: Step[Any, Any], pieces: list[Any]) -> Response:
    """The answer that these made up, with its cost where the pieces tell."""
    try:
        whole = step.join(pieces)
    except TidyllmError:
        whole = None
    return whole if isinstance(whole, Response) else fold(pieces)
