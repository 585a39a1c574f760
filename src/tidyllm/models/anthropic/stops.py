"""Why an answer ended, in Anthropic's words and ours."""

from __future__ import annotations

from tidyllm.models.response import FinishReason

__all__ = ["finish_reason", "stop_reason"]

_FINISH: dict[str, FinishReason] = {
    "compaction": "paused",
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "paused",
    "refusal": "refused",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
}

_STOP: dict[FinishReason, str] = {
    "length": "max_tokens",
    "paused": "pause_turn",
    "refused": "refusal",
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "unknown": "end_turn",  # a word we do not know, or none: the answer is there
}


def finish_reason(raw: str | None) -> FinishReason:
    """Our word for a `stop_reason`."""
    return _FINISH.get(raw, "unknown") if raw is not None else "unknown"


def stop_reason(finish: FinishReason, raw: str | None, *, calls_tools: bool, own: bool) -> str | None:
    """The `stop_reason` for a caller: the provider's own word where it is one of Anthropic's.

    `own`: Anthropic itself said it, and callers know its words of tomorrow. `calls_tools`: the answer holds a tool
    call. Agents go on only at `tool_use`, and some servers say "stop".
    """
    if raw is not None and (own or _FINISH.get(raw) == finish):
        return raw
    if own and finish == "unknown":
        return None
    if calls_tools and finish in {"stop", "unknown"}:
        return "tool_use"
    # A failure has no word of Anthropic's, and must not read as an answer that is done.
    return _STOP.get(finish) or "error"
