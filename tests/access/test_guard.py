"""What a key is for: models, endpoints, addresses, tags."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.access import Forbidden, Key, check
from tidyllm.access.guard import ip_allowed, matches


def key(**fields: Any) -> Key:
    return Key(id="k", name="k", prefix="sk-tidy-k", created_at=0.0, **fields)


@given(st.text("ab*", max_size=8), st.text("ab", max_size=12))
def test_a_star_stands_for_any_characters(pattern: str, text: str) -> None:
    parts = (re.escape(part) for part in pattern.split("*"))
    assert matches(pattern, text) == (re.fullmatch(".*".join(parts), text) is not None)


def test_a_key_without_rules_may_do_everything() -> None:
    check(key(), model="any", endpoint="/v1/x", ip="", tags={})


def test_a_model_must_be_allowed_by_the_key_and_by_its_team() -> None:
    narrow = key(models=("gpt-*", "fast"), team_models=("fast", "gpt-4"))
    check(narrow, model="fast")
    check(narrow, model="gpt-4")
    for model in ("gpt-5", "fast2", "FAST", ""):
        with pytest.raises(Forbidden, match="model"):
            check(narrow, model=model)


def test_an_endpoint_is_a_path_or_the_beginning_of_paths() -> None:
    check(key(endpoints=("/v1/chat/*",)), endpoint="/v1/chat/completions")
    with pytest.raises(Forbidden) as caught:
        check(key(endpoints=("/v1/chat/*",)), endpoint="/v1/messages")
    assert caught.value.what == "endpoint"


@pytest.mark.parametrize(
    ("networks", "ip", "allowed"),
    [
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.1.2.3/8",), "10.9.9.9", True),  # host bits are zero
        (("10.0.0.1",), "10.0.0.1", True),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("2001:db8::/32",), "2001:db8:1::5", True),
        (("2001:db8::/32",), "10.0.0.1", False),
        (("0.0.0.0/0", "::/0"), "", False),
        (("0.0.0.0/0", "::/0"), "unix", False),
    ],
)
def test_addresses_are_looked_for_in_networks(networks: tuple[str, ...], ip: str, allowed: bool) -> None:
    assert ip_allowed(networks, ip) is allowed


def test_a_required_tag_must_be_there_and_not_empty() -> None:
    strict = key(required_tags=("cost_center",))
    check(strict, tags={"cost_center": "a"})
    for tags in ({}, {"cost_center": ""}, {"Cost_Center": "a"}):
        with pytest.raises(Forbidden, match="'cost_center'"):
            check(strict, tags=tags)
