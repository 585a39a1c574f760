"""What a caller handed to a model step, checked: people write dicts, forget lists, and name other models."""

from __future__ import annotations

import math
from types import NoneType
from typing import cast, get_args

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.message import File, Image, Message, Part, Role
from tidyllm.models.request import NamedTool, ProviderTool, Request, RequestLike, Tool

__all__ = ["checked_request"]

_NUMBER = ((float, int), "a number")
_INTEGER = ((int,), "a whole number")
_TEXT = ((str,), "text")
_FIELDS: dict[str, tuple[tuple[type, ...], str]] = {
    "system": ((str, tuple, list), "text or a tuple of Text"),
    "tools": ((tuple,), "a list of Tool"),
    "tool_choice": ((str, NamedTool), "'auto', 'none', 'required' or NamedTool(…)"),
    "parallel_tool_calls": ((bool,), "True or False"),
    "max_output_tokens": _INTEGER,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _INTEGER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "stop": ((tuple,), "text or a list of texts"),
    "seed": _INTEGER,
    "effort": _TEXT,
    "thinking_tokens": _INTEGER,
    "metadata": ((dict,), "a dict of texts"),
    "user": _TEXT,
    "extra": ((dict,), "a dict"),
}
_POSITIVE = frozenset({"max_output_tokens"})
_ROLES: tuple[str, ...] = get_args(Role)
_PARTS: tuple[type, ...] = get_args(Part)


def checked_request(x: RequestLike, model: str) -> Request:
    """The request in `x`, for the model named `model`.

    :raises BadRequest: it is neither text nor messages, is empty, names another model, or a field has a wrong type.
    """
    if isinstance(x, dict):  # iterating over it would find its keys
        raise _no_request(x)
    try:
        request = Request.of(x)
    except TypeError:
        raise _no_request(x) from None
    if not isinstance(request.messages, str):
        for place, message in enumerate(request.messages):
            if not isinstance(message, Message):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
                raise _no_request(message, f"messages[{place}]")
        if not request.messages:
            raise BadRequest("there are no messages to answer.", field="messages")
    if request.model not in ("", model):
        raise BadRequest(
            f"the request names the model {request.model!r}, but this step asks {model!r}.",
            field="model",
            hint="Leave Request.model empty.",
        )
    _check_fields(request)
    return msgspec.structs.replace(request, model=model)


def _check_fields(request: Request) -> None:
    for name, (kinds, said) in _FIELDS.items():
        value: object = getattr(request, name)
        if value is None:
            continue
        # bool is an int to Python, but nobody means `temperature=True`.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise BadRequest(f"{name} is {_shown(value)}, expected {said}.", field=name)
        if isinstance(value, float) and not math.isfinite(value):
            raise BadRequest(f"{name} is {value}, which is no finite number.", field=name)
        if name in _POSITIVE and isinstance(value, int) and value < 1:
            raise BadRequest(f"{name} is {value}, expected at least 1.", field=name)
    _check_items("tools", request.tools, (Tool, ProviderTool), "Tool(…)")
    _check_items("stop", request.stop, (str,), "text")
    if not isinstance(request.messages, str):
        for place, message in enumerate(request.messages):
            _check_message(message, f"messages[{place}]")


def _check_items(field: str, items: object, kinds: tuple[type, ...], said: str) -> None:
    for place, item in enumerate(cast("tuple[object, ...]", items)):
        if not isinstance(item, kinds):
            raise BadRequest(
                f"{field}[{place}] is {_shown(item)}, expected {said}.", field=f"{field}[{place}]"
            )


def _check_message(message: Message, where: str) -> None:
    if message.role not in _ROLES:
        raise BadRequest(
            f"{where}.role is {message.role!r}, expected one of {', '.join(_ROLES)}.", field=f"{where}.role"
        )
    content: object = message.content
    if isinstance(content, str):
        return
    if not isinstance(content, (tuple, list)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
        raise BadRequest(
            f"{where}.content is {_shown(content)}, expected text or parts.", field=f"{where}.content"
        )
    for place, part in enumerate(cast("tuple[object, ...]", content)):
        at = f"{where}.content[{place}]"
        if not isinstance(part, _PARTS):
            raise BadRequest(f"{at} is {_shown(part)}, expected a part such as Text(text=…).", field=at)
        url: object = part.url if isinstance(part, (Image, File)) else None
        if not isinstance(url, (str, NoneType)):  # pyright: ignore[reportUnnecessaryIsInstance] - bytes, most often
            hint = f"Bytes go into {type(part).__name__}(data=…, media_type=…)."
            raise BadRequest(f"{at}.url is {_shown(url)}, expected text.", field=f"{at}.url", hint=hint)


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:60] + '…'} (a {type(value).__name__})"


def _no_request(x: object, field: str | None = None) -> BadRequest:
    where = f"{field} is" if field else "a model got"
    hint = "Write text, Message.user(…), a list of messages, or Request(…)."
    return BadRequest(f"{where} a {type(x).__name__} where a message was expected.", field=field, hint=hint)
