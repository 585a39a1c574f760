"""`configure_dspy_with_gateway` and `DSPyGatewayLM`, as the backend `gateway`."""

from __future__ import annotations

from typing import Any

import dspy

from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper
from tidyllm.legacy.moved import moved

__all__ = ["DEFAULT_ROUTE", "DSPyGatewayLM", "TidyLLMGatewayBackend", "configure_dspy_with_gateway"]

_PATTERN = "dspy_gateway"
DEFAULT_ROUTE = "claude-3-sonnet"
"""The route that was meant where none was named."""


def _lm(route: str, temperature: float | None, max_tokens: int | None) -> Any:
    config = UnifiedConfig(backend="gateway", route=route, temperature=temperature, max_tokens=max_tokens)
    return UnifiedDSPyWrapper(config).lm


def configure_dspy_with_gateway(
    route: str = DEFAULT_ROUTE, temperature: float | None = None, max_tokens: int | None = None
) -> Any:
    """Let DSPy ask the gateway, in the whole process. Returns the `dspy.LM`."""
    moved(
        "configure_dspy_with_gateway", _PATTERN, 'UnifiedDSPyWrapper(UnifiedConfig(backend="gateway", …)).lm'
    )
    lm = _lm(route, temperature, max_tokens)
    settings: Any = dspy
    settings.configure(lm=lm)
    return lm


def DSPyGatewayLM(  # noqa: N802 - it was a class; what it makes is a `dspy.LM`
    route: str | None = None,
    model: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> Any:
    """A `dspy.LM` that asks the gateway for a route."""
    moved("DSPyGatewayLM", _PATTERN, 'UnifiedDSPyWrapper(UnifiedConfig(backend="gateway", …)).lm')
    return _lm(route or model or DEFAULT_ROUTE, temperature, max_tokens)


class TidyLLMGatewayBackend(UnifiedDSPyWrapper):
    """The wrapper with the backend `gateway`."""

    def __init__(self, route: str = DEFAULT_ROUTE) -> None:
        moved("TidyLLMGatewayBackend", _PATTERN, "tidyllm.dspy.UnifiedDSPyWrapper")
        super().__init__(UnifiedConfig(backend="gateway", route=route))
