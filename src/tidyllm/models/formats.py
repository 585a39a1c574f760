"""The wire formats by name, imported when first asked for."""

from __future__ import annotations

from importlib import import_module

from tidyllm.models.format import WireFormat

__all__ = ["wire_format"]

_FORMATS = ("openai_chat", "openai_responses", "anthropic", "ollama")


def wire_format(name: str) -> WireFormat:
    """The format object for `name`.

    :raises KeyError: there is no such format.
    """
    if name not in _FORMATS:
        raise KeyError(name)
    return getattr(import_module(f"tidyllm.models.{name}"), name)
