"""A provider said no, or said nothing usable."""

from __future__ import annotations

from typing import Any, Self

from tidyllm.errors.base import TidyllmError

__all__ = [
    "AuthError",
    "BadAnswer",
    "BadRequest",
    "ContentRefused",
    "ContextTooLong",
    "ModelError",
    "ModelNotFound",
    "Overloaded",
    "RateLimited",
    "StreamInterrupted",
    "Unreachable",
    "Unsupported",
]


class ModelError(TidyllmError):
    """A provider said no, or said nothing usable.

    `provider` and `model` name the target; `status` is the HTTP status, `request_id` the provider's id of the call,
    `code` its own error code, `provider_message` its own words; each None when it did not say.
    `retry_after` is in seconds, None when the provider did not ask for a pause.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        provider_message: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.request_id = request_id
        self.provider_message = provider_message
        self.retry_after = retry_after

    def at(
        self, *, provider: str | None = None, model: str | None = None, request_id: str | None = None
    ) -> Self:
        """Fill in where it happened, where that is not known yet; returns itself."""
        self.provider = self.provider or provider
        self.model = self.model or model
        self.request_id = self.request_id or request_id
        return self

    def __str__(self) -> str:
        where = "/".join(part for part in (self.provider, self.model) if part)
        tail = f" [request {self.request_id}]" if self.request_id else ""
        return f"{where}: {super().__str__()}{tail}" if where else f"{super().__str__()}{tail}"


class AuthError(ModelError):
    """The key is missing, wrong, or may not do this (401, 403)."""

    default_hint = "Check the API key of this provider and its permissions."


class BadRequest(ModelError):
    """The request cannot be taken as it is (400, 404, 413, 422). `field` names the culprit, if known."""

    def __init__(self, message: str, *, field: str | None = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.field = field


class ContextTooLong(BadRequest):
    """The prompt, or prompt plus answer, is longer than the model's window."""

    default_hint = "Shorten the prompt, lower max_output_tokens, or use a model with a larger window."


class ModelNotFound(BadRequest):
    """The provider does not know this model (or this key may not see it)."""

    default_hint = "Check the model's name at this provider."


class Unsupported(BadRequest):
    """`field` has no place in this provider's format: nothing was sent."""

    default_hint = (
        "Leave it out, use another provider, or make this one lenient (`lenient=True`; in a gateway's file "
        "`lenient: true`), which leaves it out and reports that."
    )

    def __init__(self, field: str, *, format: str, why: str | None = None, hint: str | None = None) -> None:
        because = f": {why}" if why else ""
        super().__init__(f"{field!r} cannot be sent in the {format} format{because}.", field=field, hint=hint)
        self.format = format


class ContentRefused(ModelError):
    """A content filter of the provider stopped the prompt or the answer."""

    default_hint = "Change the prompt; the same one will be refused again."


class RateLimited(ModelError):
    """Too many requests or tokens (429). `retry_after` seconds, when the provider said so."""

    retryable = True
    default_hint = "Wait retry_after seconds if given, send less, or fall back to another target."


class Overloaded(ModelError):
    """The provider is busy or broken on its side (500, 502, 503, 504, 529)."""

    retryable = True
    default_hint = "Try again later, or fall back to another target."


class Unreachable(ModelError):
    """No connection could be made, or it broke before a whole answer came."""

    retryable = True
    sent: bool = True
    """False: nothing of the request left this machine, so that it cannot have been billed."""
    default_hint = "Check base_url, the network and the proxy settings."


class BadAnswer(ModelError):
    """The answer does not keep to the provider's format: no JSON, a missing field, an unreadable stream event."""

    retryable = True
    default_hint = "Try again; if it stays so, this base_url does not speak the format it is configured for."


class StreamInterrupted(ModelError):
    """A stream ended before its end marker, after pieces had reached the caller.

    `partial` is the `Response` joined from the pieces that came (text, usage, cost as far as they are known), or
    whatever the streaming step's `join` makes of them. It is never started over silently, therefore not retryable.
    """

    default_hint = "What came is in error.partial; ask again for a whole answer."

    def __init__(self, message: str, *, partial: Any = None, **where: Any) -> None:
        super().__init__(message, **where)
        self.partial = partial
