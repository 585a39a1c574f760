"""The wire formats by name, imported when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.models.format import ProviderFormat, WireFormat

__all__ = ["family", "provider_format", "wire_format"]

_BOTH_WAYS = ("openai_chat", "openai_responses", "anthropic")
_FAMILY = {"openai_embeddings": "openai_chat", "anthropic_count_tokens": "anthropic"}


def wire_format(name: str) -> WireFormat:
    """The format that callers and providers speak, `openai_chat`, `openai_responses` or `anthropic`.

    :raises KeyError: there is no such format.
    """
    if name not in _BOTH_WAYS:
        raise KeyError(name)
    return getattr(import_module(f"tidyllm.models.{name}"), name)


def provider_format(name: str) -> ProviderFormat:
    """The format that providers speak: one of the others, `bedrock` or `ollama`.

    :raises KeyError: there is no such format.
    """
    if name == "bedrock":
        from tidyllm.models.bedrock import bedrock

        return bedrock
    if name != "ollama":
        return wire_format(name)
    from tidyllm.models.ollama import ollama

    return ollama


def family(endpoint: str) -> str:
    """The format whose errors and usage an endpoint speaks: `openai_chat` for `openai_embeddings`."""
    return _FAMILY.get(endpoint, endpoint)
