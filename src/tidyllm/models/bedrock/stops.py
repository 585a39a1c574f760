"""Why an answer ended, in Bedrock's words and ours."""

from __future__ import annotations

from tidyllm.models.response import FinishReason

__all__ = ["finish_reason"]

_FINISH: dict[str, FinishReason] = {
    "content_filtered": "refused",
    "end_turn": "stop",
    "guardrail_intervened": "refused",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "paused",
    "refusal": "refused",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}


def finish_reason(raw: str | None) -> FinishReason:
    """Our word for a `stopReason`."""
    return _FINISH.get(raw, "unknown") if raw is not None else "unknown"
