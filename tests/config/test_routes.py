"""Routes built from settings: the same steps for the library, the command line and the gateway."""

from __future__ import annotations

import doctest
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tidyllm
from tests.models.raw_server import Connection, serve
from tests.models.upstreams import CHAT, chat_chunk, frames, json_body, play, stream_head
from tidyllm import clock
from tidyllm.config import Route, Routes, Settings
from tidyllm.config.check import check
from tidyllm.errors import (
    BreakerOpen,
    ConfigError,
    LimitExceeded,
    ModelNotFound,
    Overloaded,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
)
from tidyllm.models import factory
from tidyllm.testing import FakeClock

OFFLINE = {"main": {"kind": "offline"}, "spare": {"kind": "offline"}}


def settings(**data: Any) -> Settings:
    found, problems = check({"providers": OFFLINE, **data})
    assert found is not None, problems
    return found


def routes(**models: Any) -> Routes:
    return Routes(settings(models=models))


def test_a_route_is_built_of_guarded_targets_under_one_deadline() -> None:
    route = {
        "route": ["main/a", "spare/b"],
        "deadline": 120,
        "retry": {"attempts": 2, "base": 0.5, "cap": 4},
        "timeout": {"total": 60, "first_piece": 15, "gap": 10},
        "breaker": {"failures": 4, "window": 20, "cooldown": 5},
        "limit": {"concurrency": 3, "max_wait": 1},
    }
    tries = "attempts=2, base=0.5, cap=4.0"
    clocks = "total=60.0, first_piece=15.0, gap=10.0"
    breaker = "failures=4, window=20.0, cooldown=5.0"
    targets = [
        f"Retry(CircuitBreaker(Timeout(model({name!r}), {clocks}), {breaker}, name={name!r}), {tries}{wait})"
        for name, wait in (("main/a", ", longest_wait=1.0"), ("spare/b", ""))
    ]
    limited = (
        f"Limit(Fallback({', '.join(targets)}), limiter=Limiter(concurrency=3, name='fast'), max_wait=1.0)"
    )
    assert (
        repr(routes(fast=route)["fast"])
        == f"Timeout({limited}, total=120.0, setting='deadline').named('fast')"
    )


def test_what_is_turned_off_is_not_there() -> None:
    off = {"route": ["main/a"], "deadline": None, "timeout": {"total": None, "gap": None}}
    assert repr(routes(x=off)["x"]) == "Retry(CircuitBreaker(model('main/a'), name='main/a')).named('x')"


def test_a_route_is_called_by_its_name() -> None:
    found = routes(fast={"route": ["main/echo", "spare/echo"]})
    assert found["fast"].name == "fast"
    assert found["fast"].run_sync("Hi").text == "Hi"
    assert list(found) == ["fast"]
    assert len(found) == 1
    assert [type(route) for route in found.routes()] == [Route]
    assert [target.name for target in found.find("fast").targets] == ["main/echo", "spare/echo"]


async def test_the_next_target_answers_when_one_fails() -> None:
    found = routes(fast={"route": ["main/fail", "spare/echo"], "retry": {"base": 0}})
    assert (await found["fast"]("Hi")).provider == "spare"
    joined = found["fast"].join([piece async for piece in found["fast"].stream("Hi")])
    assert (joined.text, joined.provider) == ("Hi", "spare")


