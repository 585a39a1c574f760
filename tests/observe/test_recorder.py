from __future__ import annotations

import gc
import weakref

import pytest

from tests.observe.events import attempt, call
from tidyllm.core import Context, step
from tidyllm.errors import Overloaded
from tidyllm.observe import Recorder, recording
from tidyllm.resilience import CircuitBreaker, Fallback, Retry


@step
def double(x: int) -> int:
    return 2 * x


@step
def broken(x: int) -> int:
    raise Overloaded(f"no {x} today.")


async def test_records_each_call_with_its_place_and_time() -> None:
    with recording() as seen:
        assert await (double >> double)(3) == 12
    assert [span.name for span in seen.calls] == ["double", "double", "double >> double"]
    assert [span.path[-1] for span in seen.calls[:2]] == ["double", "double#2"]
    assert all(span.ended >= span.started and span.error is None for span in seen.spans)
    assert {span.parent_id for span in seen.calls[:2]} == {seen.calls[2].span_id}
    assert len({span.trace_id for span in seen.spans}) == 1


async def test_counts_failures_retries_fallbacks_and_breakers() -> None:
    guarded = CircuitBreaker(broken, failures=3, window=60, cooldown=60, name="of-recorder")
    with recording() as seen:
        await Fallback(Retry(guarded, attempts=3, base=0.0), double)(1)
        with pytest.raises(Overloaded):
            await broken(1)
    counts = seen.counts
    assert (counts.calls, counts.failed_calls, counts.retries, counts.fallbacks) == (2, 1, 2, 1)
    assert counts.breaker_changes == 1


async def test_nothing_is_recorded_after_the_block() -> None:
    with recording() as seen:
        pass
    await double(1)
    assert seen.spans == ()


def test_an_attempt_keeps_what_is_known_of_it() -> None:
    recorder = Recorder()
    recorder(attempt(input_tokens=5, first_piece=100.1, error=Overloaded("busy.")))
    (span,) = recorder.attempts
    assert (span.name, span.error, span.first_piece, span.seconds) == ("gpt-5.1", "Overloaded", 100.1, 0.5)
    assert span.attributes == {"operation": "chat", "provider": "openai", "target": "main", "input_tokens": 5}
    assert span.parent_id == span.ctx.span_id
    assert recorder.counts.failed_attempts == 1


def test_the_oldest_spans_are_lost_first_and_still_counted() -> None:
    recorder = Recorder(size=2)
    for name in ("a", "b", "c"):
        recorder(call(name))
    assert [span.name for span in recorder.spans] == ["b", "c"]
    assert recorder.counts.calls == 3


def test_clearing_forgets_spans_and_counts() -> None:
    recorder = Recorder()
    recorder(call())
    recorder.clear()
    assert (recorder.spans, recorder.counts.calls) == ((), 0)


async def test_the_tree_shows_children_below_their_parents_in_order() -> None:
    with recording() as seen, pytest.raises(Overloaded):
        await (double >> (double.named("left") | broken.named("right")))(1)
    lines = [line.split()[0] for line in seen.tree().splitlines()]
    depths = [len(line) - len(line.lstrip()) for line in seen.tree().splitlines()]
    assert lines[-2:] == ["left", "right"]
    assert depths == [0, 2, 2, 4, 4]
    assert seen.tree().endswith("Overloaded")


def test_a_span_whose_parent_is_lost_stands_at_the_left() -> None:
    recorder = Recorder(size=1)
    ctx = Context.new(hooks=(recorder,)).child("outer").child("inner")
    recorder(call("inner", ctx=ctx))
    assert recorder.tree().startswith("inner  250.000 ms")
    assert repr(recorder.spans[0]) == "<call inner 0.250000 s>"


def test_errors_are_not_kept_alive() -> None:
    recorder = Recorder()
    error = Overloaded("busy.")
    gone = weakref.ref(error)
    recorder(call(error=error))
    del error
    gc.collect()
    assert gone() is None
    assert recorder.calls[0].error == "Overloaded"
