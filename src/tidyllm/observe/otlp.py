"""Our spans as OTLP, encoded in a fraction of the time. It knows the protobuf messages of spans, not what spans mean.

OpenTelemetry's exporter builds a protobuf object for each attribute, 45 µs for a span; it does so in a thread of its
own, but under the interpreter's one lock, so a gateway pays for it with every request, and waits meanwhile. Here the
same bytes are written directly (`opentelemetry/proto/trace/v1/trace.proto`) as soon as a span ends; one with events
goes the slow way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from tidyllm.observe.finished import FinishedSpan, Origin

__all__ = ["Encoded", "Exporter", "encode", "request"]

_TIMES = struct.Struct("<BQBQ").pack
_DOUBLE = struct.Struct("<Bd").pack
_OWN, _CLIENT = b"\x30\x01", b"\x30\x03"  # kind: internal or client
# Field 16, four bytes: whether the parent is in another process is known (0x100), and whether it is (0x200).
_NEAR = b"\x85\x01\x00\x01\x00\x00"
_REMOTE = b"\x85\x01\x00\x03\x00\x00"
_NO_ERROR = b"\x7a\x00"


class Encoded(NamedTuple):
    """A span in bytes, and where it comes from."""

    origin: Origin
    data: bytes


class Exporter(OTLPSpanExporter):
    """OpenTelemetry's exporter over HTTP, with all its settings and retries, and our encoding.

    `export` takes spans that `encode` has made bytes of, and others. Where its version has no place to put bytes of
    ours `encode` is None, and it encodes itself: slower, and nothing else is different.
    """

    encode: Callable[[FinishedSpan], Encoded] | None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        send = getattr(getattr(self, "_client", None), "export", None)
        self._send: Callable[[bytes], Any] | None = send
        self.encode = None if send is None else encode

    def export(self, spans: Sequence[ReadableSpan | Encoded]) -> SpanExportResult:
        fast = [span for span in spans if isinstance(span, Encoded)]
        slow = [span for span in spans if not isinstance(span, Encoded)]
        done = self._send is None or not fast or self._send(request(fast)).success
        if slow and super().export(slow) is not SpanExportResult.SUCCESS:
            done = False
        return SpanExportResult.SUCCESS if done else SpanExportResult.FAILURE


def request(spans: Sequence[Encoded]) -> bytes:
    """An `ExportTraceServiceRequest` with these spans, grouped by their origin."""
    groups: dict[int, list[Encoded]] = {}
    for span in spans:
        groups.setdefault(id(span.origin), []).append(span)
    return b"".join(_group(group) for group in groups.values())


def _group(spans: Sequence[Encoded]) -> bytes:
    # What is around the spans comes from OpenTelemetry's own encoder, once for the whole group.
    origin = spans[0].origin
    first = FinishedSpan(origin, "", False, 1, 1, 0, False, 0, 0, {}).readable()
    resource = encode_spans((first,)).resource_spans[0]
    scope = resource.scope_spans[0]
    scope.ClearField("spans")
    parts: list[bytes] = [scope.SerializeToString()]
    resource.ClearField("scope_spans")
    for span in spans:
        parts += (b"\x12", _varint(len(span.data)), span.data)
    body = b"".join(parts)
    outer = resource.SerializeToString() + b"\x12" + _varint(len(body)) + body
    return b"\x0a" + _varint(len(outer)) + outer


def encode(span: FinishedSpan) -> Encoded:
    """The span in bytes."""
    if span.events:
        return Encoded(span.origin, _slow(span))
    parts = [b"\x0a\x10", span.trace_id.to_bytes(16), b"\x12\x08", span.span_id.to_bytes(8)]
    if span.parent_id:
        parts += (b"\x22\x08", span.parent_id.to_bytes(8))
    parts += (
        _name(span.name),
        _CLIENT if span.client else _OWN,
        _TIMES(0x39, span.started, 0x41, span.ended),
    )
    for key, value in span.attributes.items():
        new = key in _ALWAYS_NEW or isinstance(value, float)
        parts.append((_new if new else _known)(key, value))
    parts.append(_NO_ERROR if span.error is None else _error(span.error))
    parts.append(_REMOTE if span.parent_id and span.parent_is_remote else _NEAR)
    return Encoded(span.origin, b"".join(parts))


def _slow(span: FinishedSpan) -> bytes:
    return encode_spans((span.readable(),)).resource_spans[0].scope_spans[0].spans[0].SerializeToString()


@lru_cache(1024)
def _name(name: str) -> bytes:
    data = name.encode()
    return b"\x2a" + _varint(len(data)) + data


def _error(message: str) -> bytes:
    data = message.encode()
    inner = (b"\x12" + _varint(len(data)) + data if data else b"") + b"\x18\x02"
    return b"\x7a" + _varint(len(inner)) + inner


def _new(key: str, value: object) -> bytes:
    """The field of one attribute."""
    name, inner = key.encode(), _value(value)
    name_size, size = _varint(len(name)), _varint(len(inner))
    whole = 2 + len(name_size) + len(name) + len(size) + len(inner)
    return b"".join((b"\x4a", _varint(whole), b"\x0a", name_size, name, b"\x12", size, inner))


# Names of models, targets and hosts, status codes and limits come again and again, and so do counts of tokens; ids
# and times never do, and would push the others out. Typed: True is no 1.
_known = lru_cache(8192, typed=True)(_new)
_ALWAYS_NEW = frozenset(
    {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.response.id",
        "gen_ai.system_instructions",
        "tidyllm.provider.request_id",
    }
)


def _value(value: object) -> bytes:
    if isinstance(value, str):
        data = value.encode()
        return b"\x0a" + _varint(len(data)) + data
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _MASK)
    if isinstance(value, float):
        return _DOUBLE(0x21, value)
    array = b""
    for text in cast("tuple[str, ...]", value):
        inner = _value(text)
        array += b"\x0a" + _varint(len(inner)) + inner
    return b"\x2a" + _varint(len(array)) + array


_MASK = (1 << 64) - 1
_SMALL = tuple(bytes((number,)) for number in range(128))


def _varint(number: int) -> bytes:
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
