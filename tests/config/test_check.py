"""What is wrong in a configuration: each problem with its path, what was expected, and what was probably meant."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.config.check import check
from tidyllm.config.problem import Problem, did_you_mean, path_of
from tidyllm.config.schema import ProviderSettings, ServerSettings, Settings

MAIN = {"main": {"kind": "offline"}}


def said(data: Any) -> list[str]:
    settings, problems = check(data)
    assert (settings is None) == bool(problems)
    return [str(one) for one in problems]


def of_model(**fields: Any) -> list[str]:
    return said({"providers": MAIN, "models": {"fast": {"route": ["main/x"], **fields}}})


def of_provider(**fields: Any) -> list[str]:
    return said({"providers": {"main": {"kind": "openai", **fields}}})


def test_nothing_is_a_configuration() -> None:
    assert check(None) == check({}) == (Settings(), [])


def test_a_section_with_nothing_in_it_means_the_defaults() -> None:
    data = {
        "server": None,
        "providers": MAIN,
        "models": {"fast": {"route": ["main/x"], "retry": None, "limit": None}},
    }
    settings, problems = check(data)
    assert problems == []
    assert settings is not None
    assert settings.server == ServerSettings()
    assert settings.models["fast"].limit is None


def test_numbers_may_be_whole() -> None:
    settings, _ = check({"providers": MAIN, "models": {"fast": {"route": ["main/x"], "deadline": 5}}})
    assert settings is not None
    assert settings.models["fast"].deadline == 5.0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"modles": {}}, "modles: unknown key. Did you mean 'models'?"),
        ({"server": {"prot": 1}}, "server.prot: unknown key. Did you mean 'port'?"),
        ({"server": {"zzz": 1}}, "server.zzz: unknown key. Known are host, port, workers,"),
        (
            {"models": {"a.b": {"route": ["x/y"], "retry": {"atempts": 1}}}},
            "models.\"a.b\".retry.atempts: unknown key. Did you mean 'attempts'?",
        ),
        (
            {"server": {"port": "8400"}},
            "server.port: expected a whole number from 0 to 65535, got the text '8400'. Leave out the quotes.",
        ),
        ({"server": {"port": 70_000}}, "server.port: expected a whole number from 0 to 65535, got 70000."),
        ({"server": {"port": 8400.0}}, "server.port: expected a whole number from 0 to 65535, got 8400.0."),
        ({"server": {"port": True}}, "server.port: expected a whole number from 0 to 65535, got true."),
        ({"server": {"port": None}}, "server.port: expected a whole number from 0 to 65535, got nothing."),
        ({"server": {"max_body_mb": 0}}, "server.max_body_mb: expected a number above 0 to 1024, got 0."),
        (
            {"server": {"drain": "30s"}},
            "server.drain: expected a number above 0, got the text '30s'. Leave out the unit.",
        ),
        ({"server": {"host": 5}}, "server.host: expected text, got 5. Put it in quotes."),
        ({"server": []}, "server: expected a section of keys, got a list."),
        (
            {"observe": {"log": "jsno"}},
            "observe.log: expected one of console, json, off, got the text 'jsno'. Did you mean 'json'?",
        ),
        ({"observe": {"metrics": "yes"}}, "observe.metrics: expected true or false, got the text 'yes'."),
        ({"providers": "x"}, "providers: expected a section of keys, got text."),
        (
            {"providers": {"a": {}}},
            "providers.a: the key 'kind' is missing. Say who it is, such as `kind: openai`.",
        ),
        ({"providers": {"a": None}}, "providers.a: the key 'kind' is missing."),
        ({"models": {"a": {}}}, "models.a: the key 'route' is missing. Name at least one target,"),
        ({"models": {"a": {"route": []}}}, "models.a: the key 'route' is missing. Name at least one target,"),
        (
            {"models": {"a": {"route": "x/y"}}},
            "models.a.route: expected a list, got the text 'x/y'. Write it as a list: [x/y].",
        ),
        ({"models": {"a": {"route": [1]}}}, "models.a.route[0]: expected text, got 1. Put it in quotes."),
        (
            {"models": {"a": {"route": ["x/y"], "deadline": {}}}},
            "models.a.deadline: expected a number above 0, got a section of keys.",
        ),
        ({"catalog": {"a/b": 5}}, "catalog.a/b: expected a section of keys, got a number."),
        ({"server": {"drain": 2**2000}}, "server.drain: expected a number above 0, got a number."),
        ([], "expected a section of keys, got a list."),
        ("text", "expected a section of keys, got text."),
    ],
)
def test_shapes(data: Any, expected: str) -> None:
    found = said(data)
    assert any(one.startswith(expected) for one in found), found


def test_all_problems_of_shape_are_told_at_once() -> None:
    data = {
        "sever": {},
        "server": {"port": "x"},
        "providers": {"a": {"knid": 1}},
        "models": {"m": {"route": 3}},
    }
    assert len(said(data)) == 5


def test_what_values_mean_is_judged_beside_problems_of_shape() -> None:
    data = {
        "sever": {},
        "server": {"port": "x", "master_key": "short"},
        "providers": {"main": {"kind": "offline"}, "other": {"kind": "opnai"}},
        "models": {
            "a": {"route": ["mian/x"], "retires": 3, "retry": {"cap": 1, "base": 2}},
            "b": {"route": ["main/x"], "deadline": "5s", "limit": {"burst": 3}},
        },
    }
    found = " ".join(said(data))
    for place in ("sever", "server.port", "models.a.retires", "models.b.deadline"):
        assert f"{place}: " in found
    for place in (
        "server.master_key",
        "providers.other.kind",
        "models.a.route[0]",
        "models.a.retry",
        "models.b.limit",
    ):
        assert f"{place}: " in found


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (
            {
                "providers": {"main": {"knid": "openai", "formats": ["ollama"]}},
                "models": {"m": {"route": ["main/x"]}},
            },
            2,
        ),
        ({"providers": {"main": "offline"}, "models": {"m": {"route": ["main/x"]}}}, 1),
        ({"provdiers": {"main": {"kind": "offline"}}, "models": {"m": {"route": ["main/x"]}}}, 1),
        ({"providers": {"main": {"kind": "azure", "base_ulr": "http://a"}}}, 1),
        ({"providers": MAIN, "models": {"m": {"route": ["main/x"], "retry": {"base": 20, "cap": "30"}}}}, 1),
        ({"providers": MAIN, "models": {"m": {"route": ["main/x"], "limit": {"burst": 3, "rate": "1"}}}}, 1),
        ({"providers": MAIN, "models": {"m": {"route": "main/x"}}}, 1),
        ({"providers": MAIN, "models": {"m": {}}}, 1),
        ({"observe": {"content": True, "traces": "otpl"}}, 1),
        ({"catalog": {"a/b": 5}}, 1),
        ({"providers": {"main": {"kind": "openai", "headers": {"x": 1}}}}, 1),
    ],
)
def test_nothing_is_blamed_for_what_stands_beside_it(data: Any, problems: int) -> None:
    assert len(said(data)) == problems, said(data)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"money": {"window": "fortnight"}}, "money.window"),
        ({"money": {"limit_usd": 5, "soft_usd": 6}}, "money.soft_usd"),
        ({"access": {"proxies": ["10.0.0.0/8", "balancer"]}}, "access.proxies[1]"),
        ({"access": {"required_tags": ["tidyllm.key"]}}, "access.required_tags[0]"),
        ({"store": {"url": "mysql://me:secret@db/x"}}, "store.url"),
        ({"redis": {"url": "http://me:secret@redis"}}, "redis.url"),
        ({"redis": {"url": "me:secret@redis"}}, "redis.url"),
    ],
)
def test_what_the_gateway_could_not_begin_with_is_named(data: Any, place: str) -> None:
    [found] = said(data)
    assert found.startswith(f"{place}: ")
    assert "secret" not in found


@pytest.mark.parametrize(
    "data",
    [
        {"money": {"limit_usd": 5, "soft_usd": 5, "window": "rolling:24h"}},
        {"access": {"proxies": ["10.0.0.1", "fd00::/8"], "required_tags": ["feature"]}},
        {"store": {"url": "books.db"}, "redis": {}},
        {"store": {"url": "postgresql://me@db/x"}, "redis": {"url": "rediss://redis:6379/1"}},
        {"store": {"url": "env:URL"}, "redis": {"url": "unix:///run/redis.sock"}},
    ],
)
def test_stores_money_and_access_that_are_right_are_not_complained_of(data: Any) -> None:
    assert not said(data)


@pytest.mark.parametrize("key", ["short", "", "sixteen letters and spaces", "schlüssel-mit-umlaut"])
def test_a_weak_master_key_is_refused_and_not_shown(key: str) -> None:
    [found] = said({"server": {"master_key": key}})
    assert found.startswith(
        "server.master_key: the master key must be at least 16 printable ASCII characters"
    )
    assert not key or key not in found


def test_where_a_master_key_stands_is_not_taken_for_it() -> None:
    assert not said({"server": {"master_key": "env:KEY"}})


@pytest.mark.parametrize(
    "data",
    [
        {"providers": {"main": {"kind": "openai", "api_key": 12345}}},
        {"providers": {"main": {"kind": "openai", "api_key": ["sk-secret"]}}},
        {"providers": {"main": {"kind": "openai", "headers": {"x-key": 12345}}}},
        {"providers": {"main": {"kind": "openai", "headers": "sk-secret"}}},
        {"providers": {"main": {"kind": "openai", "headers": {"x-key": "sk-secret\n"}}}},
        {"providers": {"main": "sk-secret"}},
        {"server": {"master_key": 12345}},
    ],
)
def test_a_secret_is_never_shown(data: Any) -> None:
    found = " ".join(said(data))
    assert found
    assert "secret" not in found
    assert "12345" not in found


def test_settings_do_not_show_their_secrets() -> None:
    provider = ProviderSettings(kind="openai", api_key="sk-secret", headers={"x": "sk-other", "y": "env:Y"})
    settings = Settings(server=ServerSettings(master_key="sk-master"), providers={"main": provider})
    for shown in (repr(settings), str(settings), f"{provider!r}", repr(list(settings.__rich_repr__()))):
        assert "sk-" not in shown
    assert "env:Y" in repr(settings)
    assert "env:K" in repr(ProviderSettings(kind="openai", api_key="env:K"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "opnai"}, "providers.main.kind: 'opnai' is unknown. Did you mean 'openai'?"),
        (
            {"kind": "azure"},
            "providers.main: the key 'base_url' is missing. Kind azure has no common address.",
        ),
        ({"base_url": "localhost:9001"}, "providers.main.base_url: 'localhost:9001' is no URL to call"),
        ({"base_url": "http://user:pass@host"}, "providers.main.base_url: 'http://…@host' is no URL"),
        ({"base_url": "http://["}, "providers.main.base_url: 'http://[' is no URL to call"),
        (
            {"formats": ["openai_chats"]},
            "providers.main.formats[0]: kind openai does not speak 'openai_chats'. Did you mean 'openai_chat'?",
        ),
        ({"prompt_cache": {}}, "providers.main.prompt_cache: kind openai has no place for marks."),
        (
            {"kind": "anthropic", "prompt_cache": {"ttl": "2h"}},
            "providers.main.prompt_cache.ttl:",
        ),
        ({"kind": "anthropic", "prompt_cache": {"last_turns": 3}}, "providers.main.prompt_cache.last_turns:"),
        ({"formats": []}, "providers.main.formats: the list is empty. Known are openai_chat,"),
        ({"headers": {"a b": "x"}}, "providers.main.headers.\"a b\": 'a b' is no name of an HTTP header."),
        (
            {"headers": {"host": "x"}},
            "providers.main.headers.host: header 'host' follows from the call itself.",
        ),
    ],
)
def test_providers(fields: dict[str, Any], expected: str) -> None:
    found = of_provider(**fields)
    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize("name", ["", "a/b", "a*", "a\nb", "x" * 300])
def test_names_of_providers(name: str) -> None:
    assert "a provider's name is plain text" in said({"providers": {name: {"kind": "offline"}}})[0]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"route": ["x"]}, "models.fast.route[0]: target 'x' is not of the form provider/model."),
        ({"route": ["main/"]}, "models.fast.route[0]: target 'main/' is not of the form"),
        (
            {"route": ["fast"]},
            "models.fast.route[0]: target 'fast' is not of the form provider/model. A route leads to",
        ),
        (
            {"route": ["main/x", "mian/x"]},
            "models.fast.route[1]: target 'mian/x': there is no provider 'mian'. Did you mean 'main'?",
        ),
        (
            {"route": ["main/*"]},
            "models.fast.route[0]: target 'main/*' has a '*', but the name 'fast' has none.",
        ),
        ({"route": ["main/*a*"]}, "models.fast.route[0]: target 'main/*a*' may hold one '*'."),
        ({"route": ["main/x", "main/x"]}, "models.fast.route[1]: target 'main/x' stands in it twice."),
        ({"prompt_cache": {}}, "models.fast.prompt_cache: no provider of the route has a place for marks."),
        ({"retry": {"base": 9}}, "models.fast.retry: cap 8 s is below base 9 s."),
        ({"limit": {}}, "models.fast.limit: it limits nothing. Give concurrency, rate (per second) or both."),
        ({"limit": {"concurrency": 1, "burst": 2}}, "models.fast.limit.burst: there is a burst but no rate."),
    ],
)
def test_models(fields: dict[str, Any], expected: str) -> None:
    found = of_model(**fields)
    assert any(one.startswith(expected) for one in found), found


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        (
            {"choose": {"among": ["fast"], "abilities": ["tool"]}},
            "models.auto.choose.abilities[0]: there is no ability 'tool'. Did you mean 'tools'?",
        ),
        (
            {"choose": {"among": ["fast", "auto"]}},
            "models.auto.choose.among[1]: 'auto' is this model itself; name others here.",
        ),
        (
            {"route": ["main/y"], "ab": {"name": "e", "arms": {"control": 0.5, "auto": 0.5}}},
            "models.auto.ab.arms.auto: 'auto' is this model itself; name others here.",
        ),
    ],
)
def test_ways_to_other_models(way: dict[str, Any], expected: str) -> None:
    models = {"fast": {"route": ["main/x"]}, "auto": way}
    assert said({"providers": MAIN, "models": models}) == [expected]


@pytest.mark.parametrize("name", ["", "a*b*", "a\x00", "x" * 300])
def test_names_of_models(name: str) -> None:
    assert said({"providers": MAIN, "models": {name: {"route": ["main/x"]}}})


def test_a_target_without_providers_says_where_to_write_one() -> None:
    assert "Write it under providers." in said({"models": {"m": {"route": ["a/b"]}}})[0]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {"like": "openai/gpt-5-minni"},
            "catalog.main/x.like: 'openai/gpt-5-minni' is not in the catalogue. Did you mean openai/gpt-5-mini",
        ),
        ({"prices": {"input": -1}}, "catalog.main/x.prices: "),
        (
            {"context_window": 1},
            "catalog.main/x: Object contains unknown field `context_window`. Did you mean `context_window_tokens`?",
        ),
        ({"aliases": ["nope"]}, "catalog.main/x: a name must read `provider/model`"),
    ],
)
def test_the_catalogue(facts: dict[str, Any], expected: str) -> None:
    found = said({"catalog": {"main/x": facts}})
    assert any(one.startswith(expected) for one in found), found


def test_a_good_entry_of_the_catalogue() -> None:
    facts = {"like": "openai/gpt-5-mini", "prices": {"input": 0.25, "output": 2}, "date": "2026-11-01"}
    assert said({"catalog": {"main/x.y": facts}}) == []


def test_paths_for_people() -> None:
    assert path_of(("models", "gpt-5.1", "route", 0)) == 'models."gpt-5.1".route[0]'
    assert path_of(()) == ""
    assert path_of(("openai/*", "a b", "ä\n")) == 'openai/*."a b"."ä\\n"'
    assert len(path_of(("x" * 9 + " " + "y" * 500,))) < 100
    assert str(Problem((), "oh.", file="f.yaml", line=3)) == "f.yaml:3: oh."
    assert str(Problem(("a",), "oh.", "Do it.", file="f.yaml")) == "f.yaml: a: oh. Do it."
    assert str(Problem(("a",), "oh.")) == "a: oh."


def test_did_you_mean() -> None:
    assert did_you_mean("prot", ["port"]) == "Did you mean 'port'?"
    assert did_you_mean("zzz", ["a", "b"]) == "Known are a, b."
    assert did_you_mean("x" * 10_000_000, ["a"]) == "Known are a."
    assert did_you_mean("x", []) == ""


# -- whatever it is

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
KEYS = st.sampled_from([
    "server", "providers", "models", "catalog", "observe", "host", "port", "kind", "base_url", "api_key", "headers",
    "formats", "route", "deadline", "retry", "timeout", "breaker", "limit", "attempts", "main", "main/x", "like",
])  # fmt: skip
ANY = st.recursive(
    LEAVES | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(ANY)
def test_anything_gives_settings_or_problems(data: Any) -> None:
    settings, problems = check(data)
    assert (settings is None) == bool(problems)
    assert all(str(one) for one in problems)


@st.composite
def nearly_right(draw: st.DrawFn) -> Any:
    """A good configuration with one value replaced by anything."""
    data: Any = {
        "server": {"port": 1, "master_key": "env:K"},
        "providers": {
            "main": {
                "kind": "openai",
                "base_url": "http://h/v1",
                "headers": {"a": "b"},
                "formats": ["openai_chat"],
            }
        },
        "models": {
            "m": {
                "route": ["main/x"],
                "retry": {"attempts": 1},
                "limit": {"rate": 1.0},
                "timeout": {"gap": None},
            }
        },
        "catalog": {"main/x": {"like": "openai/gpt-5-mini"}},
        "observe": {"log": "off"},
    }
    at = data
    while True:
        key = draw(st.sampled_from(sorted(at)))
        if not isinstance(at[key], dict) or draw(st.booleans()):
            at[key] = draw(ANY)
            return data
        at = at[key]


@given(nearly_right())
def test_one_wrong_value_never_breaks_the_check(data: Any) -> None:
    settings, problems = check(data)
    assert (settings is None) == bool(problems)
    if settings is not None:
        assert msgspec.json.encode(settings)
