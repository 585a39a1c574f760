from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import SpanKind
from opentelemetry.trace.status import StatusCode

from tests.observe.events import attempt, call, place
from tidyllm.core import Context, Progress, Retrying, install, step
from tidyllm.errors import ConfigError, Overloaded
from tidyllm.observe import Otel, Recorder, semconv
from tidyllm.resilience import CircuitBreaker, Fallback, Retry


class Memory:
    """A hook with an exporter that keeps what it gets."""

    def __init__(self, *, ratio: float = 1.0, parent_based: bool = True) -> None:
        self.exporter = InMemorySpanExporter()
        self.hook = Otel(SimpleSpanProcessor(self.exporter), ratio=ratio, parent_based=parent_based)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span


@contextmanager
def traced() -> Generator[Memory]:
    memory = Memory()
    remove = install(memory.hook)
    try:
        yield memory
    finally:
        remove()


def ids(span: ReadableSpan) -> tuple[int, int, int]:
    """Trace, span and parent."""
    assert span.context is not None
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else 0


@step
async def a(x: int) -> int:
    return x + 1


@step
async def b(x: int) -> int:
    await asyncio.sleep(0)
    return x


@step
async def c(x: int) -> int:
    return -x


@step
def broken(x: int) -> int:
    raise Overloaded(f"no {x} today; key sk-abcdefgh.")


async def test_a_trace_of_a_sequence_with_branches_is_one_tree() -> None:
    with traced() as memory:
        assert await (a >> (b | c))(1) == (2, -2)
    spans = {span.name: ids(span) for span in memory.spans}
    assert set(spans) == {"a", "b", "c", "b | c", "a >> (b | c)"}
    assert len({trace for trace, _, _ in spans.values()}) == 1
    whole, fork = spans["a >> (b | c)"], spans["b | c"]
    assert whole[2] == 0
    assert spans["a"][2] == fork[2] == whole[1]
    assert spans["b"][2] == spans["c"][2] == fork[1]


async def test_spans_lie_within_the_one_around_them_and_in_our_time() -> None:
    before = time.time_ns()
    with traced() as memory:
        await (a >> b)(1)
    whole = memory.named("a >> b")
    assert whole.start_time is not None
    assert whole.end_time is not None
    for span in memory.spans:
        assert span.start_time is not None
        assert span.end_time is not None
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time
    assert abs(whole.start_time - before) < 60e9


