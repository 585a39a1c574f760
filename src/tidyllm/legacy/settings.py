"""Configurations of the old wrappers, with their old names, and what they are now. They warn; they do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tidyllm.dspy import CacheConfig as NewCache
from tidyllm.dspy import RetryConfig as NewRetry
from tidyllm.dspy import ValidationConfig as NewValidation
from tidyllm.legacy.moved import moved

__all__ = ["CacheConfig", "RetryConfig", "ValidationConfig", "cache", "retry", "validation"]

_PATTERN = "dspy_enhanced"


class RetryConfig:
    """`max_retries=n` is n + 1 attempts; delays in seconds. Growth has had three names."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        max_retries: int = 3,
        initial_delay: float | None = None,
        max_delay: float = 60.0,
        backoff_factor: float | None = None,
        multiplier: float | None = None,
        exponential_base: float | None = None,
        base_delay: float | None = None,
        jitter: bool = True,
    ) -> None:
        moved("RetryConfig", _PATTERN, "tidyllm.dspy.RetryConfig")
        first = base_delay if initial_delay is None else initial_delay
        growth = next((one for one in (multiplier, backoff_factor, exponential_base) if one is not None), 2.0)
        self.max_retries = max_retries
        self.initial_delay = 1.0 if first is None else first
        self.max_delay = max_delay
        self.multiplier = growth
        self.jitter = jitter


class CacheConfig:
    """`ttl` in seconds. Where answers were kept, and how many, is the store's now: those arguments change nothing."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        enabled: bool = True,
        ttl: float | None = None,
        ttl_seconds: float | None = None,
        cache_dir: str | None = None,
        use_disk: bool | None = None,
        max_size: int | None = None,
    ) -> None:
        moved("CacheConfig", _PATTERN, "tidyllm.dspy.CacheConfig")
        self.enabled = enabled
        self.ttl = next((one for one in (ttl_seconds, ttl) if one is not None), 3600.0)
        self.ignored = {"cache_dir": cache_dir, "use_disk": use_disk, "max_size": max_size}


class ValidationConfig:
    """What an answer must be like."""

    def __init__(  # noqa: PLR0917 - as it was
        self,
        min_length: int | None = None,
        max_length: int | None = None,
        required_keywords: Sequence[str] = (),
        custom_validator: Callable[[str], Any] | None = None,
        keywords: Sequence[str] = (),
        check: Callable[[str], Any] | None = None,
        validator: Callable[[str], Any] | None = None,
    ) -> None:
        moved("ValidationConfig", _PATTERN, "tidyllm.dspy.ValidationConfig")
        self.min_length = min_length
        self.max_length = max_length
        self.required_keywords = tuple(required_keywords or keywords)
        self.custom_validator = custom_validator or check or validator


def retry(given: RetryConfig | NewRetry | None) -> NewRetry | None:
    """As the new wrapper takes it."""
    if not isinstance(given, RetryConfig):
        return given
    return NewRetry(
        max_retries=given.max_retries,
        initial_delay=given.initial_delay,
        max_delay=given.max_delay,
        multiplier=given.multiplier,
        jitter=given.jitter,
    )


def cache(given: CacheConfig | NewCache | None) -> NewCache | None:
    """As the new wrapper takes it."""
    if not isinstance(given, CacheConfig):
        return given
    return NewCache(enabled=given.enabled, ttl_seconds=given.ttl)


def validation(given: ValidationConfig | NewValidation | None) -> NewValidation | None:
    """As the new wrapper takes it."""
    if not isinstance(given, ValidationConfig):
        return given
    return NewValidation(
        min_length=given.min_length,
        max_length=given.max_length,
        keywords=given.required_keywords,
        check=given.custom_validator,
    )
