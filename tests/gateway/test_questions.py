"""Every format's question reaches every provider and says the same there; what cannot cross is refused by name."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from tests.gateway.clients import FORMATS, ask, clients
from tests.gateway.harness import raw_request
from tests.gateway.providers import KINDS, Provider, between
from tidyllm.models.message import Image, Message, Text, ToolCall, ToolResult
from tidyllm.models.request import JSONSchema, Request, Tool
from tidyllm.models.response import Response

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
IN_TEXT = base64.b64encode(PNG).decode()
DATA_URL = f"data:image/png;base64,{IN_TEXT}"
LINK = "https://example.com/cat.png"
ANSWER = Response(content=(Text(text="Good."),), finish_reason="stop", model="m-1", id="answer_1")
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic": "/v1/messages",
}

CONVERSATION: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Which city is this?"},
                    {"type": "image_url", "image_url": {"url": DATA_URL}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "find", "arguments": '{"city":"Rom"}'},
                    },
                    {
                        "id": "c2",
                        "type": "function",
                        "function": {"name": "find", "arguments": '{"city":"Bonn"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "no"},
            {"role": "tool", "tool_call_id": "c2", "content": "yes"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "find", "description": "Finds.", "parameters": PARAMETERS},
            }
        ],
        "tool_choice": "auto",
        "max_completion_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
    },
    "openai_responses": {
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Which city is this?"},
                    {"type": "input_image", "image_url": DATA_URL, "detail": "auto"},
                ],
            },
            {"role": "assistant", "content": "I look."},
            {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"city":"Rom"}'},
            {"type": "function_call", "call_id": "c2", "name": "find", "arguments": '{"city":"Bonn"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "no"},
            {"type": "function_call_output", "call_id": "c2", "output": "yes"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "find",
                "description": "Finds.",
                "parameters": PARAMETERS,
                "strict": False,
            }
        ],
        "tool_choice": "auto",
        "max_output_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
    },
    "anthropic": {
        "system": "Be brief.",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Which city is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": IN_TEXT},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "find", "input": {"city": "Rom"}},
                    {"type": "tool_use", "id": "c2", "name": "find", "input": {"city": "Bonn"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "no"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "yes"},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
        "tools": [{"name": "find", "description": "Finds.", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "auto"},
        "max_tokens": 300,
        "temperature": 0.5,
        "top_p": 0.9,
    },
}


def said(messages: tuple[Message, ...]) -> list[Any]:
    """What a conversation says, whoever wrote it: parts in order, with the side that said them."""
    found: list[Any] = []
    for message in messages:
        side = "model" if message.role == "assistant" else "caller"
        for part in message.parts:
            if isinstance(part, Text):
                found.append((side, part.text))
            elif isinstance(part, Image):
                found.append((side, part.data or part.url))
            elif isinstance(part, ToolCall):
                found.append((side, part.name, part.arguments))
            elif isinstance(part, ToolResult):
                content = part.content
                found.append(
                    (
                        side,
                        content
                        if isinstance(content, str)
                        else "".join(one.text for one in content if isinstance(one, Text)),
                    )
                )
    return found


WHOLE_CONVERSATION = [
    ("caller", "Which city is this?"),
    ("caller", PNG),
    ("model", "I look."),
    ("model", "find", {"city": "Rom"}),
    ("model", "find", {"city": "Bonn"}),
    ("caller", "no"),
    ("caller", "yes"),
    ("caller", "And?"),
]


def of_ollama(body: dict[str, Any]) -> Request:
    """What reached Ollama, in our types."""
    turns: list[Message] = []
    for one in body["messages"]:
        parts: list[Any] = [Text(text=one["content"])] if one.get("content") else []
        parts += [Image(data=base64.b64decode(data)) for data in one.get("images") or ()]
        parts += [
            ToolCall(name=call["function"]["name"], arguments=call["function"]["arguments"])
            for call in one.get("tool_calls") or ()
        ]
        turns.append(Message(one["role"], tuple(parts)))
    options = body.get("options", {})
    tools = [
        Tool(one["function"]["name"], one["function"].get("description"), one["function"].get("parameters"))
        for one in body.get("tools") or ()
    ]
    shape: dict[str, Any] | None = body.get("format")
    return Request(
        tuple(turns),
        tools=tuple(tools),
        max_output_tokens=options.get("num_predict"),
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        stop=tuple(options.get("stop") or ()),
        output=JSONSchema(shape) if shape else None,
    )


def asked(provider: Provider) -> Request:
    return of_ollama(provider.bodies[-1]) if provider.kind == "ollama" else provider.asked


def instructions(request: Request) -> str:
    """The system prompt, wherever the format keeps it."""
    system = (
        request.system
        if isinstance(request.system, str)
        else "".join(text.text for text in request.system or ())
    )
    return system + "".join(turn.text for turn in request.turns if turn.role in ("system", "developer"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
async def test_a_question_says_the_same_at_every_provider(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        provider.answer = ANSWER
        for stream in (False, True):
            answer = await ask(sdk, format, CONVERSATION[format], stream=stream)
            assert answer.text == "Good."
            request = asked(provider)
            turns = tuple(turn for turn in request.turns if turn.role not in ("system", "developer"))
            assert said(turns) == WHOLE_CONVERSATION
            assert instructions(request) == "Be brief."
            tool = request.tools[0]
            assert isinstance(tool, Tool)
            assert (tool.name, tool.description, tool.parameters) == ("find", "Finds.", PARAMETERS)
            assert request.tool_choice in (None, "auto")
            assert (request.max_output_tokens, request.temperature, request.top_p) == (300, 0.5, 0.9)
            assert request.model in ("m", "")


def with_choice(format: str, name: str | None) -> dict[str, Any]:
    """The conversation with the order to call a tool: any, or this one."""
    choices: dict[str, Any] = {
        "openai_chat": {"type": "function", "function": {"name": name}} if name else "required",
        "openai_responses": {"type": "function", "name": name} if name else "required",
        "anthropic": {"type": "tool", "name": name} if name else {"type": "any"},
    }
    return {**CONVERSATION[format], "tool_choice": choices[format]}


@pytest.mark.parametrize("kind", ["openai", "openai-responses", "anthropic", "offline"])
@pytest.mark.parametrize("format", FORMATS)
async def test_the_choice_of_a_tool_crosses(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        provider.answer = ANSWER
        await ask(sdk, format, with_choice(format, None), stream=False)
        assert asked(provider).tool_choice == "required"
        await ask(sdk, format, with_choice(format, "find"), stream=False)
        assert getattr(asked(provider).tool_choice, "name", None) == "find"


PICTURE: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": LINK}}]}]
    },
    "openai_responses": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": LINK, "detail": "auto"}]}]
    },
    "anthropic": {
        "messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": LINK}}]}]
    },
}


@pytest.mark.parametrize("kind", ["openai", "openai-responses", "anthropic", "offline"])
@pytest.mark.parametrize("format", FORMATS)
async def test_an_image_by_its_address_crosses(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        provider.answer = ANSWER
        await ask(sdk, format, PICTURE[format], stream=False)
        assert said(asked(provider).turns) == [("caller", LINK)]


def with_schema(format: str) -> dict[str, Any]:
    named = {"name": "number", "schema": SCHEMA, "strict": True}
    shapes: dict[str, dict[str, Any]] = {
        "openai_chat": {"response_format": {"type": "json_schema", "json_schema": named}},
        "openai_responses": {"text": {"format": {"type": "json_schema", **named}}},
        "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    }
    question: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}]}
    return {**({"input": "Hi"} if format == "openai_responses" else question), **shapes[format]}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", FORMATS)
async def test_structured_output_crosses(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        provider.answer = msgspec.structs.replace(ANSWER, content=(Text(text='{"n": 3}'),))
        answer = await ask(sdk, format, with_schema(format), stream=False)
        assert answer.text == '{"n": 3}'
        output = asked(provider).output
        assert isinstance(output, JSONSchema)
        assert output.schema == SCHEMA


STOPPING: dict[str, dict[str, Any]] = {
    "openai_chat": {"messages": [{"role": "user", "content": "Hi"}], "stop": ["END"]},
    "anthropic": {"messages": [{"role": "user", "content": "Hi"}], "stop_sequences": ["END"]},
}


@pytest.mark.parametrize("kind", ["openai", "anthropic", "ollama", "offline"])
@pytest.mark.parametrize("format", list(STOPPING))
async def test_stop_words_cross(format: str, kind: str) -> None:
    async with between(kind) as (running, provider), clients(running) as sdk:
        provider.answer = ANSWER
        await ask(sdk, format, STOPPING[format], stream=False)
        assert asked(provider).stop == ("END",)


# -- what cannot cross


def body_of(format: str, fields: dict[str, Any]) -> bytes:
    base: dict[str, Any] = {"model": "fast"}
    if format == "openai_responses":
        base["input"] = "Hi"
    else:
        base["messages"] = [{"role": "user", "content": "Hi"}]
    if format == "anthropic":
        base["max_tokens"] = 100
    return msgspec.json.encode({**base, **fields})


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("openai_responses", "previous_response_id", {"previous_response_id": "resp_1"}),
    ("openai_responses", "conversation", {"conversation": "conv_1"}),
    ("openai_responses", "prompt", {"prompt": {"id": "pmpt_1"}}),
    ("openai_responses", "background", {"background": True}),
    ("openai_responses", "tools[0]", {"tools": [{"type": "web_search"}]}),
    ("openai_responses", "item_reference", {"input": [{"type": "item_reference", "id": "msg_1"}]}),
    ("openai_chat", "n", {"n": 2}),
    ("openai_chat", "logprobs", {"logprobs": True}),
    ("openai_chat", "logit_bias", {"logit_bias": {"50256": -100}}),
    ("openai_chat", "web_search_options", {"web_search_options": {"search_context_size": "low"}}),
    ("openai_chat", "no_such_field", {"no_such_field": 1}),
    ("anthropic", "mcp_servers", {"mcp_servers": [{"type": "url", "url": "https://e.com", "name": "e"}]}),
    ("anthropic", "container", {"container": "container_1"}),
    ("anthropic", "tools[0]", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
]


@pytest.mark.parametrize(("format", "named", "fields"), REFUSED, ids=[f"{f}-{n}" for f, n, _ in REFUSED])
async def test_what_cannot_cross_is_refused_by_name_and_nothing_is_sent(
    format: str, named: str, fields: dict[str, Any]
) -> None:
    own = {"openai_chat": "openai", "openai_responses": "openai-responses", "anthropic": "anthropic"}[format]
    for kind in KINDS:
        if kind == own or (kind == "offline" and own == "openai"):
            continue
        async with between(kind) as (running, provider):
            provider.answer = ANSWER
            status, headers, answer = await raw_request(running, body_of(format, fields), path=PATHS[format])
            error = msgspec.json.decode(answer)["error"]
            assert status == 400, (kind, answer)
            assert named in error["message"]
            assert "x-tidyllm-attempts" not in headers
            assert not provider.bodies


async def test_ollama_takes_images_as_bytes_only_and_says_so() -> None:
    async with between("ollama") as (running, provider):
        for format in FORMATS:
            status, _, answer = await raw_request(
                running, body_of(format, PICTURE[format]), path=PATHS[format]
            )
            assert status == 400
            assert "pictures as bytes" in msgspec.json.decode(answer)["error"]["message"]
        assert not provider.bodies


async def test_what_was_left_out_is_told_in_a_header_whole_and_streamed() -> None:
    async with between("anthropic", lenient=True) as (running, provider):
        provider.answer = ANSWER
        for stream in (False, True):
            fields = {"seed": 7, "frequency_penalty": 0.5, "stream": stream, "store": True}
            status, headers, _ = await raw_request(running, body_of("openai_chat", fields))
            assert status == 200
            dropped = set(headers["x-tidyllm-dropped"].split(", "))
            assert {"seed", "frequency_penalty", "store"} <= dropped
            assert not {"seed", "frequency_penalty", "store"} & set(provider.bodies[-1])


SOFT: list[tuple[str, str, dict[str, Any]]] = [
    ("openai_chat", "logit_bias", {"logit_bias": {"50256": -100}}),
    ("openai_chat", "logprobs", {"logprobs": True, "top_logprobs": 3}),
    ("openai_chat", "frequency_penalty", {"frequency_penalty": 0.5}),
    ("openai_chat", "reasoning_effort", {"reasoning_effort": "heroic"}),
    ("openai_responses", "top_logprobs", {"top_logprobs": 3}),
    ("openai_responses", "include", {"include": ["message.output_text.logprobs"]}),
    ("openai_responses", "reasoning.mode", {"reasoning": {"mode": "pro"}}),
]


@pytest.mark.parametrize(("format", "named", "fields"), SOFT, ids=[f"{f}-{n}" for f, n, _ in SOFT])
async def test_a_lenient_provider_of_another_format_loses_what_only_weighs_words_and_says_so(
    format: str, named: str, fields: dict[str, Any]
) -> None:
    for lenient in (True, False):
        async with between("anthropic", lenient=lenient) as (running, provider):
            provider.answer = ANSWER
            status, headers, answer = await raw_request(running, body_of(format, fields), path=PATHS[format])
            if lenient:
                assert status == 200
                assert named in headers["x-tidyllm-dropped"].split(", ")
                assert not fields.keys() & provider.bodies[-1].keys()
            else:
                assert status == 400
                assert "lenient" in msgspec.json.decode(answer)["error"]["message"]


async def test_a_budget_for_a_task_is_lost_at_a_lenient_provider_and_nothing_else_of_its_section() -> None:
    async with between("openai", lenient=True) as (running, provider):
        provider.answer = ANSWER
        budget = {"task_budget": {"type": "tokens", "total": 9000}}
        for section, status in ((budget, 200), ({**budget, "unheard_of": 1}, 400)):
            body = body_of("anthropic", {"output_config": section})
            assert (await raw_request(running, body, path="/v1/messages"))[0] == status


@pytest.mark.parametrize(
    ("format", "named", "fields"),
    [one for one in REFUSED if one[1] not in ("logprobs", "logit_bias", "tools[0]")],
)
async def test_what_a_request_is_about_is_refused_by_lenient_providers_too(
    format: str, named: str, fields: dict[str, Any]
) -> None:
    kind = "openai" if format == "anthropic" else "anthropic"
    async with between(kind, lenient=True) as (running, provider):
        status, _, answer = await raw_request(running, body_of(format, fields), path=PATHS[format])
        assert status == 400
        assert named in msgspec.json.decode(answer)["error"]["message"]
        assert not provider.bodies


async def test_without_its_only_tool_a_request_to_a_lenient_provider_speaks_of_no_tools() -> None:
    fields = {"tools": [{"type": "web_search"}], "tool_choice": "auto", "parallel_tool_calls": False}
    for kind in ("anthropic", "ollama", "openai"):
        async with between(kind, lenient=True) as (running, provider):
            provider.answer = ANSWER
            body = body_of("openai_responses", fields)
            status, headers, _ = await raw_request(running, body, path="/v1/responses")
            assert status == 200
            assert "tools[0]" in headers["x-tidyllm-dropped"]
            assert not fields.keys() & provider.bodies[-1].keys()
