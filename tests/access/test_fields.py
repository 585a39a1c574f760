"""What may stand in the fields of keys, teams and organisations, and how a wrong one is told."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.access import Conflict, KeySpec, OrganisationSpec, TeamSpec
from tidyllm.access.fields import IP, checked
from tidyllm.errors import ConfigError
from tidyllm.money import Budget

WRONG: dict[str, dict[str, Any]] = {
    "a line end in a name": {"name": "a\nb"},
    "a line end after a name": {"name": "a\n"},
    "an empty name": {"name": ""},
    "half of a pair of surrogates": {"name": "a\ud800"},
    "text that runs backwards": {"name": "a\u202eb"},
    "a name that is too long": {"name": "a" * 201},
    "a NUL": {"owner": "a\x00"},
    "an escape sequence": {"owner": "a\x1b[31m"},
    "a team that is a path": {"team": "../x"},
    "no requests": {"requests_per_minute": 0},
    "negative requests": {"requests_per_minute": -1},
    "half a request": {"requests_per_minute": 0.5},
    "true requests": {"requests_per_minute": True},
    "too many tokens": {"tokens_per_minute": 10**10},
    "no place": {"concurrency": 0},
    "negative money": {"limit_usd": -0.01},
    "not a number": {"limit_usd": float("nan")},
    "infinite money": {"limit_usd": float("inf")},
    "a negative soft limit": {"soft_usd": -1.0},
    "an unknown window": {"window": "year"},
    "an empty rolling window": {"window": "rolling:0"},
    "a rolling window below a minute": {"window": "rolling:59"},
    "a window with an end": {"window": "day\n"},
    "an expiry in the past": {"expires_in_seconds": -5},
    "an unknown role": {"role": "root"},
    "half an address": {"ips": ["10.0.0"]},
    "a network that is too long": {"ips": ["10.0.0.0/33"]},
    "an address with a zone": {"ips": ["fe80::1%eth0"]},
    "a relative path": {"endpoints": ["v1/messages"]},
    "a path with a query": {"endpoints": ["/v1/messages?x=1"]},
    "a pattern of another kind": {"models": ["gpt-[45]"]},
    "a tag's name with a space": {"tags": {"a b": "c"}},
    "a tag with a header in it": {"tags": {"a": "b\r\nx-evil: 1"}},
    "too many tags": {"tags": {f"t{n}": "" for n in range(51)}},
    "a required tag that is empty": {"required_tags": [""]},
    "metadata that is no text": {"metadata": {"a": 1}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_field_is_refused_by_name_with_its_value_and_what_is_allowed(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    fields: dict[str, Any] = {"name": "service", **wrong}
    with pytest.raises(ConfigError) as caught:
        checked(KeySpec(**fields))
    assert caught.value.where == name
    assert re.search(r"must be|Expected", caught.value.message)
    assert caught.value.message.isprintable()


def test_a_soft_limit_above_the_hard_one_is_refused() -> None:
    with pytest.raises(Conflict, match=r"soft_usd: 6 passes limit_usd, 5"):
        checked(KeySpec(name="service", limit_usd=5, soft_usd=6))


@pytest.mark.parametrize("kind", [TeamSpec, OrganisationSpec])
def test_a_team_s_name_is_an_id(kind: type[TeamSpec | OrganisationSpec]) -> None:
    assert checked(kind(name="search-2.eu")).name == "search-2.eu"
    with pytest.raises(ConfigError, match="name: 'two words'"):
        checked(kind(name="two words"))


@given(st.ip_addresses(), st.integers(0, 128))
def test_every_address_and_network_is_taken_however_it_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, prefix: int
) -> None:
    network = f"{address}/{prefix % (address.max_prefixlen + 1)}"
    texts = (str(address), network, address.exploded)
    assert checked(KeySpec(name="a", ips=texts)).ips == texts


@given(st.from_regex(re.compile(r"[0-9a-f:./]{2,30}"), fullmatch=True))
def test_whatever_the_pattern_lets_through_is_a_network(text: str) -> None:
    try:
        msgspec.convert(text, IP)
    except msgspec.ValidationError:
        return
    ipaddress.ip_network(text, strict=False)


@given(st.text())
def test_any_text_is_taken_as_it_is_or_refused_in_one_line(text: str) -> None:
    try:
        spec = checked(KeySpec(name=text, owner=text, tags={"a": text}))
    except ConfigError as error:
        told = error.message
    else:
        told = ""
        assert (spec.name, spec.owner, spec.tags) == (text, text, {"a": text})
        assert not set(text) & set("\r\n\x00\x1b\u2028")
    assert not told or told.isprintable()


@pytest.mark.parametrize("spec", [{"tags": {"tidyllm.key": "x"}}, {"required_tags": ("tidyllm.team",)}])
def test_names_of_tags_that_are_the_gateways_own_are_no_keys_to_give(spec: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the gateway's own"):
        checked(KeySpec(name="a", **spec))


@given(
    window=st.sampled_from(["none", "day", "week", "month"]) | st.integers(1, 10**9).map("rolling:{}".format)
)
def test_a_window_that_a_key_may_have_is_one_that_a_budget_can_keep(window: str) -> None:
    try:
        checked(KeySpec(name="service", window=window))
    except ConfigError:
        return
    Budget(1, window)
