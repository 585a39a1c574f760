from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from tests.observe.collector import Collector
from tidyllm.observe.otlp import Exporter, encode

RESOURCES = [Resource({"service.name": name}) for name in ("one", "other")]
SCOPES = [InstrumentationScope("tidyllm", "1.2", "https://example.com/1"), InstrumentationScope("more")]
SAMPLED = TraceFlags(TraceFlags.SAMPLED)

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=200)
number = st.integers(-(1 << 63), (1 << 63) - 1)
value = (
    text
    | st.booleans()
    | number
    | st.floats(allow_nan=False)
    | st.lists(text, max_size=3).map(tuple)
    | st.tuples(number)
)
place = st.builds(
    SpanContext,
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.booleans(),
    st.just(SAMPLED),
)
moment = st.integers(0, (1 << 63) - 1)
status = st.builds(Status, st.just(StatusCode.ERROR), text) | st.sampled_from(
    [Status(), Status(StatusCode.OK)]
)
span = st.builds(
    ReadableSpan,
    text,
    place,
    st.none() | place,
    st.sampled_from(RESOURCES),
    st.dictionaries(text, value, max_size=4),
    kind=st.sampled_from(SpanKind),
    status=status,
    start_time=moment,
    end_time=moment,
    instrumentation_scope=st.sampled_from(SCOPES),
)


def same(spans: list[ReadableSpan]) -> bool:
    """Whether ours says what OpenTelemetry's own encoder says, spans of one group in the same order."""
    ours, theirs = ExportTraceServiceRequest.FromString(encode(spans)), encode_spans(spans)
    assert len(theirs.resource_spans) <= len(ours.resource_spans)  # theirs nests scopes within a resource
    return _flat(ours) == _flat(theirs)


def _flat(request: ExportTraceServiceRequest) -> dict[bytes, list[Any]]:
    return {
        group.resource.SerializeToString()
        + scope.scope.SerializeToString()
        + scope.schema_url.encode(): list(scope.spans)
        for group in request.resource_spans
        for scope in group.scope_spans
    }


@given(st.lists(span, min_size=1, max_size=4))
def test_says_what_opentelemetrys_own_encoder_says(spans: list[ReadableSpan]) -> None:
    assert same(spans)


HERE = SpanContext(1, 2, False, SAMPLED)
UNUSUAL: dict[str, dict[str, Any]] = {
    "events": {"events": (Event("retry", {"n": 1}, 5),)},
    "links": {"links": (Link(HERE),)},
    "a trace state": {"context": SpanContext(1, 2, False, SAMPLED, TraceState([("a", "b")]))},
    "no times": {"start_time": None, "end_time": None},
    "a list of numbers": {"attributes": {"n": (1, 2)}},
    "bytes": {"attributes": {"n": b"\xff"}},
}


@pytest.mark.parametrize("fields", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_what_is_not_usual_is_encoded_as_well(fields: dict[str, Any]) -> None:
    given: dict[str, Any] = {"context": HERE, "start_time": 1, "end_time": 2, "resource": RESOURCES[0]}
    given |= {"instrumentation_scope": SCOPES[0], **fields}
    assert same([ReadableSpan("x", **given)])


ONE = ReadableSpan(
    "x", HERE, start_time=1, end_time=2, resource=RESOURCES[0], instrumentation_scope=SCOPES[0]
)


def test_the_exporter_of_this_version_takes_our_bytes() -> None:
    """When this fails, a new version of OpenTelemetry has moved its client, and spans are encoded slowly again."""
    with Collector() as collector:
        exporter = Exporter(endpoint=f"{collector.url}/v1/traces")
        assert callable(getattr(getattr(exporter, "_client", None), "export", None))
        assert exporter.export([ONE]) is SpanExportResult.SUCCESS
        exporter.shutdown()
    assert [one.name for one in collector.spans] == ["x"]


def test_an_exporter_without_that_place_encodes_itself() -> None:
    with Collector() as collector:
        exporter = Exporter(endpoint=f"{collector.url}/v1/traces")
        client = vars(exporter).pop("_client")
        with pytest.raises(AttributeError, match="_client"):
            exporter.export([ONE])  # its own way, which needs the client as well
        vars(exporter)["_client"] = client
        exporter.shutdown()
