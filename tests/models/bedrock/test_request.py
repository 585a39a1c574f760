"""What a request says, as Bedrock's Converse takes it: botocore's own check accepts all of it."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.models.bedrock.wire import botocore_body
from tidyllm.errors import (
    AuthError,
    BadRequest,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Unsupported,
)
from tidyllm.models import Image, Message, Opaque, ProviderTool, Request, Text, Thinking, Tool, ToolCall
from tidyllm.models.bedrock import bedrock
from tidyllm.models.format import Encoded
from tidyllm.models.message import Audio, File, ToolResult
from tidyllm.models.request import NamedTool

CLAUDE, NOVA, NOVA_2 = "eu.anthropic.claude-sonnet-4-6", "amazon.nova-pro-v1:0", "us.amazon.nova-2-lite-v1:0"
PNG = b"\x89PNG\r\n\x1a\n"


def encoded(request: Request, name: str = CLAUDE, *, lenient: bool = False) -> Encoded:
    """Encoded, and accepted by botocore."""
    made = bedrock.encode_request(msgspec.structs.replace(request, model=name), stream=False, lenient=lenient)
    body = msgspec.json.decode(msgspec.json.encode(made.body))
    written, _ = botocore_body(body, name)
    assert written == body
    return made


def test_a_whole_request_is_converse_s() -> None:
    tool = Tool(
        "add", "Adds.", {"properties": {"a": {}}}, strict=True, extra={"cache_control": {"type": "ephemeral"}}
    )
    request = Request(
        (
            Message("system", "Be kind."),
            Message.user(
                "Look:", Image(data=PNG), File(data=b"a,b", media_type="text/csv", name="Q1/2 a.csv")
            ),
            Message.user("Really?"),
            Message.assistant(
                Thinking(text="So", signature="s"),
                Text(text=""),
                ToolCall(id="call|1", name="add", raw_arguments='{"a":1}'),
            ),
            Message.tool("call|1", "2", is_error=True),
            Message.user(
                Audio(data=b"x", format="mp3"), Image(url="s3://bucket/cat.jpeg", media_type="image/jpeg")
            ),
        ),
        system=(Text(text="Be brief.", extra={"cache_control": {"type": "ephemeral", "ttl": "1h"}}),),
        tools=(tool, ProviderTool("bedrock", {"systemTool": {"name": "nova_grounding"}})),
        tool_choice="required",
        max_output_tokens=5000,
        temperature=0.0,
        top_p=0.5,
        top_k=7,
        stop=("END",),
        thinking_tokens=2000,
        metadata={"team": "a"},
        extra={"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}},
    )
    body = encoded(request).body
    assert body["system"] == [
        {"text": "Be brief."},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"text": "Be kind."},
    ]
    user, assistant, after = body["messages"]
    assert [one["role"] for one in body["messages"]] == ["user", "assistant", "user"]
    assert user["content"] == [
        {"text": "Look:"},
        {"image": {"format": "png", "source": {"bytes": base64.b64encode(PNG).decode()}}},
        {"document": {"format": "csv", "name": "Q1-2 a-csv", "source": {"bytes": "YSxi"}}},
        {"text": "Really?"},
    ]
    assert assistant["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "So", "signature": "s"}}},
        {"toolUse": {"toolUseId": "call_1", "name": "add", "input": {"a": 1}}},
    ]
    assert after["content"] == [
        {"toolResult": {"toolUseId": "call_1", "content": [{"text": "2"}], "status": "error"}},
        {"audio": {"format": "mp3", "source": {"bytes": "eA=="}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/cat.jpeg"}}}},
    ]
    schema: Any = {"json": {"type": "object", "properties": {"a": {}}}}
    spec: Any = {"name": "add", "inputSchema": schema, "description": "Adds.", "strict": True}
    assert body["toolConfig"] == {
        "tools": [
            {"toolSpec": spec},
            {"cachePoint": {"type": "default"}},
            {"systemTool": {"name": "nova_grounding"}},
        ],
        "toolChoice": {"any": {}},
    }
    limits = {"maxTokens": 5000, "temperature": 0.0, "topP": 0.5, "stopSequences": ["END"]}
    assert body["inferenceConfig"] == limits
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert body["additionalModelRequestFields"] == {"top_k": 7, "thinking": thinking}
    assert body["requestMetadata"] == {"team": "a"}
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g", "guardrailVersion": "1"}


@pytest.mark.parametrize(
    ("name", "asks", "fields"),
    [
        (CLAUDE, {"effort": "none"}, {"thinking": {"type": "disabled"}}),
        (CLAUDE, {"effort": "high"}, {"output_config": {"effort": "high"}}),
        (NOVA_2, {"effort": "low"}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}),
        (NOVA_2, {"effort": "none"}, {"reasoningConfig": {"type": "disabled"}}),
        (NOVA_2, {"top_k": 3}, {"inferenceConfig": {"topK": 3}}),
        ("openai.gpt-oss-120b-1:0", {"effort": "xhigh"}, {"reasoning_effort": "high"}),
        ("qwen.qwen3-32b-v1:0", {"effort": "high"}, {"reasoning_config": "high"}),
    ],
)
def test_each_maker_is_asked_in_its_own_words(
    name: str, asks: dict[str, Any], fields: dict[str, Any]
) -> None:
    assert encoded(Request("Hi", **asks), name).body["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Request("Hi", seed=1), "seed"),
        (Request("Hi", output="json"), "output"),
        (Request("Hi", user="u"), "user"),
        (Request("Hi", parallel_tool_calls=False), "parallel_tool_calls"),
        (Request((Message.user("a", Image(url="https://example.com/a.png")),)), "messages[0].content[1]"),
        (Request((Message.user("a", File(file_id="f")),)), "messages[0].content[1]"),
        (
            Request((Message.user("a", Opaque(format="anthropic", data={"type": "x"})),)),
            "messages[0].content[1]",
        ),
        (Request("Hi", tools=(ProviderTool("anthropic", {"type": "web_search_20250305"}),)), "tools[0]"),
    ],
)
def test_what_has_no_place_is_refused_by_name_or_reported(request_: Request, field: str) -> None:
    with pytest.raises(Unsupported) as caught:
        encoded(request_)
    assert caught.value.field == field
    assert encoded(request_, lenient=True).dropped == (field,)


def test_an_unknown_model_s_way_of_reasoning_is_not_guessed() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    with pytest.raises(Unsupported, match="additionalModelRequestFields"):
        encoded(Request("Hi", effort="high"), arn)
    fields = {"reasoning_config": "high"}
    body = encoded(Request("Hi", extra={"additionalModelRequestFields": fields}), arn).body
    assert body["additionalModelRequestFields"] == fields


def test_instructions_in_the_middle_move_to_the_front_and_that_is_told() -> None:
    made = encoded(Request((Message.user("a"), Message("developer", "Be brief."), Message.user("b"))))
    assert made.body["system"] == [{"text": "Be brief."}]
    assert made.body["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]
    assert made.dropped == ("messages[1]",)


def test_tools_that_are_forbidden_are_not_shown() -> None:
    assert "toolConfig" not in encoded(Request("Hi", tools=(Tool("a"),), tool_choice="none")).body
    named = encoded(Request("Hi", tools=(Tool("a"),), tool_choice=NamedTool("a"))).body["toolConfig"]
    assert named["toolChoice"] == {"tool": {"name": "a"}}
    called = (Message.user("x"), Message.assistant(ToolCall(id="1", name="a")), Message.tool("1", "y"))
    with pytest.raises(Unsupported, match="cannot forbid"):
        encoded(Request(called, tools=(Tool("a"),), tool_choice="none"))


def test_cache_marks_are_cache_points_only_where_the_model_has_them() -> None:
    marked = Request((Message.user(Text(text="a", extra={"cache_control": {"type": "ephemeral"}})),))
    assert encoded(marked, NOVA).body["messages"][0]["content"][1] == {"cachePoint": {"type": "default"}}
    without = encoded(marked, "meta.llama3-1-8b-instruct-v1:0")
    assert without.body["messages"][0]["content"] == [{"text": "a"}]
    assert without.dropped == ("messages[0].content[0].cache_control",)


def test_texts_for_guardrails_and_cited_answers_go_back_as_they_were() -> None:
    block = {"citationsContent": {"content": [{"text": "So."}], "citations": [{"title": "a"}]}}
    answer = bedrock.decode_response({"output": {"message": {"content": [block]}}, "stopReason": "end_turn"})
    assert answer.text == "So."
    guarded = Text(text="Secret?", extra={"guardContent": {"qualifiers": ["query"]}})
    body = encoded(Request((Message.user(guarded), answer.message, Message.user("Go on.")))).body
    assert body["messages"][1]["content"] == [block]
    assert body["messages"][0]["content"] == [
        {"guardContent": {"text": {"text": "Secret?", "qualifiers": ["query"]}}}
    ]


def test_a_result_may_hold_pictures_and_json() -> None:
    inner = (Text(text="a"), Image(data=PNG), Opaque(format="bedrock", data={"json": {"b": 1}}))
    turn = Message("tool", (ToolResult(call_id="1", content=inner),))
    [message] = encoded(Request((turn,))).body["messages"]
    assert [next(iter(one)) for one in message["content"][0]["toolResult"]["content"]] == [
        "text",
        "image",
        "json",
    ]


# -- errors


@pytest.mark.parametrize(
    ("status", "name", "words", "kind"),
    [
        (400, "ValidationException", "Input is too long for requested model.", ContextTooLong),
        (400, "ValidationException", "prompt is too long: 210000 tokens > 200000 maximum", ContextTooLong),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFound),
        (400, "ValidationException", "Malformed input request", BadRequest),
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            AuthError,
        ),
        (403, "ExpiredTokenException", "The security token included in the request is expired", AuthError),
        (403, "UnrecognizedClientException", "The security token is invalid.", AuthError),
        (
            404,
            "ResourceNotFoundException",
            "This model version has reached the end of its life.",
            ModelNotFound,
        ),
        (408, "ModelTimeoutException", "", Overloaded),
        (424, "ModelErrorException", "", Overloaded),
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
        (429, "ModelNotReadyException", "", Overloaded),
        (400, "ServiceQuotaExceededException", "", RateLimited),
        (500, "InternalServerException", "", Overloaded),
        (503, "ServiceUnavailableException", "", Overloaded),
        (502, "", "<html>", Overloaded),
    ],
)
def test_each_exception_is_the_most_specific_error(
    status: int, name: str, words: str, kind: type[ModelError]
) -> None:
    headers = {
        "x-amzn-errortype": f"{name}:http://internal.amazon.com/",
        "x-amzn-requestid": "r-1",
        "retry-after": "7",
    }
    body = msgspec.json.encode({"message": words})
    error = bedrock.decode_error(status, headers if name else {}, body)
    assert type(error) is kind
    assert error.status == status
    if name:
        assert (error.code, error.request_id, error.retry_after) == (name, "r-1", 7.0)
        same = bedrock.decode_error(
            status, {}, msgspec.json.encode({"__type": f"com.aws#{name}", "Message": words})
        )
        assert type(same) is kind


def test_an_error_with_status_200_is_an_error() -> None:
    with pytest.raises(ModelError, match="UnknownOperation") as caught:
        bedrock.decode_response({"Output": {}, "__type": "com.amazon#UnknownOperationException"})
    assert caught.value.status is None
