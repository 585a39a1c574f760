"""Never run: the type checker proves that models compose as steps do, and that mistakes are found before they run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, assert_type

import tidyllm
from tidyllm import Branch, Fallback, Request, Response, Retry, Sequence, Step, Timeout, model
from tidyllm.config import Routes, Settings, read
from tidyllm.models import Message, RequestLike, Text, ToolCall
from tidyllm.models.model import Model
from tidyllm.models.piece import Piece
from tidyllm.testing import Reply, Scripted, call, scripted


def shout(reply: Response) -> str:
    return reply.text.upper()


async def count(text: str) -> int:
    return len(text)


def number(reply: int) -> int:
    return reply


async def models() -> None:
    asked = model("openai/gpt-5-mini", base_url="http://localhost/v1", api_key="k")
    assert_type(asked, Model)
    assert_type(await asked("Hi"), Response)
    assert_type(await asked(Request("Hi", system="Be brief.")), Response)
    assert_type(await asked([Message.user("Hi")]), Response)
    assert_type(asked.run_sync(Message.user("Hi")), Response)
    assert_type(asked.stream("Hi"), AsyncGenerator[Piece, None])
    assert_type(asked.join([]), Response)
    await asked(5)  # pyright: ignore[reportArgumentType]


async def composition() -> None:
    asked = model("offline/echo")
    assert_type(asked >> shout, Sequence[RequestLike, str])
    assert_type(asked >> shout >> count, Sequence[RequestLike, int])
    assert_type(await (asked | asked)("Hi"), tuple[Response, Response])
    assert_type(await (asked >> shout)("Hi"), str)
    assert_type(Retry(Timeout(asked, total=3)), Retry[RequestLike, Response])
    assert_type(Fallback(asked, asked), Fallback[RequestLike, Response])
    asked >> number  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    step: Step[str, Response] = asked
    assert_type(await step("Hi"), Response)
    Branch({"fast": asked, "good": asked}, by=lambda x: "fast")


async def replies() -> None:
    reply = await model("offline/echo")("Hi")
    assert_type(reply.text, str)
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.tool_calls[0].arguments, dict[str, Any])
    assert_type(reply.usage.input_tokens, int | None)
    assert_type(reply.message, Message)
    Message.assistant(*reply.content, Text(text="more"))


def configuration() -> None:
    routes = tidyllm.load("tidyllm.yaml", env="staging")
    assert_type(routes, Routes)
    assert_type(routes["fast"], Step[RequestLike, Response])
    assert_type(routes["fast"].run_sync("Hi").text, str)
    assert_type(read(Path("tidyllm.yaml")), Settings)


def doubles() -> None:
    asked = scripted("a", Reply(tool_calls=(call("add", a=1),)))
    assert_type(asked, Scripted)
    assert_type(asked.requests, list[Request])
    scripted(lambda request: request.turns[0].text)
    scripted(5)  # pyright: ignore[reportArgumentType]
