"""The names of `tidyllm.legacy.dspy_gateway`, under the other address that they had."""

from __future__ import annotations

from tidyllm.legacy.dspy_gateway import DSPyGatewayLM, TidyLLMGatewayBackend, configure_dspy_with_gateway

__all__ = ["DSPyGatewayLM", "TidyLLMGatewayBackend", "configure_dspy_with_gateway"]
