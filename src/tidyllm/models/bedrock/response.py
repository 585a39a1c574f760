"""A whole answer of Converse to a `Response`. It knows nothing of requests or streams."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from tidyllm.errors import BadAnswer
from tidyllm.models.bedrock.errors import error_in
from tidyllm.models.bedrock.fields import FORMAT
from tidyllm.models.bedrock.stops import finish_reason
from tidyllm.models.checks import Misfit, is_object, json_text, object_in, text_in
from tidyllm.models.message import Image, Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.pricing_usage import bedrock_usage
from tidyllm.models.response import Response

__all__ = ["CITED", "OWN", "answer_extra", "decode_block", "decode_response", "image_part"]

_FIELDS: Final = frozenset({"output", "stopReason", "usage"})
CITED: Final[dict[str, Any]] = {FORMAT: {"citations": True}}
"""The mark of a text that came as `citationsContent`."""
OWN: Final[dict[str, Any]] = {FORMAT: {}}
"""The mark of reasoning: whoever signed it, it came from here."""


def decode_response(body: dict[str, Any]) -> Response:
    """:raises BadAnswer: the body is no answer of Converse.
    :raises ModelError: the body is an error, though its status was good.
    """
    if (error := error_in(body)) is not None:
        raise error
    content: object = object_in(object_in(body, "output"), "message").get("content")
    if not isinstance(content, list):
        raise BadAnswer(
            "the answer holds no `output.message.content`; expected an answer of Bedrock's Converse."
        )
    blocks: list[object] = content  # pyright: ignore[reportUnknownVariableType]
    raw = text_in(body, "stopReason") or None
    return Response(
        content=tuple(decode_block(block, f"output.message.content[{i}]") for i, block in enumerate(blocks)),
        finish_reason=finish_reason(raw),
        finish_reason_raw=raw,
        usage=bedrock_usage(object_in(body, "usage")),
        raw=body,
        extra=answer_extra(body, _FIELDS),
        format=FORMAT,
    )


def decode_block(block: object, where: str) -> Part:
    """The part for one content block; a block we have no part for stays whole as `Opaque`.

    :raises BadAnswer: it is no content block.
    """
    if not is_object(block) or not block:
        raise BadAnswer(f"the answer breaks its format: {where} is no content block.")
    if isinstance(text := block.get("text"), str):
        return Text(text=text)
    if is_object(call := block.get("toolUse")) and text_in(call, "type") in {"", "tool_use"}:
        return _tool_call(call, where)
    if is_object(thought := block.get("reasoningContent")):
        return _thinking(thought) or Opaque(format=FORMAT, data=block)
    if is_object(cited := block.get("citationsContent")):
        return _cited(cited) or Opaque(format=FORMAT, data=block)
    if is_object(image := block.get("image")):
        return image_part(image) or Opaque(format=FORMAT, data=block)
    return Opaque(format=FORMAT, data=block)


def image_part(image: dict[str, Any]) -> Image | None:
    """The picture in an `image` block; None when `Image` has no place for all of it."""
    source = object_in(image, "source")
    data, format = text_in(source, "bytes"), text_in(image, "format")
    if set(image) != {"format", "source"} or set(source) != {"bytes"} or not format:
        return None
    try:
        return Image(data=base64.b64decode(data, validate=True), media_type=f"image/{format}")
    except (binascii.Error, ValueError):
        return None


def answer_extra(body: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """What an answer says beside the common. `service_tier` is the name of the price that holds, if that is no list
    price.
    """
    extra = {key: value for key, value in body.items() if key not in known and value is not None}
    tier = text_in(object_in(body, "serviceTier"), "type")
    if text_in(object_in(body, "performanceConfig"), "latency") == "optimized":
        tier = "latency-optimized"
    if tier:
        extra["service_tier"] = tier
    return extra


def _tool_call(call: dict[str, Any], where: str) -> ToolCall:
    given: object = call.get("input", {})
    name = text_in(call, "name")
    if not name:
        raise BadAnswer(f"the answer breaks its format: {where}.toolUse has no name.")
    try:
        raw = given if isinstance(given, str) else json_text(given, f"{where}.toolUse.input")
    except Misfit as misfit:
        raise misfit.answer() from None
    return ToolCall.parse(text_in(call, "toolUseId"), name, raw)


def _thinking(thought: dict[str, Any]) -> Thinking | None:
    if is_object(told := thought.get("reasoningText")):
        return Thinking(
            text=text_in(told, "text"), signature=text_in(told, "signature") or None, extra=dict(OWN)
        )
    if isinstance(redacted := thought.get("redactedContent"), str):
        return Thinking(encrypted=redacted, extra=dict(OWN))
    return None


def _cited(cited: dict[str, Any]) -> Text | None:
    content: object = cited.get("content")
    citations: object = cited.get("citations")
    if not isinstance(content, list):
        return None
    texts: list[object] = content  # pyright: ignore[reportUnknownVariableType]
    joined = "".join(text_in(one, "text") for one in texts if is_object(one))
    return Text(text=joined, extra={"citations": citations or [], **CITED})
