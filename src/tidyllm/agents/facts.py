"""What an agent must know of the model behind its step: window, prices, abilities. It asks no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from tidyllm.core import Step
from tidyllm.core.within import steps_within
from tidyllm.models.model_info import ModelInfo

__all__ = ["ModelFacts", "facts_of"]

_UNKNOWN_WINDOW = 128_000
"""Tokens of a model that nobody knows: what nearly every model of today has; say `context_tokens` where it is less."""
_UNKNOWN_ANSWER = 8_192


class ModelFacts(msgspec.Struct, frozen=True):
    """- `infos`: what the catalogue knows of each model that may answer, those behind wrappers included.
    - `counted_as`: the name by which texts are counted; "" for bytes.
    - `input_budget`: tokens that a question may have; `answer_tokens`: that an answer may.
    """

    infos: tuple[ModelInfo, ...]
    counted_as: str
    input_budget: int
    answer_tokens: int

    @property
    def info(self) -> ModelInfo | None:
        """Of the model that is asked first."""
        return self.infos[0] if self.infos else None

    @property
    def structured(self) -> bool:
        """Whether all that may answer are known to keep to a schema."""
        return bool(self.infos) and all("structured_output" in info.abilities for info in self.infos)


def facts_of(model: Step[Any, Any], context_tokens: int | None, answer_tokens: int | None) -> ModelFacts:
    """What is known: of several models the smallest window counts."""
    found = tuple(_infos(model))
    windows = [info.context_window_tokens for info in found if info.context_window_tokens]
    answers = [info.max_output_tokens for info in found if info.max_output_tokens]
    answer = answer_tokens or (min(answers) if answers else _UNKNOWN_ANSWER)
    window = min(windows) if windows else _UNKNOWN_WINDOW
    budget = context_tokens or max(window - min(answer, window // 2), 1)
    return ModelFacts(found, found[0].name if found else "", budget, answer)


def _infos(step: Step[Any, Any]) -> Iterator[ModelInfo]:
    for one in steps_within(step):
        info: object = getattr(one, "info", None)
        if isinstance(info, ModelInfo):
            yield info
