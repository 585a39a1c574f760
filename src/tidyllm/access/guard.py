"""Whether a key may be used for this call: model, endpoint, address, tags. Pure; it knows no limits and no store."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache

from tidyllm.access.key import Key
from tidyllm.access.problems import Forbidden

__all__ = ["check", "ip_allowed", "matches", "model_allowed"]


def check(
    key: Key,
    *,
    model: str | None = None,
    endpoint: str | None = None,
    ip: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Refuse what `key` is not for. What is None is not checked; an `ip` of "" is an unknown address.

    `tags`: those of the request with the key's own under them.

    :raises Forbidden: it is not for this model, endpoint or address, or a tag is missing.
    """
    if key.ips and ip is not None and not ip_allowed(key.ips, ip):
        raise Forbidden(f"key {key.prefix}… may not be used from this address.", what="ip")
    if key.endpoints and endpoint is not None and not any(matches(one, endpoint) for one in key.endpoints):
        raise Forbidden(f"key {key.prefix}… may not use {endpoint[:200]!r}.", what="endpoint")
    if model is not None and not model_allowed(key, model):
        raise Forbidden(f"key {key.prefix}… may not use the model {model[:200]!r}.", what="model")
    if key.required_tags and tags is not None:
        missing = [name for name in key.required_tags if not tags.get(name)]
        if missing:
            raise Forbidden(
                f"key {key.prefix}… needs the tag {missing[0]!r} on each request.",
                what="tags",
                hint="Send it along with the request.",
            )


def model_allowed(key: Key, model: str) -> bool:
    """Whether both the key and its team allow `model`. No list allows all."""
    return _any(key.models, model) and _any(key.team_models, model)


def _any(patterns: Iterable[str], text: str) -> bool:
    return not patterns or any(matches(one, text) for one in patterns)


@lru_cache(8192)
def matches(pattern: str, text: str) -> bool:
    """Whether the whole of `text` is like `pattern`, in which `*` stands for any characters, none included.

    In time proportional to the text: the pieces between the stars are looked for from left to right.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == text
    if not text.startswith(first):
        return False
    at = len(first)
    *middle, last = rest
    for piece in middle:
        at = text.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    return len(text) - at >= len(last) and text.endswith(last)


@lru_cache(8192)
def ip_allowed(networks: tuple[str, ...], ip: str) -> bool:
    """Whether `ip` lies in one of the networks. IPv4 inside of IPv6 (`::ffff:10.0.0.1`) counts as IPv4."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False  # an unknown address is in no network
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in _networks(networks))


@lru_cache(1024)
def _networks(texts: tuple[str, ...]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
