"""Why an answer ended: this format's `status` and `incomplete_details` to our finish reason and back."""

from __future__ import annotations

from typing import Any, Final, cast

from tidyllm.models.response import FinishReason

__all__ = ["Outcome", "decode_ending", "encode_ending"]

_CALLS: Final = frozenset({
    "apply_patch_call", "computer_call", "custom_tool_call", "function_call", "local_shell_call",
    "shell_call", "tool_search_call",
})  # fmt: skip
"""Items that may wait for the caller, unless the answer itself holds their output."""

_INCOMPLETE: Final[dict[str, FinishReason]] = {
    "content_filter": "refused",
    "max_output_tokens": "length",
    "max_messages": "length",
    "steered": "paused",
}
_UNFINISHED: Final = frozenset({"queued", "in_progress"})
"""An answer made in the background is not there yet: ask for it later by its id."""


class Outcome:
    """What the items of one answer say of its end. `add` each item."""

    __slots__ = ("_answered", "_calls", "asks", "refused")

    def __init__(self) -> None:
        self._calls: set[str] = set()
        self._answered: set[str] = set()
        self.asks = False  # for leave to run a tool of its own
        self.refused = False

    def add(self, item: dict[str, Any]) -> None:
        """Take in one item of the answer, whole."""
        kind: object = item.get("type")
        if kind == "message":
            content: object = item.get("content")
            parts = cast("list[Any]", content) if isinstance(content, list) else []
            self.refused |= any(
                isinstance(p, dict) and cast("dict[str, Any]", p).get("type") == "refusal" for p in parts
            )
        elif kind == "mcp_approval_request":
            self.asks = True
        elif kind in _CALLS and item.get("execution") != "server":
            self._calls.add(str(item.get("call_id")))
        elif isinstance(kind, str) and kind.endswith("_output"):
            self._answered.add(str(item.get("call_id")))

    @property
    def calls(self) -> bool:
        """Whether a call waits for the caller to run it."""
        return bool(self._calls - self._answered)


def decode_ending(status: object, reason: object, outcome: Outcome) -> tuple[FinishReason, str | None]:
    """Our finish reason and the provider's own word."""
    status = status if isinstance(status, str) else None
    if status in _UNFINISHED:
        return "paused", status
    if status == "incomplete":
        word = reason if isinstance(reason, str) else "incomplete"
        return _INCOMPLETE.get(word, "unknown"), word
    if status in {"cancelled", "failed"}:
        return "error", status
    if status not in {"completed", None}:  # servers that leave it out send whole answers
        return "unknown", status
    word = None if status is None else "completed"
    if outcome.calls:
        return "tool_calls", word
    if outcome.asks:
        return "paused", word
    return ("refused" if outcome.refused else "stop"), word


def encode_ending(
    finish: FinishReason, raw: str | None, *, refusal: bool
) -> tuple[str, dict[str, Any] | None]:
    """The fields `status` and `incomplete_details` for a caller.

    `refusal`: the answer holds the refusal as a part, which then is the answer, whole.
    """
    match finish:
        case "length":
            return "incomplete", {"reason": raw if raw == "max_messages" else "max_output_tokens"}
        case "refused" if not refusal:
            return "incomplete", {"reason": "content_filter"}
        case "paused" if raw in {"queued", "in_progress"}:
            return raw, None
        case "paused" if raw != "completed":
            return "incomplete", {"reason": "steered" if raw == "steered" else "paused"}
        case "error":
            return ("cancelled", None) if raw == "cancelled" else ("failed", None)
        case _:
            return "completed", None
