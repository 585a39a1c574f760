"""Whether an answer is as it was wanted, and how a program is told what was wrong. It knows predictions, no models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import dspy

from tidyllm.dspy.configs import ValidationConfig
from tidyllm.errors import ConfigError

__all__ = ["advised", "wrong_with"]


def wrong_with(prediction: Any, wanted: ValidationConfig) -> str | None:
    """What is wrong with it, as a sentence for the model; None when nothing is.

    :raises ConfigError: `wanted.fields` names an output that there is not.
    """
    text = _text(prediction, wanted)
    size = len(text.strip())
    if wanted.min_length is not None and size < wanted.min_length:
        return "it is empty." if not size else f"it has {size} characters, fewer than {wanted.min_length}."
    if wanted.max_length is not None and size > wanted.max_length:
        return f"it has {size} characters, more than {wanted.max_length}."
    folded = text.casefold()
    missing = [word for word in wanted.keywords if word.casefold() not in folded]
    if missing:
        return f"it does not contain {', '.join(map(repr, missing))}."
    return None if wanted.check is None else _checked(wanted, text)


def _checked(wanted: ValidationConfig, text: str) -> str | None:
    assert wanted.check is not None
    try:
        said = wanted.check(text)
    except ValueError as error:
        return str(error) or "it was refused."
    if isinstance(said, str):
        return said or None
    return None if said is None or said else "it does not pass the check of its reader."


def _text(prediction: Any, wanted: ValidationConfig) -> str:
    if not isinstance(prediction, dspy.Prediction):
        return str(prediction)
    held: Mapping[str, Any] = dict(cast("Any", prediction).items())
    absent = [name for name in wanted.fields if name not in held]
    if absent:
        raise ConfigError(
            f"there is no output {absent[0]!r}; there are {', '.join(held) or 'none'}.",
            where="ValidationConfig.fields",
        )
    names = wanted.fields or [name for name in held if name not in ("reasoning", "trajectory")]
    return "\n".join("" if held.get(name) is None else str(held[name]) for name in names)


def advised(module: Any, wrong: str) -> Any:
    """A copy of the module whose predictors know what was wrong with the answer before."""
    twin = module.deepcopy()
    for _, predictor in twin.named_predictors():
        signature = predictor.signature
        said = f"{signature.instructions}\n\nAn earlier answer to this was refused: {wrong} Give one that is right."
        predictor.signature = signature.with_instructions(said)
    return twin
