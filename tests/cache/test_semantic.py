"""Similar questions: off unless asked for, apart by tenant and all else, guarded, and never in the way of a call."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.cache.samples import CHAT_ANSWER, CHAT_PIECES, ask, asked, listened, lookups, run, stream
from tests.models.raw_server import serve
from tests.models.upstreams import model_at, play
from tidyllm import clock
from tidyllm.cache import AnswerCache, MemoryCache, Similar
from tidyllm.core import Step, step
from tidyllm.errors import ConfigError
from tidyllm.models import Image, Message, Request, Text
from tidyllm.testing import scripted

ONE, OTHER, FAR = "What is the capital of France?", "Tell me the capital of France.", "How tall is Everest?"


_SIGNS = str.maketrans("?.,:", "    ")


def letters(texts: Sequence[str]) -> list[list[float]]:
    """Vectors that are near where texts share words, and depend on nothing else."""
    vectors: list[list[float]] = []
    for text in texts:
        vector = [0.01] * 64
        for word in text.lower().translate(_SIGNS).split():
            if len(word) > 4:
                vector[sum(word.encode()) % 64] += 1
        vectors.append(vector)
    return vectors


def numbered(*replies: str) -> Step[Any, Any]:
    return scripted(*(replies or ("1", "2", "3", "4")))


async def test_without_it_other_words_are_another_question() -> None:
    cached = AnswerCache(numbered())
    assert [(await ask(cached, text)).text for text in (ONE, OTHER)] == ["1", "2"]


async def test_a_question_in_other_words_gets_the_kept_answer_and_says_so() -> None:
    similar = Similar(letters)
    cached = AnswerCache(numbered(), similar=similar)
    ctx, heard = listened()
    answers = [await ask(cached, text, ctx) for text in (ONE, OTHER, FAR, OTHER)]
    assert [one.text for one in answers] == ["1", "1", "2", "1"]
    assert [one.cached for one in answers] == [False, True, False, True]
    assert lookups(heard) == ["miss", "similar", "miss", "similar"]
    assert (similar.asked, similar.near, similar.rejection_rate, cached.counts.similar) == (4, 2, 0.0, 2)


async def test_the_guards_refuse_and_the_rate_tells_how_often() -> None:
    similar = Similar(letters)
    cached = AnswerCache(numbered(), similar=similar)
    for text in ("Dosage of aspirin: 5 mg?", "Dosage of aspirin: 50 mg?", "Dosage of aspirin, not 5 mg?"):
        await ask(cached, text)
    assert cached.counts.misses == 3
    assert (similar.near, similar.rejected, similar.rejection_rate) == (2, 2, 1.0)
    assert sum(similar.rejections.values()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"system": "Answer in French."},
        {"temperature": 0.1},
        {"messages": (Message.user("Be short."), Message.assistant("Yes."), Message.user(OTHER))},
        {"messages": (Message.user(Image(url="https://x/y.png"), Text(text=OTHER)),)},
        {"metadata": {"rollout_id": "2"}},
        {"tools": ()},
    ],
)
async def test_everything_but_the_last_text_must_be_equal(changes: dict[str, Any]) -> None:
    cached = AnswerCache(numbered(), similar=Similar(letters))
    await ask(cached, Request(ONE))
    answer = await ask(cached, msgspec.structs.replace(Request(OTHER), **changes))
    assert answer.cached == (changes == {"tools": ()})


async def test_tenants_are_apart() -> None:
    cached = AnswerCache(numbered(), similar=Similar(letters))
    texts = [
        (await ask(cached, text, run(tenant=name))).text
        for name, text in (("a", ONE), ("b", OTHER), ("a", OTHER))
    ]
    assert texts == ["1", "2", "1"]


async def test_requests_passed_on_and_streams_are_answered_too_each_by_its_kind() -> None:
    async with serve(play(CHAT_ANSWER, CHAT_PIECES)) as server:
        cached = AnswerCache(model_at(server), similar=Similar(letters))
        for text in (ONE, OTHER):
            await ask(cached, asked(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}]))
        for text in (ONE, OTHER):
            call = asked(messages=[{"role": "user", "content": text}], stream=True)
            pieces = await stream(cached, call)
    assert len(server.requests) == 2
    assert cached.join(pieces).cached
    assert cached.counts.similar == 2


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "assistant", "content": ONE}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}],
        [{"role": "user", "content": "  "}],
        [{"role": "user", "content": "x" * 4001}],
        ["odd"],
        [{"role": "user", "content": ["odd"]}],
    ],
)
async def test_requests_that_end_in_no_question_are_not_looked_up(messages: list[Any]) -> None:
    similar = Similar(letters)
    async with serve(play(CHAT_ANSWER)) as server:
        await ask(AnswerCache(model_at(server), similar=similar), asked(messages=messages))
    assert similar.asked == 0


async def raising(texts: Sequence[str]) -> list[list[float]]:
    raise RuntimeError("no GPU")


async def hanging(texts: Sequence[str]) -> list[list[float]]:
    await clock.sleep(60)
    return []


@pytest.mark.parametrize(
    "given", [raising, hanging, [], [[]], [[0.0, 0.0]], [[math.nan, 1.0]], [["a"]], None, [[1.0], [1.0]]]
)
async def test_an_embedder_that_fails_is_counted_and_breaks_nothing(
    given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def give(texts: Sequence[str]) -> Any:
        return given

    embed: Any = given if callable(given) else give
    similar = Similar(embed, embed_seconds=0.05)
    cached = AnswerCache(numbered(), similar=similar)
    with caplog.at_level(logging.WARNING, "tidyllm.cache"):
        texts = [(await ask(cached, text)).text for text in (ONE, OTHER, ONE)]
    assert texts == ["1", "2", "1"]
    assert similar.failures == 2
    assert caplog.text.count("the embedder of a cache failed") == 1
    assert "France" not in caplog.text


async def test_a_step_can_be_the_embedder() -> None:
    similar = Similar(step(letters, name="letters"))
    cached = AnswerCache(numbered(), similar=similar)
    assert [(await ask(cached, text)).text for text in (ONE, OTHER)] == ["1", "1"]


async def test_a_near_question_whose_answer_is_gone_is_asked_anew() -> None:
    store, similar = MemoryCache(), Similar(letters)
    cached = AnswerCache(numbered(), store=store, similar=similar)
    await ask(cached, ONE)
    await store.clear()
    assert (await ask(cached, OTHER)).text == "2"
    assert len(similar) == 1


async def test_questions_are_forgotten_beyond_the_bound() -> None:
    similar = Similar(letters, max_entries=20)
    cached = AnswerCache(scripted(lambda request: "x"), similar=similar)
    for number in range(50):
        await ask(cached, f"Question {number}", run(tenant=str(number % 3)))
    assert len(similar) == 20


async def test_an_embedder_of_another_length_starts_anew() -> None:
    size = [3]
    similar = Similar(lambda texts: [[1.0] * size[0] for _ in texts])
    cached = AnswerCache(numbered(), similar=similar)
    await ask(cached, ONE)
    size[0] = 5
    assert [(await ask(cached, text)).text for text in (OTHER, FAR)] == ["2", "3"]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threshold": 0.94}, "threshold"),
        ({"threshold": 1.01}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
        ({"threshold": -0.1, "allow_low_threshold": True}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"max_entries": 0}, "max_entries"),
        ({"embed_seconds": 0}, "embed_seconds"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"Similar.{field}"):
        Similar(letters, **options)


def test_a_low_threshold_is_taken_from_who_asks_for_it() -> None:
    assert Similar(letters, threshold=0.8, allow_low_threshold=True).threshold == 0.8
    with pytest.raises(ConfigError, match="allow_low_threshold=True takes that risk"):
        Similar(letters, threshold=0.8)
