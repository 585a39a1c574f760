"""One question as it came over the socket. Data only; it knows nothing of HTTP, nor of who will answer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tidyllm.models.request import Request

__all__ = ["Asked", "Dialect"]

Dialect = Literal["openai", "ollama"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model that reached the server.

    - `number`: from 1, in the order of arrival; with a log file it goes on where the file ends.
    - `dialect`: whose wire format it was; `path`: where it was sent.
    - `body`: the JSON object as it came; `request`: the same, read. Behaviours see only the latter.
    - `stream`: whether it asks for pieces; `include_usage`: whether an OpenAI stream is to end with its usage.
    - `authorization`: whether a key was sent. The key itself is not kept.
    """

    number: int
    dialect: Dialect
    path: str
    body: dict[str, Any]
    request: Request
    stream: bool = False
    include_usage: bool = False
    authorization: bool = False

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self.request.model
