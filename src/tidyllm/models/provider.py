"""A provider: one service with its wire formats, its endpoints and its key. It knows nothing of messages.

`kind` says what is spoken and where; `name` is what people call this one (`main`, `spare`). The presets name services
that speak the OpenAI format at addresses of their own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["KINDS", "Endpoint", "Kind", "Provider", "provider"]


class Endpoint(msgspec.Struct, frozen=True):
    """Where one format is spoken: the path below the provider's base URL."""

    format: str
    path: str


class Kind(msgspec.Struct, frozen=True):
    """What a family of services has in common."""

    name: str
    endpoints: tuple[Endpoint, ...]
    """The first one is used for requests of ours; a caller of the gateway who speaks another one is forwarded as is."""
    base_url: str
    key_variable: str | None
    """Environment variable in which people keep the key; None where no key is needed."""
    auth: str = "bearer"
    """How the key is sent: `bearer`, `x-api-key`, `api-key` or `none`."""
    headers: Mapping[str, str] = {}
    catalog: str | None = None
    """The provider's name in the catalogue; default: the kind's name."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` may be sent, so that a stream says what it used."""


_CHAT = Endpoint("openai_chat", "/chat/completions")
_RESPONSES = Endpoint("openai_responses", "/responses")
_EMBEDDINGS = Endpoint("openai_embeddings", "/embeddings")
_ANTHROPIC = (
    Endpoint("anthropic", "/v1/messages"),
    Endpoint("anthropic_count_tokens", "/v1/messages/count_tokens"),
)


def _compatible(name: str, base_url: str, key_variable: str | None, *, stream_usage: bool = True) -> Kind:
    return Kind(name, (_CHAT, _EMBEDDINGS), base_url, key_variable, stream_usage=stream_usage)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("openai", (_CHAT, _RESPONSES, _EMBEDDINGS), "https://api.openai.com/v1", "OPENAI_API_KEY"),
            Kind(
                "openai-responses",
                (_RESPONSES, _CHAT, _EMBEDDINGS),
                "https://api.openai.com/v1",
                "OPENAI_API_KEY",
                catalog="openai",
            ),
            Kind(
                "anthropic",
                _ANTHROPIC,
                "https://api.anthropic.com",
                "ANTHROPIC_API_KEY",
                auth="x-api-key",
                headers={"anthropic-version": "2023-06-01"},
            ),
            Kind("ollama", (Endpoint("ollama", "/api/chat"),), "http://127.0.0.1:11434", None, auth="none"),
            Kind("offline", (_CHAT, _EMBEDDINGS), "http://offline.invalid/v1", None, auth="none"),
            Kind("azure", (_CHAT, _RESPONSES, _EMBEDDINGS), "", "AZURE_OPENAI_API_KEY", auth="api-key", catalog="openai"),
            _compatible("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
            _compatible("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", stream_usage=False),
            _compatible("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
            _compatible("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
            _compatible("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
            _compatible("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
            _compatible("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
            _compatible("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
            _compatible("vllm", "http://127.0.0.1:8000/v1", None),
            _compatible("llamacpp", "http://127.0.0.1:8080/v1", None),
        )
    }
)
"""Base URLs as the services document them, read in November 2026."""


class Provider(msgspec.Struct, frozen=True, eq=False):
    """One configured service."""

    name: str
    kind: Kind
    base_url: str
    api_key: str | None = None
    headers: Mapping[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    """The formats this very service speaks; the first one is used for requests of ours."""

    @property
    def catalog_name(self) -> str:
        """The provider's name in the catalogue."""
        return self.kind.catalog or self.kind.name

    def endpoint(self, format: str) -> Endpoint | None:
        """Where `format` is spoken here; None when it is not."""
        for endpoint in self.endpoints:
            if endpoint.format == format:
                return endpoint
        return None

    def url(self, endpoint: Endpoint) -> str:
        """The whole address; a query in the base URL (`?api-version=…`) stays at its end."""
        base, mark, query = self.base_url.partition("?")
        return f"{base.rstrip('/')}{endpoint.path}{mark}{query}"

    def auth_headers(self) -> dict[str, str]:
        """The headers every call carries, key included: never log them."""
        headers = {**self.kind.headers, **self.headers}
        if self.api_key:
            if self.kind.auth == "bearer":
                headers["authorization"] = f"Bearer {self.api_key}"
            elif self.kind.auth != "none":
                headers[self.kind.auth] = self.api_key
        return headers

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, kind={self.kind.name!r}, base_url={self.base_url!r})"

    # msgspec defines __rich_repr__ with every field; the key must not show there either.
    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("name", self.name), ("kind", self.kind.name), ("base_url", self.base_url)]


def provider(
    kind: str,
    *,
    name: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    formats: tuple[str, ...] | None = None,
    need_key: bool = True,
) -> Provider:
    """A provider of a known kind.

    - `base_url`: default: the kind's own address.
    - `api_key`: default: from the kind's environment variable.
    - `formats`: the wire formats it speaks, our own requests use the first. Default: all of the kind's at its own
      address; elsewhere only the kind's first (a server that copies OpenAI's chat format rarely has the others),
      with embeddings.
    - `need_key`: whether a missing key is an error here (a service at an address of one's own may need none).

    :raises ConfigError: the kind or a format is unknown, the address is missing, or there is no key.
    """
    from difflib import get_close_matches

    found = KINDS.get(kind)
    if found is None:
        near = get_close_matches(kind, KINDS, 1)
        raise ConfigError(
            f"provider kind {kind!r} is unknown; known are {', '.join(KINDS)}.",
            hint=f"Did you mean {near[0]!r}?" if near else "Use kind openai for a service that speaks its format.",
        )
    if not (base_url or found.base_url):
        raise ConfigError(f"provider kind {kind!r} has no common address.", hint="Give its base_url.")
    own_address = base_url is None or base_url.rstrip("/") == found.base_url
    key = api_key or (os.environ.get(found.key_variable) if found.key_variable else None)
    if found.key_variable and not key and own_address and need_key:
        raise ConfigError(
            f"there is no API key for {name or kind!r}.",
            hint=f"Set the {found.key_variable} environment variable or pass api_key=….",
        )
    endpoints = found.endpoints
    if formats is not None:
        by_name = {endpoint.format: endpoint for endpoint in found.endpoints}
        unknown = [format for format in formats if format not in by_name]
        if unknown or not formats:
            raise ConfigError(f"provider kind {kind!r} speaks {', '.join(by_name)}, not {', '.join(unknown) or 'nothing'}.")
        endpoints = tuple(by_name[format] for format in formats)
    elif not own_address:
        endpoints = tuple(e for e in endpoints if e is endpoints[0] or e.format != "openai_responses")
        if found.endpoints[0] is _RESPONSES:
            endpoints = (_RESPONSES, *(e for e in endpoints if e is not _RESPONSES))
    return Provider(name or kind, found, base_url or found.base_url, key, dict(headers or {}), endpoints)
