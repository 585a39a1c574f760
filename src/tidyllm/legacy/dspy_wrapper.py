"""`DSPyWrapper`, `DSPyConfig` and `DynamicDSPyModule`, as `UnifiedDSPyWrapper`."""

from __future__ import annotations

from typing import Any

from tidyllm.dspy import CacheConfig, RetryConfig, UnifiedConfig, UnifiedDSPyWrapper, ValidationConfig
from tidyllm.dspy.module import UnifiedModule
from tidyllm.legacy.moved import moved

__all__ = ["DSPyConfig", "DSPyWrapper", "DynamicDSPyModule", "UnifiedConfig", "UnifiedDSPyWrapper"]

_PATTERN = "dspy_wrapper"


class DSPyConfig:
    """Switches. What calls cost is always counted, whatever `cost_tracking_enabled` says."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        cache_enabled: bool = False,
        validation_enabled: bool = False,
        cost_tracking_enabled: bool = True,
        cache_ttl: float | None = None,
        max_retries: int | None = None,
        model: str | None = None,
    ) -> None:
        moved("DSPyConfig", _PATTERN, "tidyllm.dspy.UnifiedConfig")
        self.cache_enabled = cache_enabled
        self.validation_enabled = validation_enabled
        self.cost_tracking_enabled = cost_tracking_enabled
        self.cache_ttl = cache_ttl
        self.max_retries = max_retries
        self.model = model

    def unified(self) -> UnifiedConfig:
        """As the new wrapper takes it."""
        ttl = 3600.0 if self.cache_ttl is None else self.cache_ttl
        return UnifiedConfig(
            cache=CacheConfig(ttl_seconds=ttl) if self.cache_enabled else None,
            validation=ValidationConfig() if self.validation_enabled else None,
            retry=None if self.max_retries is None else RetryConfig(max_retries=self.max_retries),
            model=self.model,
        )


class DSPyWrapper(UnifiedDSPyWrapper):
    """The wrapper, by switches."""

    def __init__(self, config: DSPyConfig | UnifiedConfig | None = None) -> None:
        moved("DSPyWrapper", _PATTERN, "tidyllm.dspy.UnifiedDSPyWrapper")
        super().__init__(config.unified() if isinstance(config, DSPyConfig) else config)


def DynamicDSPyModule(signature_cls: Any) -> UnifiedModule:  # noqa: N802 - it was a class; what it makes is a module
    """A module for a signature."""
    moved("DynamicDSPyModule", _PATTERN, "UnifiedDSPyWrapper().create_module")
    name = getattr(signature_cls, "__name__", "dynamic")
    return UnifiedDSPyWrapper().create_module(name, signature_cls)
