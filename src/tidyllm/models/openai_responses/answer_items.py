"""Parts of an answer to output items for a caller. It knows neither answers as a whole nor streams.

Ids that a part does not have are made up; so are the fields which clients rely on. What this format has no
item for (a part that only another format understands, sound, a file) is None.
"""

from __future__ import annotations

import base64
from typing import Any, Final, cast

from tidyllm.models import ids
from tidyllm.models.loans import loan
from tidyllm.models.message import Image, Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_responses.decode_items import reasoning_text
from tidyllm.models.openai_responses.encode_items import arguments_of, summary_of
from tidyllm.models.openai_responses.marks import FORMAT, item_fields, mark_of

__all__ = [
    "annotations_of",
    "call_item",
    "encrypted_of",
    "in_message",
    "message_item",
    "new_id",
    "objects",
    "other_item",
    "output_part",
    "reasoning_item",
]


_ANNOTATIONS: Final = ("container_file_citation", "file_citation", "file_path", "url_citation")


def new_id(kind: str) -> str:
    """An id as this format has them: `msg_` and 48 hexadecimal digits."""
    return ids.new_id(f"{kind}_", 48)


def in_message(part: Part) -> bool:
    """Whether the part stands inside of a message item. Refusals do, that of OpenAI's other format as well."""
    if isinstance(part, Opaque) and part.format == "openai_chat":
        return part.data.get("type") == "refusal"
    return isinstance(part, Text) or (
        isinstance(part, Opaque) and part.format == FORMAT and mark_of(part) is not None
    )


def message_item(parts: list[dict[str, Any]], fields: dict[str, Any], status: str) -> dict[str, Any]:
    """A message item around content parts. `fields`: what the mark of its parts keeps, `id` at least."""
    return {"type": "message", "role": "assistant", "status": status, **fields, "content": parts}


def output_part(part: Part) -> dict[str, Any]:
    """A content part of a message item."""
    if isinstance(part, Opaque):
        return part.data
    assert isinstance(part, Text)
    if mark_of(part) is None:  # another format's fields have other meanings
        own: dict[str, Any] = {"annotations": annotations_of(part.extra, len(part.text))}
    else:
        own = {key: value for key, value in part.extra.items() if key != FORMAT}
    return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": [], **own}


def annotations_of(extra: dict[str, Any], length: int) -> list[dict[str, Any]]:
    """The annotations of a text: our own as they are, chat's flattened, Anthropic's citations of web pages.

    A citation without a URL (of a place in a document of the prompt), or of an unknown type, has no place here.
    """
    found: list[dict[str, Any]] = []
    for value in objects(extra.get("annotations")):
        kind = value.get("type")
        if kind in _ANNOTATIONS:
            inner: object = value.get(kind)
            found.append(
                {"type": kind, **cast("dict[str, Any]", inner)} if isinstance(inner, dict) else value
            )
    for value in objects(extra.get("citations")):
        if isinstance(value.get("url"), str):
            where = {
                "url": value["url"],
                "title": value.get("title") or "",
                "start_index": 0,
                "end_index": length,
            }
            found.append({"type": "url_citation", **where})
    return found


def reasoning_item(part: Thinking) -> dict[str, Any]:
    """A reasoning item. Its text is the summary, which is what clients show, unless the part knows better."""
    fields = item_fields(part)
    item: dict[str, Any] = {
        "type": "reasoning",
        "id": part.id or new_id("rs"),
        "summary": summary_of(part.text),
    }
    if (encrypted := encrypted_of(part)) is not None:
        item["encrypted_content"] = encrypted
    if fields and reasoning_text(fields, "item") != part.text:  # the text was changed since
        fields = {key: value for key, value in fields.items() if key not in {"summary", "content"}}
    return {**item, **fields}


def encrypted_of(part: Thinking) -> str | None:
    """What the provider wants back, as `encrypted_content`; what another one wants is a loan."""
    return part.encrypted if mark_of(part) is not None else loan(part)


def call_item(part: ToolCall, status: str = "completed") -> dict[str, Any]:
    """A function call."""
    return {
        "type": "function_call",
        "id": new_id("fc"),
        "call_id": part.id or ids.new_id("call_"),
        "name": part.name,
        "arguments": arguments_of(part),
        "status": status,
        **item_fields(part),
    }


def other_item(part: Part) -> dict[str, Any] | None:
    """The item for a part that is none of the above; None where there is none."""
    if isinstance(part, Opaque) and part.format == FORMAT:
        return part.data
    if isinstance(part, Image) and part.data is not None:
        result = base64.b64encode(part.data).decode()
        return {"type": "image_generation_call", "id": new_id("ig"), "status": "completed", "result": result}
    return None


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list; anything else is none."""
    values = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in values if isinstance(each, dict)]
