from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tests.observe.collector import Collector
from tidyllm.observe.finished import FinishedSpan, Origin
from tidyllm.observe.otlp import Exporter, encode, request

ORIGINS = [
    Origin(
        Resource({"service.name": "one"}), InstrumentationScope("tidyllm", "1.2", "https://example.com/1")
    ),
    Origin(Resource({"service.name": "other"}), InstrumentationScope("more")),
]

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
number = st.integers(-(1 << 63), (1 << 63) - 1)
value = text | st.booleans() | number | st.floats(allow_nan=False) | st.lists(text, max_size=3).map(tuple)
moment = st.integers(0, (1 << 63) - 1)
span = st.builds(
    FinishedSpan,
    st.sampled_from(ORIGINS),
    text,
    st.booleans(),
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.just(0) | st.integers(1, (1 << 64) - 1),
    st.booleans(),
    moment,
    moment,
    st.dictionaries(text, value, max_size=4),
    st.lists(st.builds(Event, text, st.just({"n": 1}), moment), max_size=2),
    st.none() | text,
)


def same(spans: list[FinishedSpan]) -> bool:
    """Whether ours says what OpenTelemetry's own encoder says, spans of one group in the same order."""
    ours = ExportTraceServiceRequest.FromString(request([encode(span) for span in spans]))
    theirs = encode_spans([span.readable() for span in spans])
    return _flat(ours) == _flat(theirs)


def _flat(message: ExportTraceServiceRequest) -> dict[bytes, list[Any]]:
    return {
        group.resource.SerializeToString()
        + scope.scope.SerializeToString()
        + scope.schema_url.encode(): list(scope.spans)
        for group in message.resource_spans
        for scope in group.scope_spans
    }


@given(st.lists(span, min_size=1, max_size=4))
def test_says_what_opentelemetrys_own_encoder_says(spans: list[FinishedSpan]) -> None:
    assert same(spans)


@given(st.sampled_from([True, 1, 1.0]), st.sampled_from([False, 0, 0.0, -0.0]))
def test_values_that_are_equal_and_of_different_kinds_stay_apart(one: float, nothing: float) -> None:
    assert same(
        [FinishedSpan(ORIGINS[0], "x", False, 1, 2, 0, False, 3, 4, {"one": one, "nothing": nothing})]
    )


ONE = FinishedSpan(ORIGINS[0], "x", True, 1, 2, 0, False, 1, 2, {"key": "value"})


def test_the_exporter_of_this_version_takes_our_bytes() -> None:
    """When this fails, a new version of OpenTelemetry has moved its client, and spans are encoded slowly again."""
    with Collector() as collector:
        exporter = Exporter(endpoint=f"{collector.url}/v1/traces")
        assert exporter.encode is not None
        assert exporter.export([exporter.encode(ONE)]) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert [one.name for one in collector.spans] == ["x"]


def test_spans_of_somebody_else_travel_as_well() -> None:
    with Collector() as collector:
        exporter = Exporter(endpoint=f"{collector.url}/v1/traces")
        assert exporter.export([encode(ONE), ONE.readable()]) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert [one.name for one in collector.spans] == ["x", "x"]
