"""Between Bedrock and the formats of callers: recorded answers come out whole, recorded requests go in."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.models.bedrock.wire import botocore_body
from tests.shared_data import exchanges
from tidyllm.errors import BadRequest
from tidyllm.models import Piece, Request, Response
from tidyllm.models.asked import Asked
from tidyllm.models.bedrock import FrameParser, bedrock
from tidyllm.models.bound import bound_usd
from tidyllm.models.catalog import Catalog
from tidyllm.models.cross import crossing
from tidyllm.models.fold import fold, unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.sse import EventParser

FORMATS = {
    "openai_chat": "openai_chat",
    "openai_responses": "openai_responses",
    "anthropic": "anthropic_messages",
}

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"


def answers() -> list[tuple[Response, list[Piece]]]:
    """Every recorded answer, whole and in pieces."""
    found: list[tuple[Response, list[Piece]]] = []
    for exchange in (*exchanges("bedrock_converse"), *exchanges("bedrock_converse_stream")):
        if exchange["status"] != 200:
            continue
        if "body_b64" in exchange:
            decoder, parser = bedrock.stream_decoder(), FrameParser()
            data = base64.b64decode(exchange["body_b64"])
            pieces = [piece for event in parser.feed(data) for piece in decoder.feed(event)]
            found.append((fold(pieces), pieces))
        else:
            body: Any = exchange.get("body_json") or msgspec.json.decode(exchange["body"])
            whole = bedrock.decode_response(body)
            found.append((whole, unfold(whole)))
    return found


def meant(response: Response) -> tuple[Any, ...]:
    calls = [(call.id, call.name, call.arguments) for call in response.tool_calls]
    return (
        response.text,
        calls,
        response.finish_reason,
        response.usage.input_tokens,
        response.usage.output_tokens,
    )


@pytest.mark.parametrize("format", FORMATS)
def test_every_recorded_answer_reaches_callers_of_every_format(format: str) -> None:
    wire, count = wire_format(format), 0
    for response, pieces in answers():
        body = msgspec.json.encode(wire.encode_response(response))
        assert meant(wire.decode_response(msgspec.json.decode(body))) == meant(response)
        encoder, decoder, parser = wire.stream_encoder(Request("Hi")), wire.stream_decoder(), EventParser()
        sent = b"".join(encoder.feed(piece) for piece in pieces) + encoder.end()
        told = fold([piece for event in parser.feed(sent) for piece in decoder.feed(event)])
        assert decoder.done
        assert meant(told)[:3] == meant(response)[:3]
        count += 1
    assert count >= 110


@pytest.mark.parametrize("format", FORMATS)
def test_recorded_requests_of_callers_are_requests_of_bedrock_or_refused_by_name(format: str) -> None:
    """Lenient, so that wishes are left out; what the request is about is refused all the same."""
    wire, name, sent = wire_format(format), "us.anthropic.claude-sonnet-4-6", 0
    refused: list[str | None] = []
    for exchange in exchanges(FORMATS[format]):
        try:
            request = crossing(wire.decode_request(exchange["request"])[0], format, "bedrock", lenient=True)
            made = bedrock.encode_request(
                msgspec.structs.replace(request, model=name), stream=False, lenient=True
            )
        except BadRequest as error:
            refused.append(error.field)
            continue
        body = msgspec.json.decode(msgspec.json.encode(made.body))
        assert botocore_body(body, name)[0] == body
        sent += 1
    assert sent >= 130
    assert all(refused)
    assert len(refused) <= 25


@pytest.mark.parametrize(
    ("format", "crossed"), [("openai_chat", 177), ("openai_responses", 89), ("anthropic", 126)]
)
def test_as_many_recorded_requests_cross_unchanged_as_the_page_says(format: str, crossed: int) -> None:
    """The counts of docs/wire/crossing.md; all others are refused by the name of a field."""
    wire, sent, refused = wire_format(format), 0, list[str | None]()
    for exchange in exchanges(FORMATS[format]):
        try:
            request, stream = wire.decode_request(exchange["request"])
            named = msgspec.structs.replace(crossing(request, format, "bedrock"), model=CLAUDE)
            bedrock.encode_request(named, stream=stream)
        except BadRequest as error:
            refused.append(error.field)
        else:
            sent += 1
    assert sent == crossed
    assert all(refused)


def test_a_budget_reads_the_cap_where_converse_has_it() -> None:
    info = Catalog.default().find("bedrock/us.amazon.nova-pro-v1:0")

    def bound(**fields: Any) -> Any:
        body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}], **fields}
        return bound_usd(msgspec.json.encode(body), Asked.of(body, "bedrock"), info)

    small, large = bound(inferenceConfig={"maxTokens": 10}), bound(inferenceConfig={"maxTokens": 1000})
    assert small < large < bound()
    assert bound(inferenceConfig={"maxTokens": 10}, additionalModelRequestFields={"max_tokens": 2000}) > large
    assert bound(toolConfig={"tools": [{"systemTool": {"name": "nova_grounding"}}]}) is None
    assert bound(serviceTier={"type": "priority"}) is None, "the lists do not say what this tier costs"
    assert bound(serviceTier={"type": "default"}) is not None
