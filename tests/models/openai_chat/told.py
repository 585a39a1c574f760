"""What counts in an answer, as the official SDK reads it and as we do, in one shape to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion

from tidyllm.models.message import Opaque
from tidyllm.models.response import Response

__all__ = ["ask_sdk", "told_by_sdk", "told_by_us"]


def ask_sdk(sdk: OpenAI, number: int, *, stream: bool) -> Any:
    """The answer that the SDK makes of exchange `number`; a stream joined by the SDK's own means."""
    play = {"x-play": str(number)}
    if not stream:
        return sdk.chat.completions.create(model="any", messages=[], extra_headers=play)
    state = ChatCompletionStreamState()
    usage = None
    for chunk in sdk.chat.completions.create(model="any", messages=[], stream=True, extra_headers=play):
        list(state.handle_chunk(chunk))
        usage = chunk.usage or usage  # the SDK's own snapshot forgets it at a later chunk without usage
    state.current_completion_snapshot.usage = usage
    return state.current_completion_snapshot


def told_by_sdk(completion: ChatCompletion) -> dict[str, Any]:
    """The typed fields, and for what OpenAI has no field those that the SDK keeps beside them."""
    choice = completion.choices[0]
    message = choice.message
    extra = message.model_extra or {}
    content: Any = message.content
    details: list[dict[str, Any]] = extra.get("reasoning_details") or []
    words = "".join(entry.get("text") or entry.get("summary") or "" for entry in details)
    if isinstance(content, list):
        parts = cast("list[dict[str, Any]]", content)
        words = "".join(text["text"] for part in parts for text in part.get("thinking", []))
        content = "".join(part.get("text", "") for part in parts)
    calls: list[Any] = list(message.tool_calls or [])
    return {
        "id": completion.id,
        "model": completion.model,
        "text": content or "",
        "calls": [(call.id, call.function.name, call.function.arguments or "") for call in calls],
        "reasoning": words or extra.get("reasoning_content") or extra.get("reasoning") or "",
        "refusal": message.refusal or "",
        "finish": choice.finish_reason or "",
        "usage": _usage(completion),
    }


def _usage(completion: ChatCompletion) -> tuple[int | None, ...]:
    usage = completion.usage
    if usage is None:
        return (None, None, None, None)
    prompt, answer = usage.prompt_tokens_details, usage.completion_tokens_details
    beside: Mapping[str, Any] = usage.model_extra or {}
    cached = prompt.cached_tokens if prompt else None
    if cached is None:  # servers that put it elsewhere
        cached = beside.get(
            "num_cached_tokens", beside.get("cached_tokens", beside.get("prompt_cache_hit_tokens"))
        )
    return (usage.prompt_tokens, usage.completion_tokens, cached, answer.reasoning_tokens if answer else None)


def told_by_us(response: Response) -> dict[str, Any]:
    """The same, as we read it."""
    usage = response.usage
    return {
        "id": response.id,
        "model": response.model,
        "text": response.text,
        "calls": [(call.id, call.name, call.raw_arguments) for call in response.tool_calls],
        "reasoning": response.reasoning,
        "refusal": "".join(
            part.data["refusal"]
            for part in response.content
            if isinstance(part, Opaque) and part.data["type"] == "refusal"
        ),
        "finish": response.finish_reason_raw or "",
        "usage": (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.reasoning_tokens),
    }
