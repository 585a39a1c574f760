"""What a caller handed to a model step, checked: people write dicts, forget lists, and name other models."""

from __future__ import annotations

import math

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.message import Message
from tidyllm.models.request import Request, RequestLike

__all__ = ["checked_request"]

_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")


def checked_request(x: RequestLike, model: str) -> Request:
    """The request in `x`, for the model named `model`.

    :raises BadRequest: it is neither text nor messages, is empty, names another model, or holds NaN or infinity.
    """
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
    for name in _NUMBERS:
        value: float | None = getattr(request, name)
        if value is not None and not math.isfinite(value):
            raise BadRequest(f"{name} is {value}, which is no finite number.", field=name)
    return msgspec.structs.replace(request, model=model)


def _no_request(x: object, field: str | None = None) -> BadRequest:
    where = f"{field} is" if field else "a model got"
    hint = "Write text, Message.user(…), a list of messages, or Request(…)."
    return BadRequest(f"{where} a {type(x).__name__} where a message was expected.", field=field, hint=hint)
