"""A provider: one service with its wire formats, its endpoints and its key. It knows nothing of messages.

`kind` says what is spoken and where; `name` is what people call this one (`main`, `spare`). The presets name services
that speak the OpenAI format at addresses of their own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.models.http_target import target

if TYPE_CHECKING:
    from tidyllm.models.bedrock.signing import Signer

__all__ = ["KINDS", "Cloud", "Endpoint", "Kind", "Provider", "is_own_address", "provider"]


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
    key_needed: bool = True
    """Whether there is no other way in than by the key, where there is one."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` may be sent, so that a stream says what it used."""


_CHAT = Endpoint("openai_chat", "/chat/completions")
_RESPONSES = Endpoint("openai_responses", "/responses")
_EMBEDDINGS = Endpoint("openai_embeddings", "/embeddings")
_COUNT = Endpoint("anthropic_count_tokens", "/messages/count_tokens")
"""Where the base URL ends in /v1."""
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
            Kind(
                "bedrock",
                (Endpoint("bedrock", "/model"),),
                "https://bedrock-runtime.{region}.amazonaws.com",
                "AWS_BEARER_TOKEN_BEDROCK",
                key_needed=False,
            ),
            Kind("ollama", (Endpoint("ollama", "/api/chat"),), "http://127.0.0.1:11434", None, auth="none"),
            Kind("offline", (_CHAT, _EMBEDDINGS, _COUNT), "http://offline.invalid/v1", None, auth="none"),
            Kind(
                "azure",
                (_CHAT, _RESPONSES, _EMBEDDINGS),
                "",
                "AZURE_OPENAI_API_KEY",
                auth="api-key",
                catalog="openai",
            ),
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


class Cloud(msgspec.Struct, frozen=True, eq=False):
    """What a service in several regions needs besides: which, in order, and how calls are signed."""

    regions: tuple[str, ...]
    residency: tuple[str, ...] = ()
    """Places that data never leave; none: anywhere."""
    profile: str | None = None
    """Of AWS's own files."""
    address: str = ""
    """The base URL; `{region}` in it stands for the region."""
    signer: Signer | None = None


class Provider(msgspec.Struct, frozen=True, eq=False):
    """One configured service."""

    name: str
    kind: Kind
    base_url: str
    api_key: str | None = None
    headers: Mapping[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    """The formats this very service speaks; the first one is used for requests of ours."""
    cloud: Cloud | None = None
    """Of Bedrock only."""

    @property
    def catalog_name(self) -> str:
        """The name of this kind of provider in the catalogue and in traces (`gen_ai.provider.name`)."""
        return self.kind.catalog or self.kind.name

    @property
    def is_own_address(self) -> bool:
        """Whether it stands at the address of its kind, where the kind's prices hold."""
        return is_own_address(self.kind, self.base_url)

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

    def headers_for(self, passed: Mapping[str, str]) -> dict[str, str]:
        """The headers of a call in lower case, key included: never log them. `passed` are those of the caller.

        A configured header stands before the caller's, the caller's before the kind's own; only betas add up.
        """
        headers = {**self.kind.headers, **passed}
        if self.api_key:
            if self.kind.auth == "bearer":
                headers["authorization"] = f"Bearer {self.api_key}"
            elif self.kind.auth != "none":
                headers[self.kind.auth] = self.api_key
        for name, value in self.headers.items():
            key = name.lower()
            both = key == "anthropic-beta" and key in passed
            headers[key] = f"{value},{passed[key]}" if both else value
        return headers

    def __repr__(self) -> str:
        return f"Provider({self.name!r}, kind={self.kind.name!r}, base_url={self.base_url!r})"

    # msgspec defines __rich_repr__ with every field; the key must not show there either.
    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("name", self.name), ("kind", self.kind.name), ("base_url", self.base_url)]


def is_own_address(kind: Kind, base_url: str | None) -> bool:
    """Whether `base_url` (None: the default) is at the host of this kind, or below it (`eu.api.openai.com`).

    A kind without a common address, such as Azure, is at home wherever its owner says. A key from the environment is
    sent only there: whoever set OPENAI_API_KEY did not mean it for a server of another name.
    """
    if base_url is None or not kind.base_url:
        return True
    own, host = (urlsplit(kind.base_url).hostname or "").rpartition("{region}.")[2], _host(base_url)
    return host == own or host.endswith(f".{own}")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # "http://[": the transport will refuse it by name
        return ""


