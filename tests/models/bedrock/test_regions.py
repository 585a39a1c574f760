"""One region after the other, while they have no room: each try is an attempt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from tests.models.bedrock.wire import KEY, SECRET, environment, stream
from tests.models.raw_server import Connection, Server, answer, serve
from tests.models.upstreams import Heard, json_body
from tidyllm.core import AttemptFinished, AttemptStarted, Context
from tidyllm.errors import (
    BadRequest,
    BudgetExceeded,
    Overloaded,
    RateLimited,
    StreamInterrupted,
)
from tidyllm.models.bedrock.model import BedrockModel
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build
from tidyllm.models.provider import provider
from tidyllm.money import Budget
from tidyllm.resilience import Retry
from tidyllm.testing import FakeClock

NOVA = "amazon.nova-pro-v1:0"
FOUR = ("eu-central-1", "eu-west-1", "us-east-1", "ap-northeast-1")
OK = json_body(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100},
    }
)
WORDS = stream(
    ("messageStart", {"role": "assistant"}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo."}}),
    ("contentBlockStop", {"contentBlockIndex": 0}),
    ("messageStop", {"stopReason": "end_turn"}),
    ("metadata", {"usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}}),
)
KIND = "content-type: application/vnd.amazon.eventstream"


def refusal(name: str, status: str, *headers: str) -> bytes:
    return json_body({"message": "no room"}, f"x-amzn-errortype: {name}", *headers, status=status)


THROTTLED = refusal("ThrottlingException", "429 Too Many Requests")
NOT_READY = refusal("ModelNotReadyException", "429 Too Many Requests")
UNAVAILABLE = refusal("ServiceUnavailableException", "503 Service Unavailable")
INVALID = refusal("ValidationException", "400 Bad Request")
FAILED = refusal("InternalServerException", "500 Internal Server Error")


class Regions:
    """A server that answers for every region what a test told it, the last answer for ever."""

    def __init__(self, **answers: Sequence[bytes]) -> None:
        self.left = {name.replace("_", "-"): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, connection: Connection) -> None:
        while True:
            seen = await connection.request()
            found = re.search(r"Credential=[^/]+/\d+/([a-z0-9-]+)/bedrock", seen.headers["authorization"])
            assert found is not None
            assert seen.line.split()[1].startswith(f"/{found[1]}/model/")
            self.asked.append(found[1])
            left = self.left.get(found[1], [OK])
            await connection.write(left.pop(0) if len(left) > 1 else left[0])


def at(server: Server, *regions: str, name: str = NOVA, prices: bool = True) -> BedrockModel:
    """The model in these regions of the server; $1 and $10 a million tokens, ten times as much in us-east-1."""
    facts: dict[str, Any] = {"prices": {"input": "1", "output": "10"}, "max_output_tokens": 100}
    facts["service"] = {"us-east-1": "10"}
    catalog = Catalog.default().with_({f"up/{name}": facts})
    base = f"http://127.0.0.1:{server.port}/{{region}}"
    service = provider("bedrock", name="up", base_url=base, regions=regions or FOUR)
    one = build(name, service, catalog=catalog, own=(f"up/{name}",) if prices else ())
    assert isinstance(one, BedrockModel)
    return one


@pytest.fixture(autouse=True)
def credentials() -> Any:
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        yield


# -- failover


async def test_regions_are_tried_in_order_and_each_try_is_an_attempt() -> None:
    there = Regions(eu_central_1=[THROTTLED], eu_west_1=[UNAVAILABLE], us_east_1=[NOT_READY])
    heard = Heard()
    async with serve(there) as server:
        reply = await at(server)("Hi", heard.context)
    assert reply.text == "Hello."
    assert there.asked == list(FOUR)
    assert len(heard.of(AttemptStarted)) == 4
    ended = heard.of(AttemptFinished)
    assert [type(one.error) for one in ended] == [RateLimited, Overloaded, Overloaded, type(None)]
    assert [one.attributes["region"] for one in ended] == list(FOUR)
    assert len({one.span_id for one in ended}) == 4


@pytest.mark.parametrize(("raw", "kind"), [(INVALID, BadRequest), (FAILED, Overloaded)])
async def test_what_another_region_would_not_change_is_raised_at_once(
    raw: bytes, kind: type[Exception]
) -> None:
    there = Regions(eu_central_1=[raw])
    async with serve(there) as server:
        with pytest.raises(kind):
            await at(server)("Hi")
    assert there.asked == ["eu-central-1"]


async def test_a_policy_tries_all_regions_each_time_and_the_wire_sees_exactly_that() -> None:
    there = Regions(eu_central_1=[THROTTLED], eu_west_1=[THROTTLED])
    async with serve(there) as server:
        one = Retry(at(server, "eu-central-1", "eu-west-1"), attempts=3, base=0.0, cap=0.0)
        with pytest.raises(RateLimited) as caught:
            await one("Hi")
    assert there.asked == ["eu-central-1", "eu-west-1"] * 3
    assert caught.value.retry_after is None


async def test_a_region_that_asked_for_a_pause_is_left_alone_until_it_is_over() -> None:
    pause = refusal("ThrottlingException", "429 Too Many Requests", "retry-after: 30")
    longer = refusal("ThrottlingException", "429 Too Many Requests", "retry-after: 50")
    there = Regions(eu_central_1=[pause, OK], eu_west_1=[OK, longer, OK])
    with FakeClock() as clock:
        async with serve(there) as server:
            one = at(server, "eu-central-1", "eu-west-1")
            await one("Hi")
            with pytest.raises(RateLimited):
                await one("Hi")
            clock.advance(10)
            with pytest.raises(RateLimited, match="all regions") as caught:
                await one("Hi")
            assert caught.value.retry_after == pytest.approx(20)
            clock.advance(20)
            await one("Hi")
    assert there.asked == ["eu-central-1", "eu-west-1", "eu-west-1", "eu-central-1"]


async def test_the_shortest_pause_is_told_when_all_regions_asked_for_one() -> None:
    pauses = [refusal("ThrottlingException", "429 Too Many", f"retry-after: {n}") for n in (9, 7)]
    there = Regions(eu_central_1=pauses[:1], eu_west_1=pauses[1:])
    async with serve(there) as server:
        with pytest.raises(RateLimited) as caught:
            await at(server, "eu-central-1", "eu-west-1")("Hi")
    assert caught.value.retry_after == 7
    assert "2 of the regions" in caught.value.__notes__[0]


async def test_one_region_alone_leaves_all_waiting_to_the_policy() -> None:
    there = Regions(eu_central_1=[refusal("ThrottlingException", "429 Too Many", "retry-after: 60"), OK])
    async with serve(there) as server:
        one = at(server, "eu-central-1")
        with pytest.raises(RateLimited):
            await one("Hi")
        assert (await one("Hi")).text == "Hello."


async def test_the_budget_is_asked_again_for_each_region() -> None:
    """The first region's price fits; the second one's is ten times as high, and does not."""
    there = Regions(eu_central_1=[THROTTLED])
    budget = Budget("0.005", wait_seconds=0)
    async with serve(there) as server:
        with pytest.raises(BudgetExceeded):
            await at(server, "eu-central-1", "us-east-1")("Hi", Context.new(budget=budget))
    assert there.asked == ["eu-central-1"]


async def test_nothing_is_spent_on_a_region_that_throttled() -> None:
    there = Regions(eu_central_1=[THROTTLED])
    budget = Budget("1", wait_seconds=0)
    async with serve(there) as server:
        reply = await at(server, "eu-central-1", "us-east-1")("Hi", Context.new(budget=budget))
    assert reply.cost_usd == Decimal("0.02")
    standing = await budget.standing()
    assert (Decimal(standing.spent_usd), Decimal(standing.reserved_usd)) == (Decimal("0.02"), 0)


# -- streams


async def test_a_stream_goes_on_in_another_region_while_nothing_has_come() -> None:
    early = stream(("messageStart", {"role": "assistant"}), ("throttlingException", {"message": "no room"}))
    there = Regions(
        eu_central_1=[THROTTLED], eu_west_1=[answer(early, KIND)], us_east_1=[answer(WORDS, KIND)]
    )
    heard = Heard()
    async with serve(there) as server:
        one = at(server)
        pieces = [piece async for piece in one.stream("Hi", heard.context)]
    reply = one.join(pieces)
    assert (reply.text, reply.finish_reason, reply.model) == ("Hello.", "stop", NOVA)
    assert reply.cost_usd == Decimal("0.02"), "the price of the region that answered"
    assert there.asked == ["eu-central-1", "eu-west-1", "us-east-1"]
    assert len(heard.of(AttemptFinished)) == 3
    assert sum(type(piece).__name__ == "Start" for piece in pieces) == 1


async def test_a_stream_that_has_begun_is_never_started_over() -> None:
    late = stream(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
        ("throttlingException", {"message": "no room"}),
    )
    there = Regions(eu_central_1=[answer(late, KIND)])
    async with serve(there) as server:
        with pytest.raises(StreamInterrupted) as caught:
            _ = [piece async for piece in at(server).stream("Hi")]
    assert caught.value.partial.text == "Hel"
    assert there.asked == ["eu-central-1"]
