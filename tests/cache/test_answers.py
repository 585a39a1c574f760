"""Answers of models that are used again: marked, told to hooks, kept apart by all that matters, and only good ones."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.cache.samples import CHAT_ANSWER, CHAT_PIECES, ask, asked, listened, lookups, run, stream
from tests.models.raw_server import serve
from tests.models.upstreams import CHAT, CHAT_STREAM, json_body, model_at, play, stream_head
from tests.models.upstreams import frames as chunks
from tidyllm.cache import AnswerCache, MemoryCache
from tidyllm.core import CacheLookup, Context, Step
from tidyllm.errors import BadRequest, ConfigError, ModelError, NotCached, StreamInterrupted
from tidyllm.models import Request, Response
from tidyllm.models.forward import Forwarded
from tidyllm.models.piece import Start
from tidyllm.testing import FakeClock, scripted

COST = Decimal("0.002")
"""Of an answer of the server: 1,000 tokens in for $1 a million, 100 out for $10."""


QUESTION: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}


class City(msgspec.Struct):
    name: str


async def test_an_equal_request_is_answered_once_and_the_second_answer_says_so() -> None:
    async with serve(play(CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        ctx, heard = listened()
        first, second = await ask(cached, "Hi", ctx), await ask(cached, "Hi", ctx)
    assert len(server.requests) == 1
    assert (first.cached, first.cost_usd, first.saved_usd) == (False, COST, None)
    assert (second.cached, second.cost_usd, second.saved_usd) == (True, 0, COST)
    assert msgspec.structs.replace(second, cached=False, cost_usd=COST, saved_usd=None) == first
    assert lookups(heard) == ["miss", "hit"]
    hit: CacheLookup = heard.of(CacheLookup)[-1]
    assert (hit.saved_usd, hit.attributes["input_tokens"], hit.attributes["provider"]) == (COST, 1000, "up")
    assert (cached.counts.hits, cached.counts.misses, cached.counts.saved_usd) == (1, 1, COST)


async def test_a_request_passed_on_is_answered_byte_for_byte() -> None:
    async with serve(play(CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        answers = [await ask(cached, asked()) for _ in range(3)]
    assert len(server.requests) == 1
    assert all(isinstance(one, Forwarded) for one in answers)
    assert len({one.body for one in answers}) == 1
    assert [one.saved_usd for one in answers] == [None, COST, COST]


async def test_a_stream_is_kept_and_given_again_as_the_same_pieces() -> None:
    async with serve(play(CHAT_PIECES)) as server:
        cached = AnswerCache(model_at(server))
        calls = asked(stream=True), asked(stream=True)
        first, second = [await stream(cached, call) for call in calls]
    assert len(server.requests) == 1
    assert [one.data for one in second] == [one.data for one in first]
    whole = cached.join(second)
    assert (whole.cached, whole.cost_usd, whole.saved_usd) == (True, 0, COST)
    assert cached.join(first).cost_usd == COST


async def test_a_stream_in_our_types_is_kept_too_and_apart_from_whole_answers() -> None:
    async with serve(play(CHAT_PIECES, CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        first, second = [await stream(cached, Request("Hi", output="json")) for _ in range(2)]
        whole = await ask(cached, Request("Hi", output="json"))
    assert len(server.requests) == 2
    joined = cached.join(second)
    assert [one.text for one in first] == [one.text for one in second]
    assert (joined.text, joined.cached, joined.saved_usd, joined.output) == ("Hello.", True, COST, "json")
    assert not whole.cached


async def test_the_type_that_was_asked_for_comes_back_with_a_kept_answer() -> None:
    cached = AnswerCache(scripted('{"name":"Rome"}'))
    answers = [await ask(cached, Request("Where?", output=City)) for _ in range(2)]
    assert [one.parsed for one in answers] == [City("Rome"), City("Rome")]


async def test_a_kept_answer_cannot_be_changed_by_who_got_it() -> None:
    async with serve(play(CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        await ask(cached, "Hi")
        (await ask(cached, "Hi")).raw.clear()
        assert (await ask(cached, "Hi")).raw["id"] == "c-1"


async def test_tenants_never_share_and_runs_without_one_share_among_themselves() -> None:
    cached = AnswerCache(scripted("a", "b", "c"))
    texts = [(await ask(cached, "Hi", run(tenant=name))).text for name in ("one", "two", "one", "")]
    assert texts == ["a", "b", "a", "c"]


async def test_who_has_no_tenant_may_be_left_out() -> None:
    cached = AnswerCache(scripted("a", "b"), tenant=lambda ctx: ctx.tags.get("team"))
    assert [(await ask(cached, "Hi")).text for _ in range(2)] == ["a", "b"]
    assert cached.counts.bypassed == 2


async def test_chosen_tags_are_part_of_the_key() -> None:
    cached = AnswerCache(scripted("a", "b", "c"), vary=["persona"])
    runs = [run(), run(persona=""), run(persona="pirate"), run(persona="pirate", other="x")]
    assert [(await ask(cached, "Hi", ctx)).text for ctx in runs] == ["a", "b", "c", "c"]


async def test_what_serves_is_part_of_the_key_in_a_shared_store() -> None:
    store = MemoryCache()
    async with serve(play(CHAT_ANSWER)) as server:
        for name in ("priced", "priced", "other"):
            await ask(AnswerCache(model_at(server, name=name), store=store), "Hi")
    assert len(server.requests) == 2


async def test_an_answer_is_kept_for_its_time_and_no_longer() -> None:
    with FakeClock() as fake:
        cached = AnswerCache(scripted("a", "b"), ttl_seconds=60)
        texts: list[str] = []
        for _ in range(3):
            texts.append((await ask(cached, "Hi")).text)
            fake.advance(31)
    assert texts == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("control", "texts", "outcomes"),
    [
        ("no-store", ["b", "a"], ["bypass", "hit"]),
        ("no-cache", ["b", "b"], ["miss", "hit"]),
        ("max-age=5", ["b", "b"], ["miss", "hit"]),
        ("max-age=50", ["a", "a"], ["hit", "hit"]),
        ("only-if-cached", ["a", "a"], ["hit", "hit"]),
    ],
)
async def test_a_caller_says_what_he_wants_of_the_cache(
    control: str, texts: list[str], outcomes: list[str]
) -> None:
    with FakeClock() as fake:
        cached = AnswerCache(scripted("a", "b"))
        await ask(cached, "Hi")
        fake.advance(10)
        ctx, heard = listened(control=control)
        found = [(await ask(cached, "Hi", ctx)).text]
        plain, also = listened()
        found.append((await ask(cached, "Hi", plain)).text)
    assert found == texts
    assert lookups(heard) + lookups(also) == outcomes


async def test_only_if_cached_refuses_what_is_not_kept_and_sends_nothing() -> None:
    model = scripted("never")
    cached = AnswerCache(model)
    for control in ("only-if-cached", "only-if-cached, no-store", "only-if-cached, no-cache"):
        with pytest.raises(NotCached, match="keeps no answer"):
            await ask(cached, "Hi", run(control=control))
        with pytest.raises(NotCached):
            await stream(cached, "Hi", run(control=control))
    assert not model.requests


async def test_a_malformed_directive_is_refused_by_name() -> None:
    with pytest.raises(BadRequest, match="max-age"):
        await ask(AnswerCache(scripted("a")), "Hi", run(control="max-age=soon"))


async def test_a_stream_obeys_directives_too() -> None:
    cached = AnswerCache(scripted("a", "b", "c"))
    await stream(cached, "Hi")
    texts = [
        "".join(p.text for p in await stream(cached, "Hi", run(control=word)))
        for word in ("no-store", "no-cache", "")
    ]
    assert texts == ["b", "c", "c"]


async def test_errors_are_not_kept() -> None:
    failing = json_body({"error": {"message": "no"}}, status="500 Oops")
    async with serve(play(failing, CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        with pytest.raises(ModelError):
            await ask(cached, "Hi")
        assert (await ask(cached, "Hi")).text == "Hello."
    assert (cached.counts.kept, len(server.requests)) == (1, 2)


@pytest.mark.parametrize("reason", ["content_filter", "brand_new_reason", None])
async def test_answers_that_did_not_end_well_are_not_kept(reason: str | None) -> None:
    choices = [{**CHAT["choices"][0], "finish_reason": reason}]
    async with serve(play(json_body({**CHAT, "choices": choices}))) as server:
        cached = AnswerCache(model_at(server))
        for _ in range(2):
            await ask(cached, asked())
            await ask(cached, "Hi")
    assert len(server.requests) == 4
    assert cached.counts.kept == 0


async def test_a_stream_that_was_cut_is_not_kept() -> None:
    cut = stream_head() + chunks(*CHAT_STREAM[:1], end=False)
    async with serve(play(cut, CHAT_PIECES)) as server:
        cached = AnswerCache(model_at(server))
        with pytest.raises(StreamInterrupted):
            await stream(cached, "Hi")
        await stream(cached, "Hi")
    assert len(server.requests) == 2


@pytest.mark.parametrize("field", [{"conversation": "c"}, {"background": True}, {"container": {"id": "x"}}])
async def test_what_acts_on_the_providers_side_is_always_sent(field: dict[str, Any]) -> None:
    async with serve(play(CHAT_ANSWER)) as server:
        cached = AnswerCache(model_at(server))
        for _ in range(2):
            await ask(cached, asked(**field))
        await ask(cached, asked({**QUESTION, **dict.fromkeys(field)}))
        await ask(cached, asked({**QUESTION, **dict.fromkeys(field)}))
    assert len(server.requests) == 3


async def test_embeddings_are_kept() -> None:
    body = {"object": "list", "data": [{"embedding": [0.1]}], "model": "e", "usage": {"prompt_tokens": 3}}
    async with serve(play(json_body(body))) as server:
        cached = AnswerCache(model_at(server))
        for _ in range(2):
            await ask(cached, asked({"model": "e", "input": "x"}, "openai_embeddings"))
    assert len(server.requests) == 1


async def test_an_answer_that_is_too_large_is_passed_on_and_not_kept() -> None:
    cached = AnswerCache(scripted("x" * 500, "y" * 500, "z" * 500, "z" * 500), max_entry_bytes=300)
    assert [(await ask(cached, "Hi")).text[0] for _ in range(2)] == ["x", "y"]
    assert [len(cached.join(await stream(cached, "Hi")).text) for _ in range(2)] == [500, 500]
    assert (cached.counts.kept, cached.counts.not_kept) == (0, 4)


class Broken(MemoryCache):
    """Gives out other bytes than it got."""

    def peek(self, key: bytes) -> bytes | None:
        kept = super().peek(key)
        return None if kept is None else kept[:-1] + bytes([kept[-1] ^ 1])


async def test_a_corrupt_entry_is_a_miss_and_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    cached = AnswerCache(scripted("a", "b"), store=Broken())
    with caplog.at_level(logging.WARNING, "tidyllm.cache"):
        texts = [(await ask(cached, "Hi")).text for _ in range(2)]
    assert texts == ["a", "b"]
    assert cached.counts.corrupt == 1
    assert "is corrupt and taken for a miss: its checksum is wrong" in caplog.text
    assert "Hi" not in caplog.text


async def test_an_entry_of_another_shape_is_a_miss() -> None:
    store, model = MemoryCache(), scripted("a", "b")
    cached = AnswerCache(model, store=store)
    await ask(cached, "Hi")
    (key,) = store._kept  # pyright: ignore[reportPrivateUsage] - there is no door for what tests break
    from tidyllm.cache.entry import Entry

    good = Entry.open(key, store.peek(key) or b"")
    for entry in (msgspec.structs.replace(good, kind="pieces"), msgspec.structs.replace(good, body=b"\xc1")):
        store.keep(key, entry.seal(key), expires_at=10e9)
        with pytest.raises(NotCached):
            await ask(cached, "Hi", run(control="only-if-cached"))
    assert cached.counts.corrupt == 2


async def test_what_an_inner_cache_kept_is_not_kept_twice() -> None:
    with FakeClock() as fake:
        inner = AnswerCache(scripted("a", "b"), ttl_seconds=60)
        await ask(inner, "Hi")
        fake.advance(50)
        outer = AnswerCache(inner, ttl_seconds=60)
        texts = [(await ask(outer, "Hi")).text]
        fake.advance(20)
        texts.append((await ask(outer, "Hi")).text)
    assert texts == ["a", "b"]


async def test_what_is_no_request_gets_the_models_own_error() -> None:
    with pytest.raises(BadRequest, match="a model got a int"):
        await ask(AnswerCache(scripted("a")), 5)


class Odd(Step[Any, Any]):
    """Answers what no model answers."""

    async def invoke(self, x: Any, ctx: Context) -> Any:
        return object()


async def test_an_answer_that_cannot_be_written_is_passed_on() -> None:
    odd: Any = Odd()
    cached = AnswerCache(odd)
    assert type(await ask(cached, "Hi")) is object
    assert [type(one) for one in await stream(cached, "Hi")] == [object]
    assert cached.counts.not_kept == 2


async def test_a_hit_of_a_stream_is_marked_in_its_first_piece() -> None:
    cached = AnswerCache(scripted("a"))
    await stream(cached, "Hi")
    start = (await stream(cached, "Hi"))[0]
    assert isinstance(start, Start)
    assert start.served is not None
    assert start.served.cached


@pytest.mark.parametrize(
    "options",
    [
        {"ttl_seconds": 0},
        {"ttl_seconds": float("nan")},
        {"ttl_seconds": True},
        {"max_entry_bytes": 0},
        {"vary": "tag"},
    ],
)
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"AnswerCache.{next(iter(options))}"):
        AnswerCache(scripted("a"), **options)


def test_it_reads_like_what_it_wraps() -> None:
    cached = AnswerCache(scripted("a"), ttl_seconds=60)
    assert (cached.name, repr(cached)) == ("scripted", "AnswerCache(model('scripted'), 60)")
    assert cached.joins_like is cached.inner.joins_like


def test_a_response_says_by_default_that_it_was_not_kept() -> None:
    assert (Response().cached, Response().saved_usd) == (False, None)
