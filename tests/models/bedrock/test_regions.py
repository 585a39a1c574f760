"""Where calls go: one region after the other, never out of the places that data must not leave, at each one's price."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.bedrock.wire import KEY, SECRET, environment, stream
from tests.models.raw_server import Connection, Server, answer, serve
from tests.models.upstreams import Heard, json_body
from tidyllm import load, model
from tidyllm.core import AttemptFinished, AttemptStarted, Context
from tidyllm.errors import (
    BadRequest,
    BudgetExceeded,
    ConfigError,
    Overloaded,
    RateLimited,
    StreamInterrupted,
)
from tidyllm.models.bedrock.model import BedrockModel
from tidyllm.models.bedrock.places import PLACES, allowed_regions, places_of
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


# -- residency


@pytest.mark.parametrize(
    ("name", "regions", "residency", "words"),
    [
        (NOVA, ("us-east-1",), ("eu",), "outside of residency eu"),
        (NOVA, ("eu-west-1", "eu-west-2"), ("eu",), "eu-west-2 is outside"),
        (f"us.{NOVA}", ("eu-west-1",), ("eu",), "may send data"),
        (f"global.{NOVA}", ("eu-west-1",), ("eu",), "anywhere"),
        (f"apac.{NOVA}", ("ap-northeast-1",), ("jp",), "may send data"),
        (f"eu.{NOVA}", ("eu-central-1",), ("de",), "may send data"),
        (f"eu.{NOVA}", ("eu-central-1",), ("eu-central-1",), "may send data"),
        (f"ca.{NOVA}", ("ca-central-1",), ("ca",), "may send data"),
        (f"xx.{NOVA}", ("eu-central-1",), ("eu",), "may send data"),
        (
            f"arn:aws:bedrock:eu-west-1:1:inference-profile/us.{NOVA}",
            ("eu-west-1",),
            ("eu",),
            "may send data",
        ),
        (
            "arn:aws:bedrock:eu-west-1:1:application-inference-profile/x",
            ("eu-west-1",),
            ("eu",),
            "nobody can tell",
        ),
        ("arn:aws:bedrock:eu-west-1:1:default-prompt-router/x", ("eu-west-1",), ("eu",), "nobody can tell"),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/x", ("eu-west-1",), ("eu",), "lives in us-east-1"),
        (f"us.{NOVA}", ("eu-west-1",), (), "none of the regions eu-west-1"),
        (f"us.{NOVA}", ("us-gov-west-1",), (), "none of the regions"),
        (NOVA, ("eu-west-1",), ("europ",), "Did you mean 'europe'"),
        (NOVA, ("Frankfurt",), (), "no region"),
    ],
)
def test_what_might_leave_is_refused_by_name(
    name: str, regions: tuple[str, ...], residency: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        model(f"bedrock/{name}", regions=regions, residency=residency, api_key="k")


@pytest.mark.parametrize(
    ("name", "residency", "left"),
    [
        (NOVA, ("eu",), ("eu-central-1", "eu-west-1")),
        (f"eu.{NOVA}", ("eu",), ("eu-central-1", "eu-west-1")),
        (f"eu.{NOVA}", ("europe", "us"), ("eu-central-1", "eu-west-1")),
        (f"us.{NOVA}", ("eu", "us"), ("us-east-1",)),
        (f"global.{NOVA}", (), FOUR),
        (f"arn:aws:bedrock:eu-west-1::foundation-model/{NOVA}", ("eu",), ("eu-west-1",)),
        (f"arn:aws:bedrock:eu-west-1:1:inference-profile/eu.{NOVA}", ("eu",), ("eu-west-1",)),
        ("arn:aws:bedrock:eu-west-1:1:provisioned-model/x", ("ie",), ("eu-west-1",)),
    ],
)
def test_what_stays_is_called_where_it_can_be(
    name: str, residency: tuple[str, ...], left: tuple[str, ...]
) -> None:
    within = tuple(one for one in FOUR if not residency or not places_of(one).isdisjoint(residency))
    assert allowed_regions(name, within, residency) == left


@given(
    st.sampled_from(sorted(PLACES)),
    st.sampled_from(["", "us.", "eu.", "apac.", "au.", "jp.", "global.", "ca."]),
)
def test_no_region_that_is_allowed_is_outside(place: str, prefix: str) -> None:
    regions = ("eu-central-1", "eu-west-2", "us-east-1", "us-gov-west-1", "ap-northeast-1", "ap-southeast-2")
    for region in regions:
        try:
            allowed = allowed_regions(f"{prefix}{NOVA}", (region,), (place,))
        except ConfigError:
            continue
        assert allowed == (region,)
        assert place in places_of(region)
        assert prefix != "global."


async def test_a_refused_call_sends_nothing() -> None:
    there = Regions()
    async with serve(there) as server:
        base = f"http://127.0.0.1:{server.port}/{{region}}"
        with pytest.raises(ConfigError):
            model(f"bedrock/us.{NOVA}", base_url=base, regions=["us-east-1"], residency=["eu"])
    assert there.asked == []


# -- prices


@pytest.mark.parametrize(
    ("name", "region", "usd"),
    [
        ("amazon.nova-micro-v1:0", "us-east-1", "0.035"),
        ("us.amazon.nova-micro-v1:0", "us-east-1", "0.035"),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-micro-v1:0", "us-east-1", "0.035"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-west-1", "3.3"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-west-1", "3"),
        ("google.gemma-3-27b-it", "us-west-2", "0.23"),
        ("google.gemma-3-27b-it", "eu-west-1", None),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x", "us-east-1", None),
        ("unheard.of", "us-east-1", None),
    ],
)
def test_each_region_has_its_price_and_an_unknown_one_has_none(
    name: str, region: str, usd: str | None
) -> None:
    info = model(f"bedrock/{name}", regions=[region], api_key="k").info
    prices = None if info is None else info.prices
    assert (None if prices is None else prices.input) == (None if usd is None else Decimal(usd))


def test_without_a_prefix_the_price_is_that_of_the_region_s_profile() -> None:
    there = Catalog.default().find("bedrock/eu.amazon.nova-micro-v1:0")
    info = model("bedrock/amazon.nova-micro-v1:0", regions=["eu-west-1"], api_key="k").info
    assert info is not None
    assert there is not None
    assert info.prices == there.prices


# -- settings


def test_settings_name_regions_profile_and_residency(tmp_path: Any) -> None:
    (tmp_path / "tidyllm.yaml").write_text(
        "providers:\n  aws: {kind: bedrock, regions: [eu-central-1, eu-west-1], residency: [eu], profile: default}\n"
        f"models:\n  fast: {{route: ['aws/eu.{NOVA}']}}\n"
    )
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    with environment(AWS_CONFIG_FILE=str(tmp_path / "config")):
        [target] = load(tmp_path / "tidyllm.yaml").find("fast").targets
    assert isinstance(target, BedrockModel)
    assert target.regions == ("eu-central-1", "eu-west-1")
    cloud = target.provider.cloud
    assert cloud is not None
    assert (cloud.profile, cloud.residency) == ("default", ("eu",))


@pytest.mark.parametrize(
    ("settings", "target", "words"),
    [
        ("kind: bedrock, regions: [us-east-1], residency: [eu]", NOVA, r"providers\.aws\.regions: .*outside"),
        (
            "kind: bedrock, regions: [eu-west-1], residency: [eu]",
            f"us.{NOVA}",
            r"route\[0\]: .*may send data",
        ),
        ("kind: bedrock, region: eu-west-2, regions: [eu-west-1]", NOVA, "none of the regions"),
        ("kind: bedrock, region: moon", NOVA, r"providers\.aws\.region: 'moon' is no region"),
        (
            "kind: openai, api_key: k, regions: [eu-west-1]",
            NOVA,
            r"providers\.aws\.regions: kind openai has none",
        ),
    ],
)
def test_what_cannot_be_is_found_when_the_file_is_read(
    tmp_path: Any, settings: str, target: str, words: str
) -> None:
    (tmp_path / "tidyllm.yaml").write_text(
        f"providers:\n  aws: {{{settings}}}\nmodels:\n  fast: {{route: ['aws/{target}']}}\n"
    )
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "tidyllm.yaml")


def test_an_address_and_the_regions_cannot_disagree() -> None:
    own = "https://bedrock-runtime.us-east-1.amazonaws.com"
    with pytest.raises(ConfigError, match="base_url is in us-east-1"):
        model(f"bedrock/{NOVA}", base_url=own, regions=["eu-west-1"])
    with pytest.raises(ConfigError, match="outside of residency"):
        model(f"bedrock/{NOVA}", base_url=own, residency=["eu"])
    assert model(f"bedrock/{NOVA}", base_url=own, api_key="k").info is not None
