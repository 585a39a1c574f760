"""Pieces to the events of a stream for a caller. It knows the order in which clients want to be told, and no
network.

Every item is announced, told in deltas, and ended with the whole of it; the last event holds the whole
answer. A text or a reasoning ends when the next part begins. Function calls end with the answer, because
other formats may tell several at a time. What comes for a part after its end (a signature, say) is in the
last event only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from tidyllm.errors import TidyllmError
from tidyllm.models.fold import fold
from tidyllm.models.format import NOTHING_ASKED
from tidyllm.models.message import Part, Text, Thinking, ToolCall
from tidyllm.models.openai_responses.answer_items import (
    call_item,
    in_message,
    message_item,
    new_id,
    objects,
    other_item,
    output_part,
    reasoning_item,
)
from tidyllm.models.openai_responses.echo import repeated
from tidyllm.models.openai_responses.encode_response import (
    answer_object,
    failure_object,
    has_refusal,
    own_fields,
)
from tidyllm.models.openai_responses.ending import encode_ending
from tidyllm.models.openai_responses.errors import error_object
from tidyllm.models.openai_responses.events import Events
from tidyllm.models.openai_responses.marks import FORMAT, item_fields
from tidyllm.models.openai_responses.open_part import OpenMessage, OpenPart
from tidyllm.models.openai_responses.usage import encode_usage
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.request import Request

__all__ = ["ResponsesStreamEncoder"]


class ResponsesStreamEncoder:
    """The events of one answer."""

    def __init__(self, request: Request, asked: Mapping[str, msgspec.Raw] = NOTHING_ASKED) -> None:
        self._events = Events()
        self._id = ""
        self._model = ""
        self._asked = request.model
        self._repeated = repeated(asked)
        self._frame: list[Piece] = []  # start, usage and finish
        self._parts: dict[int, OpenPart] = {}
        self._calls: list[OpenPart] = []
        self._open: OpenPart | None = None  # a text or a reasoning
        self._message: OpenMessage | None = None
        self._output: list[dict[str, Any]] = []  # an item's place is taken when it is announced
        self._refused = False

    # -- what the format wants

    def feed(self, piece: Piece) -> bytes:
        if type(piece) is TextPiece:
            held = self._open
            if held is not None and not piece.extra and self._parts.get(piece.index) is held:
                held.pieces.append(piece)
                return self._events.text(piece.text, held.content_index, held.id, held.output_index)
            return self._begun() + self._text(piece)
        match piece:
            case Start():
                self._id, self._model = self._id or piece.id, self._model or piece.model
                self._frame.append(piece)
                return self._begun()
            case UsagePiece() | Finish():
                self._frame.append(piece)
                return b""
            case ThinkingPiece():
                return self._begun() + self._thinking(piece)
            case ToolCallPiece():
                return self._begun() + self._call(piece)
            case _:
                return self._begun() + self._whole(cast("WholePart", piece))

    def end(self) -> bytes:
        answer = fold(self._frame)
        status, details = encode_ending(answer.finish_reason, answer.finish_reason_raw, refusal=self._refused)
        events = self._begun()
        state = "incomplete" if status == "incomplete" else "completed"
        events += self._close(state if not self._calls else "completed")
        for call in self._calls:
            events += self._close_call(call, state if call is self._calls[-1] else "completed")
        known = own_fields(answer.extra, own=answer.format == FORMAT)
        fields = {**self._repeated, **known}
        body = answer_object(self._id, self._model or self._asked, status, fields)
        body |= {"output": self._output, "incomplete_details": details, "usage": encode_usage(answer.usage)}
        if status == "failed":
            body["error"] = failure_object(answer.finish_reason_raw)
        kind = {
            "completed": "response.completed",
            "failed": "response.failed",
            "cancelled": "response.failed",
        }
        return events + self._events.write(kind.get(status, "response.incomplete"), response=body)

    def error(self, error: TidyllmError, *, request_id: str | None = None) -> bytes:
        # The documented event is flat; the official client raises only where it finds an object `error`.
        told = error_object(error)
        flat = {name: told[name] for name in ("code", "message", "param")}
        return self._events.write("error", **flat, error=told)

    # -- parts

    def _text(self, piece: TextPiece) -> bytes:
        events = b""
        held = self._parts.get(piece.index)
        if held is None or (held is not self._open and piece.text):
            if not piece.text and not piece.extra:
                return b""  # nothing is said yet
            events, held = self._open_text(piece)
        elif held is not self._open:
            return b""  # fields that came after the end of their text
        held.pieces.append(piece)
        if piece.text:
            place = held.content
            events += self._events.write("response.output_text.delta", delta=piece.text, logprobs=[], **place)
        return events

    def _open_text(self, piece: TextPiece) -> tuple[bytes, OpenPart]:
        id_: object = item_fields(Text(extra=piece.extra)).get("id")
        events = self._close_part()
        if self._message is not None and id_ is not None and id_ != self._message.fields["id"]:
            events += self._close_message("completed")
        events += self._open_message(id_ if isinstance(id_, str) else new_id("msg"))
        assert self._message is not None
        message = self._message
        held = OpenPart(TextPiece, message.output_index, message.fields["id"], len(message.content))
        self._parts[piece.index] = self._open = held
        part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        return events + self._events.write("response.content_part.added", part=part, **held.content), held

    def _open_message(self, id: str) -> bytes:
        if self._message is not None:
            return b""
        self._message = OpenMessage(len(self._output), id)
        item = message_item([], {"id": id}, "in_progress")
        return self._announce(item)

    def _thinking(self, piece: ThinkingPiece) -> bytes:
        events = b""
        held = self._parts.get(piece.index)
        if held is None or (held is not self._open and piece.thinking):
            if not (piece.thinking or piece.id or piece.extra) and (piece.signature, piece.encrypted) == (
                None,
                None,
            ):
                return b""  # nothing is said yet
            events = self._close("completed")
            held = OpenPart(ThinkingPiece, len(self._output), piece.id or new_id("rs"))
            events += self._announce({"type": "reasoning", "id": held.id, "summary": []})
            self._parts[piece.index] = self._open = held
        if not piece.thinking:
            held.pieces.append(piece)
            if held is not self._open:
                self._output[held.output_index] = self._reasoning(held)
            return events
        if not held.told:
            held.told = True
            part = {"type": "summary_text", "text": ""}
            events += self._events.write("response.reasoning_summary_part.added", part=part, **held.summary)
        held.pieces.append(piece)
        return events + self._events.write(
            "response.reasoning_summary_text.delta", delta=piece.thinking, **held.summary
        )

    def _call(self, piece: ToolCallPiece) -> bytes:
        events = b""
        held = self._parts.get(piece.index)
        if held is None:
            events = self._close("completed")
            item = call_item(ToolCall(id=piece.id, name=piece.name, extra=piece.extra), "in_progress")
            item["arguments"] = ""
            held = OpenPart(ToolCallPiece, len(self._output), item["id"])
            piece = msgspec.structs.replace(piece, id=item["call_id"])
            events += self._announce(item)
            self._parts[piece.index] = held
            self._calls.append(held)
        held.pieces.append(piece)
        if piece.arguments:
            events += self._events.write(
                "response.function_call_arguments.delta", delta=piece.arguments, **held.item
            )
        return events

    def _whole(self, piece: WholePart) -> bytes:
        part = piece.part
        if isinstance(part, Text):
            return self._text(TextPiece(part.text, piece.index, part.extra))
        if isinstance(part, Thinking):
            told = ThinkingPiece(part.text, piece.index, part.signature, part.encrypted, part.id, part.extra)
            return self._thinking(told)
        if isinstance(part, ToolCall):
            raw = call_item(part)["arguments"]
            return self._call(ToolCallPiece(piece.index, part.id, part.name, raw, part.extra))
        if in_message(part):
            return self._refusal(part)
        item = other_item(part)
        if item is None:
            return b""
        events = self._close("completed") + self._announce(item)
        place = len(self._output) - 1
        return events + self._events.write("response.output_item.done", item=item, output_index=place)

    def _refusal(self, part: Part) -> bytes:
        """A refusal, or another part inside of a message that comes as a whole."""
        body = output_part(part)
        self._refused |= has_refusal((part,))
        events = self._close_part() + self._open_message(item_fields(part).get("id") or new_id("msg"))
        message = self._message
        assert message is not None
        message.fields.update(item_fields(part))
        place = {"item_id": message.fields["id"], "output_index": message.output_index}
        place["content_index"] = len(message.content)
        message.content.append(body)
        if isinstance(body.get("refusal"), str):
            empty = {**body, "refusal": ""}
            events += self._events.write("response.content_part.added", part=empty, **place)
            events += self._events.write("response.refusal.delta", delta=body["refusal"], **place)
            events += self._events.write("response.refusal.done", refusal=body["refusal"], **place)
        else:
            events += self._events.write("response.content_part.added", part=body, **place)
        return events + self._events.write("response.content_part.done", part=body, **place)

    # -- ends

    def _close(self, status: str) -> bytes:
        """End the text or the reasoning that is being told, and its item."""
        return self._close_part() + self._close_message(status)

    def _close_part(self) -> bytes:
        held, self._open = self._open, None
        if held is None:
            return b""
        if held.kind is ThinkingPiece:
            return self._close_reasoning(held)
        message = self._message
        assert message is not None
        part = held.whole()
        body = output_part(part)
        message.content.append(body)
        message.fields.update(item_fields(part), id=message.fields["id"])
        place = held.content
        events = b""
        for i, annotation in enumerate(objects(body.get("annotations"))):
            told = {"annotation": annotation, "annotation_index": i, **place}
            events += self._events.write("response.output_text.annotation.added", **told)
        events += self._events.write(
            "response.output_text.done", text=body["text"], logprobs=body.get("logprobs"), **place
        )
        return events + self._events.write("response.content_part.done", part=body, **place)

    def _close_message(self, status: str) -> bytes:
        message, self._message = self._message, None
        if message is None:
            return b""
        item = message_item(message.content, message.fields, status)
        if status == "incomplete":
            item["status"] = status
        return self._item_done(item, message.output_index)

    def _close_reasoning(self, held: OpenPart) -> bytes:
        item = self._reasoning(held)
        text = cast("Thinking", held.whole()).text
        events = b""
        if text:
            place = held.summary
            part = {"type": "summary_text", "text": text}
            events = self._events.write("response.reasoning_summary_text.done", text=text, **place)
            events += self._events.write("response.reasoning_summary_part.done", part=part, **place)
        return events + self._item_done(item, held.output_index)

    def _reasoning(self, held: OpenPart) -> dict[str, Any]:
        return {**reasoning_item(cast("Thinking", held.whole())), "id": held.id}

    def _close_call(self, held: OpenPart, status: str) -> bytes:
        call = cast("ToolCall", held.whole())
        item = {**call_item(call, status), "id": held.id, "arguments": call.raw_arguments or "{}"}
        place = held.item
        events = b""
        if not call.raw_arguments:  # clients parse what they are told; no arguments are an empty object
            events = self._events.write("response.function_call_arguments.delta", delta="{}", **place)
        told = {"arguments": item["arguments"], "name": call.name, **place}
        events += self._events.write("response.function_call_arguments.done", **told)
        return events + self._item_done(item, held.output_index)

    # -- events

    def _begun(self) -> bytes:
        """The events in front of all others, once."""
        if self._events.count:
            return b""
        self._id = self._id or new_id("resp")
        body = answer_object(self._id, self._model or self._asked, "in_progress", self._repeated)
        return self._events.write("response.created", response=body) + self._events.write(
            "response.in_progress", response=body
        )

    def _announce(self, item: dict[str, Any]) -> bytes:
        self._output.append(item)
        return self._events.write("response.output_item.added", item=item, output_index=len(self._output) - 1)

    def _item_done(self, item: dict[str, Any], place: int) -> bytes:
        self._output[place] = item
        return self._events.write("response.output_item.done", item=item, output_index=place)