async def test_an_attempt_is_a_client_span_below_its_call() -> None:
    memory = Memory()
    ctx = place("summarise")
    memory.hook(attempt(ctx=ctx, input_tokens=5))
    memory.hook(call(ctx=ctx))
    one, around = memory.named("chat gpt-5.1"), memory.named("summarise")
    assert (one.kind, around.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    assert ids(one) == (ctx.trace_id, 0xABC, ctx.span_id)
    assert one.attributes is not None
    assert one.attributes["gen_ai.usage.input_tokens"] == 5
    assert one.end_time is not None
    assert one.start_time is not None
    assert one.end_time - one.start_time == 500_000_000
    assert one.instrumentation_scope is not None
    assert one.instrumentation_scope.schema_url == semconv.SCHEMA_URL


async def test_a_failure_is_the_status_of_the_span_without_its_keys() -> None:
    with traced() as memory, pytest.raises(Overloaded):
        await broken(1)
    status = memory.named("broken").status
    assert status.status_code is StatusCode.ERROR
    assert (status.description or "").startswith("no 1 today; key ***")


def test_a_cancelled_call_is_no_error() -> None:
    memory = Memory()
    memory.hook(call(error=asyncio.CancelledError()))
    (span,) = memory.spans
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes is not None
    assert span.attributes["error.type"] == "CancelledError"


async def test_retries_fallbacks_and_breakers_are_events_of_the_call() -> None:
    guarded = CircuitBreaker(broken, failures=2, window=60, cooldown=60, name="b")
    with traced() as memory:
        await Fallback(Retry(guarded, attempts=2, base=0.0), a).named("whole")(1)
    events = memory.named("whole").events
    assert [event.name for event in events] == ["retry", "breaker", "fallback"]
    assert all(event.timestamp >= (memory.named("whole").start_time or 0) for event in events)


async def test_a_trace_that_comes_from_outside_goes_on() -> None:
    memory = Memory()
    ctx = Context.new(hooks=(memory.hook,), trace_parent=f"00-{7:032x}-{9:016x}-01")
    await ctx.call(a, 1)
    (span,) = memory.spans
    assert (ids(span)[0], ids(span)[2]) == (7, 9)
    assert span.parent is not None
    assert span.parent.is_remote


async def test_a_trace_that_is_not_sampled_outside_is_not_sampled_here() -> None:
    memory, own = Memory(), Memory(parent_based=False)
    ctx = Context.new(hooks=(memory.hook, own.hook), trace_parent=f"00-{7:032x}-{9:016x}-00")
    await ctx.call(Retry(a), 1)
    assert (len(memory.spans), len(own.spans)) == (0, 1)


@given(st.integers(1, (1 << 128) - 1), st.floats(0, 1))
def test_a_trace_is_kept_exactly_when_opentelemetry_would_keep_it(trace: int, ratio: float) -> None:
    memory = Memory(ratio=ratio)
    memory.hook(call(ctx=place("x", run_id=f"{trace:032x}")))
    verdict = TraceIdRatioBased(ratio).should_sample(None, trace, "x").decision
    assert len(memory.spans) == (verdict is Decision.RECORD_AND_SAMPLE)


async def test_nothing_is_made_of_a_trace_that_is_not_kept() -> None:
    memory = Memory(ratio=0.0)
    remove = install(memory.hook)
    try:
        await Fallback(Retry(broken, attempts=2, base=0.0), a)(1)
        memory.hook(attempt())
    finally:
        remove()
    assert memory.spans == ()


@given(st.integers(1, 2**128 - 1), st.floats(0, 1))
def test_what_is_called_is_told_whether_its_trace_is_kept_here(trace: int, ratio: float) -> None:
    memory = Memory(ratio=ratio)
    ctx = Context.new(run_id=f"{trace:032x}", hooks=(memory.hook,))
    verdict = TraceIdRatioBased(ratio).should_sample(None, trace, "x").decision
    assert ctx.trace_parent.endswith("-01" if verdict is Decision.RECORD_AND_SAMPLE else "-00")


def test_a_trace_that_came_in_keeps_its_flag_whatever_our_ratio() -> None:
    memory = Memory(ratio=0.0)
    for flag in ("00", "01"):
        header = f"00-{'1' * 32}-{'2' * 16}-{flag}"
        assert Context.new(trace_parent=header, hooks=(memory.hook,)).trace_parent.endswith(flag)
    own = Memory(ratio=0.0, parent_based=False).hook
    assert Context.new(trace_parent=f"00-{'1' * 32}-{'2' * 16}-01", hooks=(own,)).trace_parent.endswith("-00")


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_a_ratio_is_between_0_and_1(ratio: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Memory(ratio=ratio)


def test_events_of_calls_that_never_end_are_bounded_and_counted() -> None:
    memory = Memory()
    for _ in range(20_005):
        memory.hook(Retrying(place("x"), "x", 1, Overloaded("busy."), 0.1))
    assert memory.hook.lost_marks == 5


def test_a_resource_of_the_users_own_is_taken() -> None:
    exporter = InMemorySpanExporter()
    hook = Otel(SimpleSpanProcessor(exporter), resource=Resource({"service.name": "mine"}))
    hook(call())
    hook(Progress(place("x"), 1, 2))
    (span,) = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "mine"


def test_a_service_that_nobody_named_is_tidyllm() -> None:
    memory = Memory()
    memory.hook(call())
    assert memory.spans[0].resource.attributes["service.name"] == "tidyllm"


async def test_spans_have_the_ids_of_our_own_records() -> None:
    recorder = Recorder()
    memory = Memory()
    ctx = Context.new(hooks=(memory.hook, recorder))
    await ctx.call(a >> b, 1)
    ours = [(span.trace_id, span.span_id, span.parent_id) for span in recorder.spans]
    assert [ids(span) for span in memory.spans] == ours


def test_closing_ends_the_processor() -> None:
    memory = Memory()
    memory.hook.close()
    memory.hook(call())
    assert memory.spans == ()
