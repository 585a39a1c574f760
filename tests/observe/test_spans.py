from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.observe.collector import Collector, plain
from tests.observe.events import attempt, call, place
from tidyllm.core import Context, step
from tidyllm.errors import ConfigError
from tidyllm.observe import Otel, SpanQueue
from tidyllm.observe.otlp import Exporter

FOREVER = 3600.0


class Gate(SpanExporter):
    """Takes one batch and holds it until it is told to go on."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.taken: list[ReadableSpan] = []
        self.busy, self.go_on = threading.Event(), threading.Event()
        self.closed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken.extend(spans)
        self.busy.set()
        assert self.go_on.wait(20)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.closed += 1


def test_every_span_arrives_or_is_counted_as_lost() -> None:
    gate = Gate()
    lost: list[tuple[int, str]] = []
    queue = SpanQueue(gate, capacity=4, batch=2, delay=FOREVER, on_drop=lambda n, why: lost.append((n, why)))
    hook = Otel(queue)
    for _ in range(2):
        hook(call())
    assert gate.busy.wait(20)  # one batch is on its way and does not wait any more
    for _ in range(7):
        hook(call())
    assert (queue.waiting, queue.dropped, lost) == (4, 3, [(1, "queue_full")] * 3)
    gate.go_on.set()
    queue.shutdown()
    assert (queue.exported, queue.dropped, queue.waiting) == (6, 3, 0)
    assert len(gate.taken) == 6


@pytest.mark.parametrize(
    "result", [SpanExportResult.FAILURE, OSError("no collector")], ids=["refused", "raised"]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_batch_that_cannot_be_sent_is_counted_as_lost(
    result: SpanExportResult | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(result)
    gate.go_on.set()
    queue = SpanQueue(gate, delay=FOREVER)
    with caplog.at_level(logging.WARNING):
        Otel(queue)(call())
        queue.shutdown()
    assert (queue.exported, queue.dropped) == (0, 1)
    assert "1 trace spans were lost so far (export_failed)" in caplog.text


def test_losses_are_told_once_a_minute_not_once_a_span(caplog: pytest.LogCaptureFixture) -> None:
    queue = SpanQueue(InMemorySpanExporter())
    queue.shutdown()
    with caplog.at_level(logging.WARNING, "tidyllm"):
        for _ in range(5):
            Otel(queue)(call())
    assert queue.dropped == 5
    assert len(caplog.records) == 1


def test_ending_does_not_wait_for_a_collector_that_hangs() -> None:
    gate = Gate()
    queue = SpanQueue(gate, batch=2, delay=FOREVER, grace=0.05)
    hook = Otel(queue)
    for _ in range(2):
        hook(call())
    assert gate.busy.wait(20)
    hook(call())
    hook.close()
    assert (queue.exported, queue.dropped, gate.closed) == (0, 3, 1)
    gate.go_on.set()
    hook.close()


def test_a_flush_sends_what_waits() -> None:
    memory = InMemorySpanExporter()
    queue = SpanQueue(memory, delay=FOREVER)
    Otel(queue)(call())
    assert queue.force_flush()
    assert len(memory.get_finished_spans()) == queue.exported == 1
    queue.shutdown()


@pytest.mark.parametrize("setting", ["capacity", "batch", "delay"])
def test_numbers_that_make_no_queue_are_refused(setting: str) -> None:
    settings: dict[str, Any] = {setting: 0}
    with pytest.raises(ConfigError, match=f"{setting} is a number above 0, not 0"):
        SpanQueue(InMemorySpanExporter(), **settings)


def test_spans_are_sent_after_a_delay_when_there_are_few_of_them() -> None:
    gate = Gate()
    gate.go_on.set()
    queue = SpanQueue(gate, batch=100, delay=0.01)
    Otel(queue)(call())
    assert gate.busy.wait(20)
    queue.shutdown()
    assert (queue.exported, queue.dropped) == (1, 0)


def test_a_flush_waits_no_longer_than_told_for_a_batch_on_its_way() -> None:
    gate = Gate()
    queue = SpanQueue(gate, batch=1, delay=FOREVER, grace=0.05)
    Otel(queue)(call())
    assert gate.busy.wait(20)
    assert not queue.force_flush(10)
    gate.go_on.set()
    queue.shutdown()


def test_spans_of_opentelemetry_itself_are_taken_too() -> None:
    memory = InMemorySpanExporter()
    queue = SpanQueue(memory, delay=FOREVER)
    provider = TracerProvider()
    provider.add_span_processor(queue)
    with provider.get_tracer("elsewhere").start_as_current_span("theirs"):
        pass
    assert provider.force_flush()
    assert [span.name for span in memory.get_finished_spans()] == ["theirs"]
    queue.shutdown()


def test_a_forked_child_sends_its_own_spans_and_not_its_parents() -> None:
    with Collector() as collector:
        queue = SpanQueue(Exporter(endpoint=f"{collector.url}/v1/traces"), delay=FOREVER)
        Otel(queue)(call("parent"))
        child = os.fork()
        if child == 0:  # pragma: no cover - in a process that is not measured
            Otel(queue)(call("child"))
            queue.shutdown()
            os._exit(0 if (queue.exported, queue.dropped) == (1, 0) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert [span.name for span in collector.spans] == ["child"]
        queue.shutdown()
    assert [span.name for span in collector.spans] == ["child", "parent"]


# -- over the wire


@step
async def inner(x: int, ctx: Context) -> int:
    ctx.emit(attempt(ctx=ctx, input_tokens=812, finish_reason="stop", temperature=0.5))
    return x


async def test_a_collector_gets_the_tree_by_otlp() -> None:
    with Collector() as collector:
        queue = SpanQueue(Exporter(endpoint=f"{collector.url}/v1/traces"))
        hook = Otel(queue, version="1.2.3")
        await Context.new(hooks=(hook,), tags={"team": "search"}).call(inner >> inner, 1)
        hook.close()
    spans = {span.name: span for span in collector.spans}
    whole = spans["inner >> inner"]
    assert [span.name for span in collector.spans].count("chat gpt-5.1") == 2
    assert plain(list(whole.attributes)) == {"tidyllm.path": "inner >> inner", "tidyllm.tag.team": "search"}
    assert spans["inner"].parent_span_id == whole.span_id
    assert {span.trace_id for span in collector.spans} == {whole.trace_id}
    facts = plain(list(spans["chat gpt-5.1"].attributes))
    assert facts["gen_ai.usage.input_tokens"] == 812
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    scope = collector.requests[0].resource_spans[0].scope_spans[0]
    assert (scope.scope.name, scope.scope.version) == ("tidyllm", "1.2.3")
    assert queue.exported == len(collector.spans) == 5


def test_what_a_collector_refuses_is_counted() -> None:
    with Collector(status=400) as collector:
        queue = SpanQueue(Exporter(endpoint=f"{collector.url}/v1/traces"))
        Otel(queue)(call(ctx=place("x")))
        queue.shutdown()
    assert (queue.exported, queue.dropped, len(collector.spans)) == (0, 1, 1)


def test_a_collector_that_takes_and_never_answers_holds_nobody_up() -> None:
    with Collector(hang=True) as collector:
        queue = SpanQueue(Exporter(endpoint=f"{collector.url}/v1/traces", timeout=30), grace=0.2)
        hook = Otel(queue)
        hook(call())
        hook.close()
        assert collector.arrived.is_set()
        assert (queue.exported, queue.dropped) == (0, 1)
