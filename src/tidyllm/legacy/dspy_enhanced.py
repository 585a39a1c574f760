"""`DSPyEnhancedWrapper` and its configurations, as `UnifiedDSPyWrapper`."""

from __future__ import annotations

from typing import Any

from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper
from tidyllm.legacy.moved import moved
from tidyllm.legacy.settings import CacheConfig, RetryConfig, ValidationConfig, cache, retry, validation

__all__ = ["CacheConfig", "DSPyEnhancedWrapper", "RetryConfig", "ValidationConfig"]


class DSPyEnhancedWrapper(UnifiedDSPyWrapper):
    """The wrapper with the backend `auto`: what the program has configured for DSPy."""

    def __init__(
        self,
        retry_config: Any = None,
        cache_config: Any = None,
        validation_config: Any = None,
    ) -> None:
        moved("DSPyEnhancedWrapper", "dspy_enhanced", "tidyllm.dspy.UnifiedDSPyWrapper")
        super().__init__(
            UnifiedConfig(
                retry=retry(retry_config), cache=cache(cache_config), validation=validation(validation_config)
            )
        )
