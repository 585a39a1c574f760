"""`Fallback`: which error moves on to the next target, and which one is raised in the end."""

from __future__ import annotations

from typing import Any

import pytest

from tests.resilience.doubles import Events, Jumps, Script, collect, overloaded
from tidyllm.core import Context, FellBack, Step, step
from tidyllm.errors import (
    AuthError,
    BadRequest,
    BreakerOpen,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    LimitExceeded,
    Overloaded,
    StepError,
    StreamInterrupted,
    TimeoutExceeded,
    Unreachable,
)
from tidyllm.resilience import Fallback


def open_breaker(name: str = "b") -> BreakerOpen:
    return BreakerOpen(name, failures=5, window=30, retry_after=5)


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (overloaded(), True),
        (open_breaker(), True),
        (AuthError("key"), True),
        (ContentRefused("no"), True),
        (ContextTooLong("long"), True),
        (TimeoutExceeded("total", 5, what="step"), True),
        (ValueError("a bug of one target"), True),
        (BadRequest("no", field="n"), False),
        (TimeoutExceeded("deadline", 5, what="step"), False),
        (StepError("rule"), False),
        (ConfigError("file"), False),
        (StreamInterrupted("cut"), False),
    ],
)
async def test_the_next_target_is_tried_when_it_can_help(error: Exception, helps: bool) -> None:
    second = Script("answer")
    stack = Fallback(Script(error), second)
    if helps:
        assert await stack("x") == "answer"
    else:
        with pytest.raises(type(error)) as caught:
            await stack("x")
        assert caught.value is error
    assert second.calls == helps


async def test_targets_are_tried_in_order_and_hooks_hear_of_it() -> None:
    heard, first, second = Events(), overloaded("one"), AuthError("two")
    stack = Fallback(Script(first, name="a"), Script(second, name="b"), Script("answer", name="c"))
    assert await Context.new(hooks=(heard,)).call(stack, "x") == "answer"
    assert [(e.source, e.target, e.error) for e in heard.of(FellBack)] == [
        ("a", "b", first),
        ("b", "c", second),
    ]


def is_value_error(error: Exception) -> bool:
    return isinstance(error, ValueError)


@pytest.mark.parametrize("on", [ValueError, (ValueError, KeyError), is_value_error])
async def test_the_caller_may_say_which_errors(on: Any) -> None:
    assert await Fallback(Script(ValueError("v")), Script("answer"), on=on)("x") == "answer"
    with pytest.raises(Overloaded):
        await Fallback(Script(overloaded()), Script("answer"), on=on)("x")


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([overloaded("one"), AuthError("two")], 0),
        ([AuthError("one"), overloaded("two")], 1),
        ([overloaded("one"), Unreachable("two")], 1),
        ([overloaded("one"), LimitExceeded("two", retry_after=1)], 0),
        ([AuthError("one"), LimitExceeded("two", retry_after=1)], 1),
        ([AuthError("one"), open_breaker()], 0),
        ([open_breaker("one"), open_breaker("two")], 1),
        ([ConnectionError("one"), ValueError("two")], 0),
        ([overloaded("one"), BadRequest("two")], 1),
    ],
)
async def test_when_all_fail_the_most_useful_error_is_raised(errors: list[Exception], raised: int) -> None:
    """What may pass comes before what will not, a target's word before our refusals; what cannot help ends it."""
    with pytest.raises(type(errors[raised])) as caught:
        await Fallback(*(Script(error) for error in errors))("x")
    assert caught.value is errors[raised]


async def test_its_notes_name_each_target_and_its_error() -> None:
    stack = Fallback(Script(overloaded("too much"), name="main"), Script(ValueError("no"), name="spare"))
    with pytest.raises(Overloaded) as caught:
        await stack("x")
    assert caught.value.__notes__ == [
        "'main' failed with Overloaded: too much",
        "'spare' failed with ValueError: no",
    ]


async def test_one_target_alone_passes_its_error_untouched() -> None:
    error = overloaded()
    with pytest.raises(Overloaded) as caught:
        await Fallback(Script(error))("x")
    assert not hasattr(caught.value, "__notes__")


async def test_a_stream_that_breaks_before_its_first_piece_moves_on_unseen(time: Jumps) -> None:
    cut = StreamInterrupted("cut at once")
    assert await time.run(collect(Fallback(Script(cut), Script(["an", "swer"])), "x")) == ["an", "swer"]
    with pytest.raises(StreamInterrupted):
        await time.run(collect(Fallback(Script(cut), Script("answer"), on=ValueError), "x"))


async def test_a_second_target_that_breaks_gives_its_own_part(time: Jumps) -> None:
    stack = Fallback(Script(overloaded()), Script(["an", "sw", overloaded("cut")]), Script("unused"))
    with pytest.raises(StreamInterrupted) as caught:
        await time.run(collect(stack, "x"))
    assert caught.value.partial == "answ"


async def test_a_stream_of_which_all_targets_fail_raises_the_most_useful_error(time: Jumps) -> None:
    with pytest.raises(Overloaded) as caught:
        await time.run(collect(Fallback(Script(overloaded()), Script(AuthError("key"))), "x"))
    assert len(caught.value.__notes__) == 2


async def test_calls_of_a_later_target_have_places_of_their_own() -> None:
    script = Script(overloaded(), "answer")

    @step
    async def ask(x: str) -> str:
        return await script(x)

    await Context.new(hooks=()).call(Fallback(ask, ask), "x", name="call")
    assert [ctx.path for ctx in script.contexts] == [("call", "script"), ("call", "fallback", "script")]


class Lines(Script):
    """Joins its pieces in another way."""

    def join(self, pieces: Any) -> Any:
        return "\n".join(pieces)

    def split(self, answer: Any) -> Any:
        return answer.split("\n")

    @property
    def joins_like(self) -> object:
        return Lines


def test_targets_that_join_alike_join_and_split_as_one() -> None:
    alike: Step[Any, Any] = Fallback(Lines("a"), Lines("b"))
    mixed: Step[Any, Any] = Fallback(Lines("a"), Script("b"))
    assert alike.join(["a", "b"]) == "a\nb"
    assert alike.split("a\nb") == ["a", "b"]
    assert alike.joins_like is Lines
    assert (mixed.split("a\nb"), mixed.joins_like) == (["a\nb"], mixed)
    for pieces in (["a"], ["a", "b"]):  # even one piece may be part of something larger
        with pytest.raises(StepError, match="in different ways"):
            mixed.join(pieces)


def test_a_fallback_needs_a_target() -> None:
    with pytest.raises(ConfigError, match="needs at least one step"):
        Fallback()


def test_its_name_and_print_tell_the_targets() -> None:
    stack = Fallback(Script("a", name="main"), Script("b", name="spare"), on=(ValueError,))
    assert stack.name == "Fallback(main, spare)"
    assert repr(stack) == "Fallback(main, spare, on=(ValueError,))"
    assert repr(stack.named("fast")) == repr(Fallback(*stack.steps, on=stack.on, name="fast"))
    assert repr(stack.named("fast")).endswith(").named('fast')")
