"""What the offline model is told to answer, faults included. Data only."""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.message import ToolCall
from tidyllm.models.response import FinishReason, Usage

__all__ = ["Reply", "call"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the offline model; with the defaults it is an empty text.

    - `text`, `reasoning`, `tool_calls`: the content. A stream brings text and reasoning word by word.
    - `finish_reason`: default: `tool_calls` when there are any, else `stop`.
    - `usage`: default: one token for every four bytes of question and answer, rounded up.
    - `status`, `message`, `retry_after` (seconds): answer with this HTTP error instead.
    - `delay`: seconds before the first byte; `piece_delay`: seconds before each further piece of a stream.
    - `stall_after`, `cut_after`: after this many pieces a stream says nothing more, or breaks. A piece is a word, a
      tool call, or what frames them (the start, the usage, the end). An answer without a stream stalls or breaks, too.
    - `garbage`: bytes to send instead of any of this, with status 200.
    - `content_type`: of an answer that is not an error, where it should not be the right one (`text/html`).
    - `unreachable`: the connection is refused.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    status: int = 200
    message: str = "simulated error"
    retry_after: float | None = None
    delay: float = 0.0
    piece_delay: float = 0.0
    stall_after: int | None = None
    cut_after: int | None = None
    garbage: bytes | None = None
    content_type: str | None = None
    unreachable: bool = False


def call(name: str, /, **arguments: Any) -> ToolCall:
    """A tool call for a script: `Reply(tool_calls=(call("add", a=1, b=2),))`. It gets its id when it is answered."""
    return ToolCall(name=name, arguments=arguments, raw_arguments=msgspec.json.encode(arguments).decode())
