"""What would answer a question: the models inside a step, by name and address. It calls nothing."""

from __future__ import annotations

from typing import Any, cast

from tidyllm.core import Step
from tidyllm.models.model import Model

__all__ = ["serving_of"]


def serving_of(step: Step[Any, Any]) -> str:
    """The models that `step` wraps, in order, each with what its answers depend on; else how the step is written."""
    models: list[str] = []
    _collect(step, models)
    return "\n".join(models) or f"{step.name}: {step!r}"


def _collect(step: Step[Any, Any], models: list[str]) -> None:
    if isinstance(step, Model):
        at = step.provider
        formats = ",".join(endpoint.format for endpoint in at.endpoints)
        lenient = " lenient" if step.lenient else ""
        models.append(f"{at.catalog_name} {at.name} {at.base_url} {formats} {step.model}{lenient}")
        return
    inner: object = getattr(step, "inner", None)
    if isinstance(inner, Step):
        _collect(cast("Step[Any, Any]", inner), models)
    steps: object = getattr(step, "steps", ())
    for one in cast("tuple[object, ...]", steps) if isinstance(steps, tuple) else ():
        if isinstance(one, Step):
            _collect(cast("Step[Any, Any]", one), models)
