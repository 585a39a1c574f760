"""By which name a model wants the cap on its answer. It knows names of models, and nothing else of them."""

from __future__ import annotations

import re

__all__ = ["output_limit_name"]

_NEW = re.compile(r"(?:^|/)(?:o[1-9]\d*|gpt-(?:[5-9]|[1-9]\d)[\d.]*|codex|computer-use)(?:-|:|$)")
"""OpenAI's reasoning models: the o series, GPT-5 and later (`gpt-oss`, which others serve, is none of them)."""


def output_limit_name(model: str) -> str:
    """`max_completion_tokens` for OpenAI's reasoning models, which refuse the older name; else `max_tokens`.

    All of OpenAI's other models know both; servers that copied the format may know the older one alone. The name of
    an Azure deployment says nothing: there `extra={"max_completion_tokens": ...}` gives it by hand.
    """
    return "max_completion_tokens" if _NEW.search(model.lower()) else "max_tokens"
