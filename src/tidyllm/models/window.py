"""Keeping a server from cutting a prompt in silence: Ollama does, and answers all the same. It knows no tokenizer.

What can be known before a call and after it stands in `ollama/window.py`; other providers refuse what is too long.
"""

from __future__ import annotations

from typing import Any

from tidyllm.errors import ContextTooLong
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.request import Request
from tidyllm.models.response import Usage

__all__ = ["check_window", "fit_window"]


def fit_window(format: str, body: dict[str, Any], request: Request, info: ModelInfo | None) -> None:
    """Ask for a window that holds the prompt, never for more than the model has. A `num_ctx` of the caller's stays.

    :raises ContextTooLong: the prompt certainly has more tokens than the window.
    """
    if format != "ollama":
        return
    from tidyllm.models.ollama.window import least_tokens

    options: dict[str, Any] = body["options"]
    given: object = request.extra.get("options")
    chosen = isinstance(given, dict) and "num_ctx" in given
    if not chosen and info is not None and info.context_window_tokens is not None:
        options["num_ctx"] = min(options["num_ctx"], info.context_window_tokens)
    size: object = options["num_ctx"]
    least = least_tokens(body)
    if isinstance(size, int) and least > size:
        raise ContextTooLong(
            f"the prompt has at least {least:,} tokens, but the window (num_ctx) is {size:,}.",
            field="messages",
        )


def check_window(format: str, body: dict[str, Any], usage: Usage) -> None:
    """:raises ContextTooLong: the server read less than was sent."""
    if format == "ollama":
        from tidyllm.models.ollama.window import check_read

        check_read(body, usage)
