"""`DSPyBedrockEnhancedWrapper` and `BedrockConfig`, as the backend `bedrock`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper
from tidyllm.dspy.module import UnifiedModule
from tidyllm.errors import ConfigError
from tidyllm.legacy.moved import moved
from tidyllm.legacy.settings import CacheConfig, RetryConfig, ValidationConfig, cache, retry, validation

__all__ = [
    "BedrockConfig",
    "CacheConfig",
    "DSPyBedrockEnhanced",
    "DSPyBedrockEnhancedWrapper",
    "RetryConfig",
    "ValidationConfig",
    "create_bedrock_module",
]

_PATTERN = "dspy_bedrock"


class BedrockConfig:
    """Where Bedrock is. Keys are not taken: AWS's own chain of credentials finds them.

    :raises ConfigError: a key was given.
    """

    def __init__(  # noqa: PLR0917 - as it was
        self,
        region: str | None = None,
        profile: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
        session_token: str | None = None,
        default_model: str | None = None,
        regions: Sequence[str] = (),
    ) -> None:
        moved("BedrockConfig", _PATTERN, 'tidyllm.dspy.UnifiedConfig(backend="bedrock")')
        if any((access_key_id, secret_access_key, session_token)):
            raise ConfigError(
                "keys of AWS cannot be given here.",
                where="BedrockConfig",
                hint="Put them into the environment (AWS_ACCESS_KEY_ID, …) or into a profile: profile='name'.",
            )
        self.region = region
        self.profile = profile
        self.default_model = default_model
        self.regions = tuple(regions)


class DSPyBedrockEnhancedWrapper(UnifiedDSPyWrapper):
    """The wrapper with the backend `bedrock`."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        bedrock_config: BedrockConfig | None = None,
        retry_config: Any = None,
        cache_config: Any = None,
        validation_config: Any = None,
        region: str | None = None,
        profile: str | None = None,
        default_model: str | None = None,
    ) -> None:
        moved("DSPyBedrockEnhancedWrapper", _PATTERN, "tidyllm.dspy.UnifiedDSPyWrapper")
        given = bedrock_config
        super().__init__(
            UnifiedConfig(
                backend="bedrock",
                region=region or (None if given is None else given.region),
                profile=profile or (None if given is None else given.profile),
                model=default_model or (None if given is None else given.default_model),
                regions=() if given is None else given.regions,
                retry=retry(retry_config),
                cache=cache(cache_config),
                validation=validation(validation_config),
            )
        )

    def create_bedrock_module(self, name: str, signature: Any, model_id: str | None = None) -> UnifiedModule:
        """`create_module` with a model id of Bedrock."""
        return self.create_module(name, signature, model=model_id)


DSPyBedrockEnhanced = DSPyBedrockEnhancedWrapper


def create_bedrock_module(
    name: str, signature: Any, model_id: str | None = None, *, region: str | None = None
) -> UnifiedModule:
    """A module on Bedrock, without a wrapper of one's own."""
    moved("create_bedrock_module", _PATTERN, "UnifiedDSPyWrapper(…).create_module")
    return DSPyBedrockEnhancedWrapper(region=region).create_bedrock_module(name, signature, model_id)