@pytest.mark.parametrize(("longest", "waited"), [({}, 0), ({"longest_wait": 5}, 2)])
async def test_an_idle_target_is_asked_at_once_when_the_first_one_wants_a_pause(
    longest: dict[str, int], waited: int
) -> None:
    busy = json_body({"error": {"message": "slow down"}}, "retry-after: 2", status="429 Too Many Requests")
    async with serve(play(busy)) as server:
        main = {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": "x" * 20}
        providers = {"main": main, "spare": {"kind": "offline"}}
        models = {"x": {"route": ["main/a", "spare/echo"], "retry": {"attempts": 2, "base": 0, **longest}}}
        with FakeClock(autojump=True, threshold=0.5):
            began = clock.monotonic()
            assert (await Routes(settings(providers=providers, models=models))["x"]("Hi")).text == "Hi"
            assert clock.monotonic() - began == pytest.approx(waited)
    assert len(server.requests) == (2 if waited else 1)


async def test_the_deadline_holds_over_all_attempts() -> None:
    with FakeClock(autojump=True):
        found = routes(x={"route": ["main/stall", "spare/stall"], "deadline": 7, "timeout": {"total": 5}})
        with pytest.raises(TimeoutExceeded):
            await found["x"]("Hi")
        assert clock.monotonic() == pytest.approx(1007)


async def test_a_stream_cut_by_the_deadline_tells_what_had_come_and_which_setting_cut_it() -> None:
    async def halting(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(chat_chunk("Once"), end=False))
        await connection.left()

    async with serve(halting) as server:
        service = {
            "main": {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": "x" * 20}
        }
        found = Routes(settings(providers=service, models={"x": {"route": ["main/a"], "deadline": 0.2}}))
        with pytest.raises(StreamInterrupted, match=r"\(deadline\)") as caught:
            async for _ in found["x"].stream("Hi"):
                pass
    assert caught.value.partial.text == "Once"
    assert isinstance(caught.value.__cause__, TimeoutExceeded)


# -- names


def test_patterns_take_what_they_match() -> None:
    found = routes(
        **{
            "main/*": {"route": ["main/*"]},
            "*": {"route": ["spare/any"]},
            "main/gpt-*-x": {"route": ["spare/gpt-*"]},
            "exact": {"route": ["main/exact"]},
        }
    )
    assert found.patterns == ("main/gpt-*-x", "main/*", "*")
    targets = {
        name: found.find(name).targets[0].name for name in ("main/echo", "main/gpt-5-x", "other", "exact")
    }
    assert targets == {
        "main/echo": "main/echo",
        "main/gpt-5-x": "spare/gpt-5",
        "other": "spare/any",
        "exact": "main/exact",
    }
    assert found.find("main/echo") is found.find("main/echo")
    assert list(found) == ["exact"]


def test_a_pattern_never_matches_with_nothing() -> None:
    found = routes(**{"main/*": {"route": ["main/*"]}})
    with pytest.raises(ModelNotFound):
        found.find("main/")


def test_an_unknown_name_is_told_near_ones() -> None:
    found = routes(fast={"route": ["main/a"]}, faster={"route": ["main/b"]})
    with pytest.raises(
        ModelNotFound, match=r"there is no model 'fats' here. Near ones are fast, faster\."
    ) as caught:
        found.find("fats")
    assert caught.value.field == "model"
    with pytest.raises(KeyError, match="Near ones are fast"):
        _ = found["fats"]
    assert "fats" not in found
    with pytest.raises(ModelNotFound, match="No models are configured"):
        routes().find("x")


def test_names_that_callers_make_up_take_neither_memory_nor_time() -> None:
    found = routes(**{"*": {"route": ["main/*"]}})
    with pytest.raises(ModelNotFound) as caught:
        found.find("x" * 10_000_000)
    assert len(str(caught.value)) < 500
    for n in range(1_100):
        found.find(f"name-{n}")
    assert len(found._matched) == 1_000  # pyright: ignore[reportPrivateUsage] - nothing else shows it


# -- circuit breakers and limits: what they learned is shared


async def fail(step: Any) -> type[TidyllmError]:
    with pytest.raises(TidyllmError) as caught:
        await step("Hi")
    return type(caught.value)


ONCE = {"retry": {"attempts": 1}}


async def test_routes_to_one_target_share_what_they_learn_of_it() -> None:
    found = routes(
        a={"route": ["main/fail"], "breaker": {"failures": 2}, **ONCE},
        b={"route": ["main/fail"], "breaker": {"failures": 2}, **ONCE},
    )
    assert [await fail(found[name]) for name in "aba"] == [Overloaded, Overloaded, BreakerOpen]


async def test_a_route_with_other_settings_counts_for_itself() -> None:
    found = routes(
        a={"route": ["main/fail"], "breaker": {"failures": 1}, **ONCE},
        b={"route": ["main/fail"], "breaker": {"failures": 2}, **ONCE},
        c={"route": ["main/fail"], "breaker": {"failures": 1}, **ONCE},
    )
    assert [await fail(found[name]) for name in "abcb"] == [Overloaded, Overloaded, BreakerOpen, Overloaded]
    with pytest.raises(BreakerOpen, match=r"'main/fail \(b\)'"):
        await found["b"]("Hi")


async def test_two_configurations_share_nothing() -> None:
    one = routes(a={"route": ["main/fail"], "breaker": {"failures": 1}, **ONCE})
    two = routes(a={"route": ["main/fail"], "breaker": {"failures": 1}, **ONCE})
    assert [await fail(one["a"]), await fail(two["a"]), await fail(one["a"])] == [
        Overloaded,
        Overloaded,
        BreakerOpen,
    ]


async def test_a_reload_keeps_the_state_of_what_did_not_change() -> None:
    rule = {"route": ["main/fail"], "breaker": {"failures": 1, "cooldown": 60}, **ONCE}
    before = settings(models={"a": rule, "b": {**rule, "route": ["spare/fail"]}})
    first = Routes(before)
    assert [await fail(first[name]) for name in "ab"] == [Overloaded, Overloaded]
    changed = {**rule, "route": ["spare/fail"], "breaker": {"failures": 1, "cooldown": 30}}
    second = Routes(settings(models={"a": rule, "b": changed}), earlier=first)
    assert [await fail(second[name]) for name in "ab"] == [BreakerOpen, Overloaded]


async def test_a_reload_keeps_a_limit_that_did_not_change() -> None:
    limited = {"route": ["main/echo"], "limit": {"rate": 1, "burst": 1, "max_wait": 0}}
    with FakeClock():
        first = Routes(settings(models={"a": limited, "b": limited, "c": limited}))
        for name in "abc":
            await first[name]("Hi")
        wider = {**limited, "limit": {"rate": 2, "burst": 1, "max_wait": 0}}
        second = Routes(settings(models={"a": limited, "b": wider}), earlier=first)
        with pytest.raises(LimitExceeded):
            await second["a"]("Hi")
        await second["b"]("Hi")


async def test_names_that_match_one_pattern_share_its_limit() -> None:
    found = routes(**{"x-*": {"route": ["main/*"], "limit": {"rate": 1, "burst": 1, "max_wait": 0}}})
    with FakeClock():
        await found["x-echo"]("Hi")
        with pytest.raises(LimitExceeded, match="x-"):
            await found["x-simulated"]("Hi")


# -- providers, prices, secrets


async def test_what_the_catalogue_is_told_of_a_target_is_its_price() -> None:
    async with serve(play(json_body(CHAT))) as server:
        base = f"http://127.0.0.1:{server.port}/v1"
        found = Routes(
            settings(
                providers={
                    "main": {"kind": "openai", "base_url": base},
                    "openai": {"kind": "openai", "base_url": base},
                },
                models={
                    n: {"route": [t]}
                    for n, t in (("a", "main/x"), ("b", "main/gpt-5-mini"), ("c", "openai/gpt-5-mini"))
                },
                catalog={"main/x": {"prices": {"input": 1, "output": 10}, "context_window_tokens": 8}},
            )
        )
        assert (await found["a"]("Hi")).cost_usd == Decimal("0.002")
        assert (await found["b"]("Hi")).cost_usd is None, "what a proxy asks for is unknown"
        assert (await found["c"]("Hi")).cost_usd is None, "whatever the proxy is called"


def test_a_user_may_correct_the_price_of_a_service() -> None:
    found = Routes(
        settings(
            providers={"main": {"kind": "openai", "api_key": "k"}},
            models={"a": {"route": ["main/gpt-5-mini"]}},
            catalog={"openai/gpt-5-mini": {"like": "openai/gpt-5-mini", "prices": {"input": 9, "output": 9}}},
        )
    )
    info = found.find("a").targets[0].info
    assert info is not None
    assert info.prices is not None
    assert info.prices.input == 9


def test_a_missing_secret_names_the_key_of_the_file() -> None:
    for provider, said in (
        (
            {"kind": "openai", "api_key": "env:TIDY_TEST_UNSET"},
            "providers.main.api_key: environment variable TIDY",
        ),
        (
            {"kind": "openai", "headers": {"x": "env:TIDY_TEST_UNSET"}},
            "providers.main.headers.x: environment",
        ),
        ({"kind": "openai"}, "providers.main: there is no API key for 'main'. Set the OPENAI_API_KEY"),
    ):
        with pytest.raises(ConfigError) as caught:
            Routes(settings(providers={"main": provider}))
        assert str(caught.value).startswith(said)


async def test_secrets_are_sent_where_they_belong() -> None:
    os.environ["TIDY_TEST_KEY"] = "sk-env"
    try:
        async with serve(play(json_body(CHAT))) as server:
            provider = {
                "kind": "openai",
                "base_url": f"http://127.0.0.1:{server.port}/v1",
                "api_key": "env:TIDY_TEST_KEY",
                "headers": {"X-Extra": "env:TIDY_TEST_KEY"},
            }
            found = Routes(settings(providers={"main": provider}, models={"a": {"route": ["main/m"]}}))
            await found["a"]("Hi")
        sent = server.requests[0].headers
        assert (sent["authorization"], sent["x-extra"]) == ("Bearer sk-env", "sk-env")
    finally:
        del os.environ["TIDY_TEST_KEY"]


def test_lenient_is_said_of_a_provider() -> None:
    found = Routes(
        settings(
            providers={"main": {"kind": "offline", "lenient": True}}, models={"a": {"route": ["main/x"]}}
        )
    )
    assert found.find("a").targets[0].lenient


def test_load_reads_and_builds(tmp_path: Path) -> None:
    path = tmp_path / "tidyllm.yaml"
    path.write_text("providers: {o: {kind: offline}}\nmodels: {fast: {route: [o/echo]}}\n")
    (tmp_path / "tidyllm.x.yaml").write_text("models: {fast: {route: [o/simulated]}}\n")
    assert tidyllm.load(path)["fast"].run_sync("Hi").text == "Hi"
    assert "simulated" in tidyllm.load(str(path), env="x")["fast"].run_sync("Hi").text


def test_the_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(factory).failed == 0


def test_a_file_that_is_not_there_is_told_with_what_a_program_can_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file nope\.yaml in /.*load\(\).*tidyllm\.model\("):
        tidyllm.load("nope.yaml")
    with pytest.raises(ConfigError, match=r"there is no file /.*/nope\.yaml\. Give"):
        tidyllm.load(tmp_path / "nope.yaml")


def test_routes_show_their_names_and_not_all_of_very_many() -> None:
    providers = {"main": {"kind": "offline"}}
    few = {"fast": {"route": ["main/echo"]}, "any/*": {"route": ["main/*"]}}
    assert repr(Routes(settings(providers=providers, models=few))) == "<Routes: fast, any/*>"
    many = {f"m{place}": {"route": ["main/echo"]} for place in range(10)}
    shown = repr(Routes(settings(providers=providers, models=many)))
    assert shown == "<Routes: m0, m1, m2, m3, m4, m5, m6, m7, and 2 more>"
    assert repr(Routes(settings())) == "<Routes: none>"