def provider(
    kind: str,
    *,
    name: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    formats: tuple[str, ...] | None = None,
    regions: Sequence[str] = (),
    residency: Sequence[str] = (),
    profile: str | None = None,
) -> Provider:
    """A provider of a known kind.

    - `base_url`: default: the kind's own address.
    - `api_key`: default: at the kind's own address from its environment variable, elsewhere none.
    - `formats`: the wire formats it speaks, our own requests use the first. Default: all of the kind's at its own
      address; elsewhere the kind's first and embeddings (a server that copies OpenAI's chat format rarely has the
      others).
    - `regions`, `residency`, `profile`: of kind `bedrock` only. Where to call, in order; default: what the environment
      or the profile says. Places that data never leave. The profile of AWS's files whose credentials sign.

    :raises ConfigError: the kind or a format is unknown, the address is missing or no URL, or there is no key at the
        kind's own address.
    """
    found = KINDS.get(kind)
    if found is None:
        near = get_close_matches(kind[:80], KINDS, 1)
        raise ConfigError(
            f"provider kind {kind!r} is unknown; known are {', '.join(KINDS)}.",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else "Use kind openai for a service that speaks its format.",
        )
    if not (base_url or found.base_url):
        raise ConfigError(f"provider kind {kind!r} has no common address.", hint="Give its base_url.")
    cloud = None
    if kind == "bedrock":
        cloud = _cloud(found, base_url, regions, residency, profile)
        base_url = cloud.address.replace("{region}", cloud.regions[0])
    elif regions or profile:
        raise ConfigError(f"provider kind {kind!r} has no regions and profiles.", where="regions")
    target(base_url or found.base_url)  # refused here, by name, and not at the first call
    own_address = is_own_address(found, base_url)
    key = api_key or None
    if key is None and found.key_variable and _may_have_key(found, base_url, profile):
        key = os.environ.get(found.key_variable, "").strip() or None
        if key is None and found.key_needed:
            raise ConfigError(
                f"there is no API key for {name or kind!r}.",
                hint=f"Set the {found.key_variable} environment variable or give api_key.",
            )
    return Provider(
        name or kind,
        found,
        base_url or found.base_url,
        key,
        dict(headers or {}),
        # A deployment of Azure's older interface serves one path each.
        _endpoints(found, formats, all_of_them=own_address and "/deployments/" not in (base_url or "")),
        cloud,
    )


def _may_have_key(kind: Kind, base_url: str | None, profile: str | None) -> bool:
    """Whether the key from the environment is meant for this address. A profile that is named stands before it, and a
    server on this very machine that plays Bedrock may have it: nothing else says who is meant.
    """
    if kind.key_needed:
        return is_own_address(kind, base_url)
    here = _host(base_url or "")
    local = here in {"localhost", "::1"} or here.startswith("127.")
    return profile is None and (local or is_own_address(kind, base_url))


def _cloud(
    kind: Kind, base_url: str | None, regions: Sequence[str], residency: Sequence[str], profile: str | None
) -> Cloud:
    from tidyllm.models.bedrock.address import chosen_regions
    from tidyllm.models.bedrock.signing import Signer

    chosen = chosen_regions(base_url, regions, residency, profile)
    return Cloud(chosen, tuple(residency), profile, base_url or kind.base_url, Signer(profile))


def _endpoints(kind: Kind, formats: tuple[str, ...] | None, *, all_of_them: bool) -> tuple[Endpoint, ...]:
    if formats is None:
        family = (kind.endpoints[0], _EMBEDDINGS, *_ANTHROPIC)
        return tuple(one for one in kind.endpoints if all_of_them or one in family)
    by_name = {endpoint.format: endpoint for endpoint in kind.endpoints}
    unknown = [format for format in formats if format not in by_name]
    if unknown or not formats:
        said = ", ".join(unknown) or "nothing"
        raise ConfigError(
            f"provider kind {kind.name!r} speaks {', '.join(by_name)}, not {said}.", where="formats"
        )
    return tuple(by_name[format] for format in formats)
