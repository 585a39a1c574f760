"""What the makers of models take beside Converse's own fields: `additionalModelRequestFields`. It knows no bodies."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.models.bedrock.names import ModelName
from tidyllm.models.losses import Losses
from tidyllm.models.request import Effort, Request

__all__ = ["caches", "model_fields"]

_WHY: Final = (
    "how this model is asked for that is not known: give it in extra['additionalModelRequestFields']"
)
_CLAUDE_EFFORT: Final[dict[Effort, str]] = {
    "minimal": "low",  # the lowest that there is
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_THREE: Final[dict[Effort, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",  # the highest that there is
    "max": "high",
}
_TOP_K: Final = frozenset({"ai21", "anthropic", "deepseek", "mistral", "qwen"})


def model_fields(request: Request, name: ModelName, losses: Losses) -> dict[str, Any]:
    """The fields for `top_k`, reasoning effort and budget, as the maker of this model calls them.

    :raises Unsupported: one is asked for and that is not known, unless `losses` is lenient.
    """
    fields: dict[str, Any] = {}
    if request.top_k is not None:
        if name.maker in _TOP_K:
            fields["top_k"] = request.top_k
        elif name.maker == "amazon":
            fields["inferenceConfig"] = {"topK": request.top_k}
        else:
            losses.add("top_k", _WHY)
    if request.effort is None and request.thinking_tokens is None:
        return fields
    if name.maker == "anthropic":
        return fields | _claude(request)
    effort = request.effort or _as_effort(request.thinking_tokens or 0)
    if request.thinking_tokens:
        losses.note("thinking_tokens")  # others know levels, and no budgets
    if name.maker == "amazon" and name.bare.startswith("nova-2"):
        reasoning: dict[str, Any] = {"type": "disabled"}
        if effort != "none":
            reasoning = {"type": "enabled", "maxReasoningEffort": _THREE[effort]}
        return fields | {"reasoningConfig": reasoning}
    if effort == "none":
        return fields  # those that reason always, or never, have no switch; the others do it when asked
    if name.maker == "openai":
        return fields | {"reasoning_effort": _THREE[effort]}
    if name.maker == "qwen":
        return fields | {"reasoning_config": _THREE[effort]}
    losses.add("thinking_tokens" if request.effort is None else "effort", _WHY)
    return fields


def caches(name: ModelName, *, tools: bool = False) -> bool:
    """Whether the model takes cache points; `tools`: behind its tools, too."""
    return name.maker == "anthropic" or (name.maker == "amazon" and not tools)


def _claude(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.thinking_tokens:
        fields["thinking"] = {"type": "enabled", "budget_tokens": request.thinking_tokens}
    elif request.thinking_tokens == 0 or request.effort == "none":
        fields["thinking"] = {"type": "disabled"}
    if request.effort is not None and request.effort != "none":
        fields["output_config"] = {"effort": _CLAUDE_EFFORT[request.effort]}
    return fields


def _as_effort(budget: int) -> Effort:
    if not budget:
        return "none"
    return "low" if budget <= 4096 else "medium" if budget <= 16384 else "high"
