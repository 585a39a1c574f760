"""How our events are named in OpenTelemetry: the one file that follows its conventions. It imports nothing of it.

Names are those of the GenAI semantic conventions 1.41.1, the last release that held them: the client spans of an
inference and of embeddings. Since then they live in `open-telemetry/semantic-conventions-genai`, which has released
nothing yet and calls all of them in development; read there in October 2026 (1.42.0-dev), one of what we record has
another name: `cache_creation.input_tokens` becomes `cache_write.input_tokens`. What the conventions have no name for
is under `tidyllm.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from tidyllm.core import AttemptFinished, BreakerChanged, CallFinished, FellBack, Retrying

__all__ = [
    "SCHEMA_URL",
    "VERSION",
    "Attributes",
    "attempt_attributes",
    "attempt_name",
    "call_attributes",
    "error_type",
    "mark",
]

VERSION = "1.41.1"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{VERSION}"

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = dict[str, Value]

# Kinds of ours that the conventions spell differently; every other name is the same, or unknown to them.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}

# Our names in `AttemptFinished.attributes`, for values that are recorded as they are.
_NAMES = {
    "audio_cache_read_tokens": "tidyllm.usage.audio_cache_read.input_tokens",
    "audio_input_tokens": "tidyllm.usage.audio.input_tokens",
    "audio_output_tokens": "tidyllm.usage.audio.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "input_messages": "gen_ai.input.messages",
    "input_tokens": "gen_ai.usage.input_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "output_messages": "gen_ai.output.messages",
    "output_tokens": "gen_ai.usage.output_tokens",
    "region": "cloud.region",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "request_id": "tidyllm.provider.request_id",
    "response_id": "gen_ai.response.id",
    "response_model": "gen_ai.response.model",
    "server_address": "server.address",
    "server_port": "server.port",
    "status": "http.response.status_code",
    "system_instructions": "gen_ai.system_instructions",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
}


def attempt_name(event: AttemptFinished) -> str:
    """`chat gpt-5.1`: the operation and the model that was asked for."""
    return valid(f"{event.operation} {event.model}")


def attempt_attributes(event: AttemptFinished) -> Attributes:
    """What is known of one attempt."""
    found: Attributes = {
        "gen_ai.operation.name": event.operation,
        "gen_ai.provider.name": _PROVIDERS.get(event.provider, event.provider),
        "gen_ai.request.model": valid(event.model),
        "tidyllm.target": event.target,
    }
    given = event.attributes
    for ours, value in given.items():
        name = _NAMES.get(ours)
        if name is not None and value is not None and value != "":
            found[name] = valid(value) if isinstance(value, str) else value
    _combine(found, given)
    if event.first_piece is not None:
        found["gen_ai.response.time_to_first_chunk"] = event.first_piece - event.started
    if event.error is not None:
        found["error.type"] = error_type(event.error)
    return found


def _combine(found: Attributes, given: Mapping[str, object]) -> None:
    """The attributes that are not simply ours under another name."""
    written = [given[name] for name in ("cache_write_5m_tokens", "cache_write_1h_tokens") if name in given]
    if written:
        found["gen_ai.usage.cache_creation.input_tokens"] = sum(n for n in written if isinstance(n, int))
    if given.get("stream"):
        found["gen_ai.request.stream"] = True  # only for streams: its absence means the opposite
    reason = given.get("finish_reason")
    if isinstance(reason, str):
        found["gen_ai.response.finish_reasons"] = (reason,)
    cost = given.get("cost_usd")
    if isinstance(cost, Decimal | int | float):
        found["tidyllm.cost_usd"] = float(cost)
    saved = given.get("cache_saved_usd")
    if isinstance(saved, Decimal):
        found["tidyllm.cache_saved_usd"] = float(saved)


def call_attributes(event: CallFinished, *, root: bool) -> Attributes:
    """What is known of one call of a step; the run's tags stand on its `root` only."""
    ctx = event.ctx
    found: Attributes = {"tidyllm.path": valid("/".join(ctx.path))}
    if root:
        for tag, value in ctx.tags.items():
            found[valid(f"tidyllm.tag.{tag}")] = valid(value)
    if event.first_piece is not None:
        found["tidyllm.time_to_first_piece"] = event.first_piece - event.started
        found["tidyllm.pieces"] = event.pieces
    if event.error is not None:
        found["error.type"] = error_type(event.error)
    return found


def mark(event: Retrying | FellBack | BreakerChanged) -> tuple[str, Attributes]:
    """Name and attributes of the span event for something that happened during a call."""
    if isinstance(event, Retrying):
        return "retry", {
            "tidyllm.step": valid(event.name),
            "tidyllm.attempt": event.attempt,
            "tidyllm.delay": event.delay,
            "error.type": error_type(event.error),
        }
    if isinstance(event, FellBack):
        return "fallback", {
            "tidyllm.source": valid(event.source),
            "tidyllm.target": valid(event.target),
            "error.type": error_type(event.error),
        }
    return "breaker", {"tidyllm.breaker": valid(event.name), "tidyllm.breaker.state": event.state}


def error_type(error: BaseException) -> str:
    """The class of an error, as metrics and logs name it too: few values, each with one meaning."""
    return type(error).__name__


def valid(text: str) -> str:
    """`text` fit for UTF-8: one lone surrogate would make an exporter lose the whole batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
