"""What would answer a question: the models inside a step, by name and address. It calls nothing."""

from __future__ import annotations

from typing import Any

from tidyllm.core import Step
from tidyllm.core.within import steps_within
from tidyllm.models.model import Model

__all__ = ["serving_of"]


def serving_of(step: Step[Any, Any]) -> str:
    """The models that `step` wraps, in order, each with what its answers depend on; else how the step is written."""
    models = [_told(one) for one in steps_within(step) if isinstance(one, Model)]
    return "\n".join(models) or f"{step.name}: {step!r}"


def _told(model: Model) -> str:
    at = model.provider
    formats = ",".join(endpoint.format for endpoint in at.endpoints)
    lenient = " lenient" if model.lenient else ""
    return f"{at.catalog_name} {at.name} {at.base_url} {formats} {model.model}{lenient}"
