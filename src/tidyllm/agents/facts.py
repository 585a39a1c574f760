"""What an agent must know of the model behind its step: window, prices, abilities. It asks no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from tidyllm.core import Step
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
    found = tuple(_infos(model, set()))
    windows = [info.context_window_tokens for info in found if info.context_window_tokens]
    answers = [info.max_output_tokens for info in found if info.max_output_tokens]
    answer = answer_tokens or (min(answers) if answers else _UNKNOWN_ANSWER)
    window = min(windows) if windows else _UNKNOWN_WINDOW
    budget = context_tokens or max(window - min(answer, window // 2), 1)
    return ModelFacts(found, found[0].name if found else "", budget, answer)


def _infos(step: Step[Any, Any], seen: set[int]) -> Iterator[ModelInfo]:
    """Of models behind wrappers and fallbacks, by the names that those give to what they hold."""
    if id(step) in seen:
        return
    seen.add(id(step))
    info: object = getattr(step, "info", None)
    if isinstance(info, ModelInfo):
        yield info
    inside: list[object] = [getattr(step, "inner", None)]
    steps: object = getattr(step, "steps", None)
    if isinstance(steps, tuple):
        inside += cast("tuple[object, ...]", steps)
    for one in inside:
        if isinstance(one, Step):
            yield from _infos(cast("Step[Any, Any]", one), seen)
