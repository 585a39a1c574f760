"""Where the wide bound does not fit into a budget, the closer one is asked for, once, and only if it can help."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.models.raw_server import serve
from tests.models.upstreams import CHAT, json_body, model_at, play
from tidyllm.core import AttemptFinished, Context, Reservation
from tidyllm.core.events import Event
from tidyllm.errors import BudgetExceeded
from tidyllm.models import Request
from tidyllm.models.asked import Asked
from tidyllm.models.bound import bound_usd, closer_usd, set_input_counter
from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.tokens import input_counter

GPT = Catalog.default().find("openai/gpt-4o")
BODY = b'{"model":"gpt-4o","messages":[{"role":"user","content":"' + b"hello " * 500 + b'"}],"max_tokens":1}'


class Small:
    """A budget with little room."""

    def __init__(self, room_usd: str) -> None:
        self.room = Decimal(room_usd)
        self.asked: list[Decimal | None] = []

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Reservation:
        self.asked.append(at_most_usd)
        if at_most_usd is None or at_most_usd > self.room:
            limit = str(self.room)
            raise BudgetExceeded(
                "small",
                what=what,
                asked_usd=str(at_most_usd),
                limit_usd=limit,
                spent_usd="0",
                reserved_usd="0",
            )
        return self

    async def settle(self, cost_usd: Decimal | None) -> None: ...


@pytest.fixture(autouse=True)
def without_counter() -> Iterator[None]:
    yield
    set_input_counter(None)


def three(body: bytes, info: ModelInfo) -> int | None:
    return 3


async def called(budget: Small) -> None:
    async with serve(play(json_body(CHAT))) as server:
        await model_at(server)(Request("Hello", max_output_tokens=10), Context.new(budget=budget))


async def test_a_call_that_fits_only_closely_is_made() -> None:
    set_input_counter(three)
    budget = Small("0.00015")
    await called(budget)
    wide, close = budget.asked
    assert wide is not None and close is not None  # noqa: PT018
    assert close < wide


async def test_without_a_counter_or_room_for_the_answer_the_budget_is_asked_once() -> None:
    for room, counter in (("0.00015", None), ("0.0000001", three)):
        set_input_counter(counter)
        budget = Small(room)
        with pytest.raises(BudgetExceeded):
            await called(budget)
        assert len(budget.asked) == 1


def test_the_counter_of_this_package_is_several_times_closer() -> None:
    set_input_counter(input_counter)
    asked = Asked(max_tokens=1)
    wide, close = bound_usd(BODY, asked, GPT), closer_usd(BODY, asked, GPT, room_usd=Decimal(1))
    assert wide is not None
    assert close is not None
    assert close < wide / 5
    assert closer_usd(BODY, Asked(max_tokens=1, own_calls=None), GPT, room_usd=Decimal(1)) is None


def test_tiers_that_may_apply_together_are_multiplied_in_the_bound() -> None:
    opus = Catalog.default().find("anthropic/claude-opus-4-8")
    plain = bound_usd(BODY, Asked(max_tokens=1), opus)
    both = bound_usd(BODY, Asked.of({"max_tokens": 1, "speed": "fast", "inference_geo": "us"}), opus)
    assert plain is not None
    assert both == plain * 2 * Decimal("1.1")


async def test_tokens_of_sound_are_told_to_the_hooks() -> None:
    heard: list[AttemptFinished] = []

    class Hook:
        def __call__(self, event: Event) -> None:
            if isinstance(event, AttemptFinished):
                heard.append(event)

    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    usage |= {"prompt_tokens_details": {"audio_tokens": 4}, "completion_tokens_details": {"audio_tokens": 5}}
    async with serve(play(json_body({**CHAT, "usage": usage}))) as server:
        await model_at(server)("Hello", Context.new(hooks=(Hook(),)))
    [event] = heard
    assert event.attributes["audio_input_tokens"] == 4
    assert event.attributes["audio_output_tokens"] == 5
