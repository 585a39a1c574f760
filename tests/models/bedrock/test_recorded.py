"""What Bedrock really answered and was really asked: ours and botocore's own reading of it are the same."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any, cast

import botocore.exceptions
import msgspec
import pytest

from tests.models.bedrock.wire import (
    KEY,
    SECRET,
    as_blocks,
    asked_of,
    botocore_body,
    client,
    environment,
    model_of,
    plain,
)
from tests.replay import Replay
from tests.shared_data import exchanges
from tidyllm import model
from tidyllm.errors import BadRequest, ModelError, ModelNotFound, StreamInterrupted
from tidyllm.models.bedrock import FrameParser, bedrock
from tidyllm.models.catalog import Catalog
from tidyllm.models.fold import fold
from tidyllm.models.model import Model
from tidyllm.models.pricing import cost_usd, served_tier
from tidyllm.models.response import Response

WHOLE, STREAMED = exchanges("bedrock_converse"), exchanges("bedrock_converse_stream")
HELLO = [{"role": "user", "content": [{"text": "Hi"}]}]


def asked(server: Replay, number: int, name: str, **more: Any) -> Model:
    known = Catalog.default().find(f"bedrock/{name}")
    like = None if known is None else f"bedrock/{name}"
    return model(f"bedrock/{name}", base_url=server.url(number, **more), like=like)


def same(ours: Response, theirs: dict[str, Any], name: str) -> None:
    """What botocore parsed is what we have."""
    blocks = plain(theirs["output"]["message"]["content"])
    for block in blocks:
        if block.get("toolUse", {}).get("type") == "tool_use":
            del block["toolUse"]["type"]
    assert as_blocks(ours.content) == blocks
    assert ours.finish_reason_raw == theirs["stopReason"]
    assert ours.finish_reason != "unknown"
    used = theirs["usage"]
    read, written = used.get("cacheReadInputTokens"), used.get("cacheWriteInputTokens")
    assert ours.usage.input_tokens == used["inputTokens"] + (read or 0) + (written or 0)
    assert ours.usage.output_tokens == used["outputTokens"]
    assert (ours.usage.cache_read_tokens, ours.usage.cache_write_5m_tokens) == (read, written)
    assert ours.model == name


async def test_every_recorded_answer_is_what_botocore_parses() -> None:
    answers = errors = 0
    with Replay(WHOLE) as server, environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        for number, exchange in enumerate(WHOLE):
            name = model_of(exchange)
            call = client(server.url(number)).converse
            if exchange["status"] == 200:
                answers += 1
                same(await asked(server, number, name)("Hi"), call(modelId=name, messages=HELLO), name)
                continue
            errors += 1
            with pytest.raises(ModelError) as ours:
                await asked(server, number, name)("Hi")
            with pytest.raises(botocore.exceptions.ClientError) as theirs:
                call(modelId=name, messages=HELLO)
            said: dict[str, Any] = cast(Any, theirs.value).response
            assert ours.value.status == said["ResponseMetadata"]["HTTPStatusCode"]
            assert ours.value.provider_message == exchange["body_json"]["message"] == said["Error"]["Message"]
            assert isinstance(ours.value, BadRequest)
            assert isinstance(ours.value, ModelNotFound) == ("identifier is invalid" in str(said))
    assert answers + errors == len(WHOLE) >= 100
    assert errors >= 4


async def test_every_recorded_stream_is_what_botocore_parses_whatever_the_chunks() -> None:
    with Replay(STREAMED) as server, environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        for number, exchange in enumerate(STREAMED):
            name = model_of(exchange)
            events = client(server.url(number)).converse_stream(modelId=name, messages=HELLO)["stream"]
            theirs = joined([plain(event) for event in events])
            for pieces in (None, 1, 7):
                one = asked(server, number, name, pieces=pieces)
                got = [piece async for piece in one.stream("Hi")]
                ours = one.join(got)
                same(ours, theirs, name)
                assert ours.cost_usd is not None
                assert ours.provider == "bedrock"
    assert len(STREAMED) >= 6


def joined(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole answer that these events make, by botocore's reading of them."""
    blocks: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for event in events:
        [(name, said)] = event.items()
        if name == "contentBlockStart":
            [(kind, start)] = said["start"].items()
            blocks[said["contentBlockIndex"]] = {
                kind: {**start, **({"input": ""} if kind == "toolUse" else {"content": []})}
            }
        elif name == "contentBlockDelta":
            add(blocks.setdefault(said["contentBlockIndex"], {}), said["delta"])
        elif name == "messageStop":
            whole["stopReason"] = said["stopReason"]
        elif name == "metadata":
            whole["usage"] = said["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = msgspec.json.decode(block["toolUse"]["input"] or "{}")
    whole["output"] = {"message": {"content": [blocks[index] for index in sorted(blocks)]}}
    return whole


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    [(kind, said)] = delta.items()
    if kind == "text":
        block["text"] = block.get("text", "") + said
    elif kind == "toolUse":
        block["toolUse"]["input"] += said["input"]
    elif kind == "toolResult":
        block["toolResult"]["content"] += said
    else:
        told = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        for key, value in said.items():
            told[key] = told.get(key, "") + value


def test_a_recorded_stream_cut_at_any_byte_never_looks_complete() -> None:
    cuts = 0
    for exchange in STREAMED:
        whole = base64.b64decode(exchange["body_b64"])
        for cut in range(len(whole)):
            parser, decoder = FrameParser(), bedrock.stream_decoder()
            pieces = [piece for event in parser.feed(whole[:cut]) for piece in decoder.feed(event)]
            parser.close()
            assert not decoder.done
            assert fold(pieces).finish_reason == "unknown"
            cuts += 1
    assert cuts > 10_000


async def test_a_cut_stream_is_an_error_with_what_came() -> None:
    with Replay(STREAMED) as server, environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        size = len(base64.b64decode(STREAMED[2]["body_b64"]))
        for cut in (0, 11, 150, 1000, size // 2, size - 300, size - 1):
            one = asked(server, 2, model_of(STREAMED[2]), cut=cut)
            with pytest.raises(ModelError) as caught:
                _ = [piece async for piece in one.stream("Hi")]
            if cut > 1000:
                assert isinstance(caught.value, StreamInterrupted)
                assert caught.value.partial.text


def test_every_recorded_request_comes_out_as_it_was_and_botocore_writes_it_the_same() -> None:
    count = 0
    for exchange in (*WHOLE, *STREAMED):
        name, body = model_of(exchange), exchange["request"]
        operation = "ConverseStream" if exchange in STREAMED else "Converse"
        request = msgspec.structs.replace(asked_of(body), model=name)
        encoded = bedrock.encode_request(request, stream=exchange in STREAMED)
        ours = msgspec.json.decode(msgspec.json.encode(encoded.body))
        assert encoded.dropped == ()
        assert ours == expected(body)
        written, path = botocore_body(ours, name, operation)
        assert written == ours
        assert path == "/model" + exchange["path"].partition("/model")[2]
        count += 1
    assert count == len(WHOLE) + len(STREAMED) >= 117


def expected(body: dict[str, Any]) -> dict[str, Any]:
    """The recorded body without what says nothing, and with turns of one role joined."""
    body = {key: value for key, value in body.items() if value not in ({}, [])}
    text = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema")
    if text is not None:  # the same schema, as compact text
        schema = msgspec.json.encode(msgspec.json.decode(text["schema"])).decode()
        structure = {"jsonSchema": {**text, "schema": schema}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    return body


def test_the_price_of_every_recorded_usage_is_that_of_the_list() -> None:
    """Dollars per million tokens, by hand: input, output, read, written."""
    prices = {
        "us.amazon.nova-micro-v1:0": ("0.035", "0.14", "0.00875", "0.035"),
        "us.amazon.nova-lite-v1:0": ("0.06", "0.24", "0.015", "0.06"),
        "us.amazon.nova-2-lite-v1:0": ("0.33", "2.75", "0.0825", "0.33"),
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0": ("3.3", "16.5", "0.33", "4.125"),
    }
    seen = tiers = 0
    with environment(AWS_REGION="us-east-1", AWS_BEARER_TOKEN_BEDROCK="any"):
        for exchange in WHOLE:
            name, body = model_of(exchange), exchange.get("body_json", {})
            if name not in prices or exchange["status"] != 200:
                continue
            response = bedrock.decode_response(body)
            used = body["usage"]
            fields = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
            by_hand = sum(
                used.get(f, 0) * Decimal(rate) for f, rate in zip(fields, prices[name], strict=True)
            )
            info = model(f"bedrock/{name}").info
            cost = cost_usd(response.usage, info, tier=served_tier(response))
            if body.get("serviceTier", {}).get("type", "default") != "default":
                assert cost is None, "the lists do not say what this tier costs"
                tiers += 1
            else:
                assert cost == by_hand / 1_000_000
                seen += 1
    assert seen >= 80
    assert tiers >= 1
