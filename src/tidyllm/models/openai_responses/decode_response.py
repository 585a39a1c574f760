"""The body of an answer to a `Response`. It knows nothing of HTTP and streams."""

from __future__ import annotations

from typing import Any, Final, cast

from tidyllm.models.checks import Misfit, array, object_, text
from tidyllm.models.message import Part
from tidyllm.models.openai_responses.decode_items import decode_item
from tidyllm.models.openai_responses.ending import Outcome, decode_ending
from tidyllm.models.openai_responses.errors import decode_failure
from tidyllm.models.openai_responses.marks import FORMAT
from tidyllm.models.openai_responses.usage import decode_usage
from tidyllm.models.response import Response

__all__ = ["answer_extra", "check_failure", "decode_response", "incomplete_reason"]

_READ: Final = frozenset({"error", "id", "incomplete_details", "model", "output", "status", "usage"})


def decode_response(body: dict[str, Any]) -> Response:
    """The answer in our types; `extra` holds the fields besides those that we have, as they came.

    :raises BadAnswer: the body is not what the format promises.
    :raises ModelError: the body says that the provider failed, mapped to the class of its error.
    """
    check_failure(body)
    try:
        parts: list[Part] = []
        outcome = Outcome()
        for i, value in enumerate(array(body.get("output", ...), "output")):
            item = object_(value, f"output[{i}]")
            parts += decode_item(item, f"output[{i}]")
            outcome.add(item)
        model, id_ = _name(body, "model"), _name(body, "id")
    except Misfit as misfit:
        raise misfit.answer() from None
    finish, word = decode_ending(body.get("status"), incomplete_reason(body), outcome)
    return Response(
        content=tuple(parts),
        finish_reason=finish,
        finish_reason_raw=word,
        usage=decode_usage(body.get("usage")),
        model=model,
        id=id_,
        raw=body,
        extra=answer_extra(body),
        format=FORMAT,
    )


def check_failure(body: dict[str, Any]) -> None:
    """:raises ModelError: this answer is the provider's own failure, whatever its HTTP status said."""
    failed = body.get("status") == "failed"
    if failed or (body.get("error") and body.get("status") != "completed"):
        raise decode_failure(body)


def incomplete_reason(body: dict[str, Any]) -> object:
    """Why the answer is incomplete, in the provider's word."""
    details: object = body.get("incomplete_details")
    return cast("dict[str, Any]", details).get("reason") if isinstance(details, dict) else None


def answer_extra(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer that `Response` has no place for."""
    return {key: value for key, value in body.items() if key not in _READ}


def _name(body: dict[str, Any], key: str) -> str:
    value: object = body.get(key)
    return "" if value is None else text(value, key)
