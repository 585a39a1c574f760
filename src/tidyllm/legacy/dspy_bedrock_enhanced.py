"""The names of `tidyllm.legacy.dspy_bedrock`, under the other address that they had."""

from __future__ import annotations

from tidyllm.legacy.dspy_bedrock import (
    BedrockConfig,
    CacheConfig,
    DSPyBedrockEnhanced,
    DSPyBedrockEnhancedWrapper,
    RetryConfig,
    ValidationConfig,
    create_bedrock_module,
)

__all__ = [
    "BedrockConfig",
    "CacheConfig",
    "DSPyBedrockEnhanced",
    "DSPyBedrockEnhancedWrapper",
    "RetryConfig",
    "ValidationConfig",
    "create_bedrock_module",
]
