"""Why an answer ended, in the words of this format's many servers and in ours."""

from __future__ import annotations

from tidyllm.models.response import FinishReason

__all__ = ["finish_reason", "finish_word"]

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "refused",
    # Words of servers that copied the format, in lower case.
    "abort": "error",  # vLLM
    "end_turn": "stop",
    "eos": "stop",  # Together
    "eos_token": "stop",  # text-generation-inference
    "error": "error",  # OpenRouter, Mistral
    "insufficient_system_resource": "error",  # DeepSeek
    "max_tokens": "length",
    "model_context_window_exceeded": "length",  # Z.ai
    "model_length": "length",  # Mistral
    "network_error": "error",  # Z.ai
    "recitation": "refused",  # Gemini
    "refusal": "refused",
    "safety": "refused",  # Gemini
    "sensitive": "refused",  # Z.ai
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}
_OPENAI = ("stop", "length", "tool_calls", "function_call", "content_filter")
_WORD: dict[FinishReason, str] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "refused": "content_filter",
    "paused": "length",  # not whole, and no other word says so
    "error": "error",  # not OpenAI's, but an answer that failed must not read as one that is done
}


def finish_reason(raw: object, *, refused: bool = False) -> FinishReason:
    """Our word for a `finish_reason`; `unknown` for an empty one. `refused`: the model gave a refusal instead."""
    if not isinstance(raw, str):
        return "unknown"
    finish = _FINISH.get(raw.lower(), "unknown")
    return "refused" if refused and finish in {"stop", "unknown"} else finish


def finish_word(finish: FinishReason, raw: str | None, *, calls: bool) -> str:
    """The `finish_reason` for a caller: the provider's own word where it is one of OpenAI's.

    `calls`: the answer holds tool calls, which decides where the provider did not say why it ended.
    """
    if raw in _OPENAI and (_FINISH[raw] == finish or finish == "refused"):
        return raw
    return _WORD.get(finish) or ("tool_calls" if calls else "stop")
