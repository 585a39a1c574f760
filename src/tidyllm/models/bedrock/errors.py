"""Bedrock's errors to ours. It knows nothing of requests or answers.

The class stands in the header `x-amzn-errortype` (`ValidationException:http://…`), or in the body as `__type`; inside
of a stream it is the exception's name. The body is `{"message": "..."}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tidyllm.errors import (
    AuthError,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
)
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.provider_errors import by_status, json_body, sentence, shown
from tidyllm.models.retry_after import retry_after

__all__ = ["decode_error", "error_in", "stream_error", "tries_elsewhere"]

_STATUS: Final = {
    "AccessDeniedException": 403,
    "ConflictException": 400,
    "ExpiredToken": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignature": 403,
    "IncompleteSignatureException": 403,
    "InternalFailure": 500,
    "InternalServerException": 500,
    "InvalidClientTokenId": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationToken": 403,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "NotAuthorized": 403,
    "OptInRequired": 403,
    "RequestExpired": 403,
    "RequestTimeTooSkewed": 403,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 429,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SignatureDoesNotMatch": 403,
    "Throttling": 429,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "UnrecognizedClientException": 403,
    "ValidationError": 400,
    "ValidationException": 400,
}
"""The status that belongs to an exception: for those inside of a stream or an answer, and for proxies' odd ones."""

_NAMES: Final = {name.lower(): name for name in _STATUS}
"""Streams write them with a small letter first."""

_BUSY: Final = frozenset({"ModelNotReadyException", "ModelErrorException", "ModelTimeoutException"})
"""Exceptions of the model's own work, whose statuses (429, 424, 408) would say something else."""
_STREAM_BROKE: Final = "ModelStreamErrorException"

_TOO_LONG: Final = re.compile(
    r"(?:input|prompt)[^.]{0,40} (?:too long|exceeds?)|too many (?:input )?tokens|max(?:imum)? (?:input|context|tokens)"
    r"|context (?:length|limit|window)|exceeds? the (?:context|maximum|model)|too large for (?:the )?model"
    r"|expected max(?:imum)?length|reduce the length",
    re.IGNORECASE,
)
_NO_MODEL: Final = re.compile(
    r"model identifier is invalid|(?:could not|cannot) resolve the foundation model|unknown model"
    r"|model .{0,80}not found|inference profile.{0,80}(?:not found|does ?n[o']t exist|is invalid)",
    re.IGNORECASE,
)
_NEEDS_PROFILE: Final = re.compile(r"on-demand throughput is.?n.t supported", re.IGNORECASE)
_FILTERED: Final = re.compile(r"content (?:filter|policy)|guardrail (?:blocked|intervened)", re.IGNORECASE)
_NO_ACCESS: Final = re.compile(r"access to the model|model access|marketplace", re.IGNORECASE)


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """The most specific error for an answer with a status other than 2xx."""
    data = json_body(body)
    said: dict[str, Any] = data if is_object(data) else {"message": shown(body)}
    return _error(status, headers, _exception(headers, said), _words(said))


def error_in(data: dict[str, Any]) -> ModelError | None:
    """The error in a body that came with status 200; None when it is none. Its `status` is None."""
    if "output" in data or not ("__type" in data or _words(data)):
        return None
    return _error(None, {}, _exception({}, data), _words(data))


def stream_error(name: str, payload: str) -> ModelError:
    """The error for an exception inside of a stream. Its `status` is None."""
    data = json_body(payload.encode(errors="replace"))
    said: dict[str, Any] = data if is_object(data) else {"message": payload[:300]}
    words = _words(said) or text_in(said, "originalMessage")
    return _error(None, {}, _exception({"x-amzn-errortype": name}, said), words)


def tries_elsewhere(error: ModelError) -> bool:
    """Whether another region may have room where this one has none: throttling, no capacity, a model not loaded."""
    if isinstance(error, RateLimited):
        return True
    busy = {"ModelNotReadyException", "ServiceUnavailable", "ServiceUnavailableException"}
    return isinstance(error, Overloaded) and (error.status in {429, 503} or error.code in busy)


def _words(data: dict[str, Any]) -> str:
    return text_in(data, "message") or text_in(data, "Message")


def _exception(headers: Mapping[str, str], data: dict[str, Any]) -> str | None:
    raw = headers.get("x-amzn-errortype") or text_in(data, "__type") or text_in(data, "code")
    name = raw.partition(":")[0].rpartition("#")[2].strip()
    return _NAMES.get(name.lower(), name) or None


def _error(status: int | None, headers: Mapping[str, str], name: str | None, words: str) -> ModelError:
    where: dict[str, Any] = {
        "status": status,
        "code": name,
        "request_id": headers.get("x-amzn-requestid"),
        "provider_message": words or None,
        "retry_after": retry_after(headers),
    }
    message = sentence(status, name, words)
    meant = _STATUS.get(name or "") or status or 500
    if name in _BUSY or name == _STREAM_BROKE:
        return Overloaded(message, **where)
    if meant in {400, 413, 422, 424} and _TOO_LONG.search(words):
        return ContextTooLong(message, **where)
    if meant == 404 or (meant == 400 and _NO_MODEL.search(words)):
        hint = "Check the model's id, the region, and that this account may use it there."
        return ModelNotFound(message, field="model", hint=hint, **where)
    if meant == 400 and _NEEDS_PROFILE.search(words):
        hint = "Put the region's prefix in front of the model's id, such as us. or eu., to call its inference profile."
        return BadRequest(message, field="model", hint=hint, **where)
    if meant == 400 and _FILTERED.search(words):
        return ContentRefused(message, **where)
    if meant in {401, 403}:
        return AuthError(message, hint=_of_access(name, words), **where)
    if meant in {408, 499}:
        return Overloaded(message, **where)
    return by_status(meant, message, **where)


def _of_access(name: str | None, words: str) -> str:
    if name and name.startswith(("Expired", "RequestExpired")):
        return "The credentials have expired: sign in again, or renew the session token."
    if name in {"RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"}:
        return "Check the secret key and the clock of this machine."
    if _NO_ACCESS.search(words):
        return "Ask for access to this model in the Bedrock console of the region."
    return "Check the AWS credentials, and that they allow bedrock:InvokeModel for this model and region."
