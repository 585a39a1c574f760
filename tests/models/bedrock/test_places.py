"""Which regions a model is called in, what never leaves the places that data must stay in, and what that costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.bedrock.test_regions import FOUR, NOVA, Regions
from tests.models.bedrock.wire import KEY, SECRET, environment
from tests.models.raw_server import serve
from tidyllm import load, model
from tidyllm.errors import ConfigError
from tidyllm.models.bedrock.model import BedrockModel
from tidyllm.models.bedrock.places import PLACES, allowed_regions, places_of
from tidyllm.models.catalog import Catalog


@pytest.fixture(autouse=True)
def credentials() -> Any:
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        yield


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
        (
            f"arn:aws:bedrock:us-east-1::foundation-model/{NOVA}",
            ("eu-west-1",),
            ("eu",),
            "lives in us-east-1",
        ),
        (f"US.{NOVA}", ("eu-west-1",), ("eu",), "nobody can tell"),
        (f" us.{NOVA}", ("eu-west-1",), ("eu",), "nobody can tell"),
        (f"inference-profile/us.{NOVA}", ("eu-west-1",), ("eu",), "nobody can tell"),
        (f"ARN:aws:bedrock:us-east-1:1:inference-profile/us.{NOVA}", ("eu-west-1",), ("eu",), "nobody can"),
        (NOVA, ("eu-central-9",), ("eu",), "outside of residency eu"),
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
    for host in ("bedrock-runtime.us-east-1.api.aws", "bedrock-runtime-fips.us-east-1.amazonaws.com"):
        with pytest.raises(ConfigError, match="base_url is in us-east-1"):
            model(f"bedrock/{NOVA}", base_url=f"https://{host}", regions=["eu-west-1"], residency=["eu"])
    assert model(f"bedrock/{NOVA}", base_url=own, api_key="k").info is not None
