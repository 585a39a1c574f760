"""The context window of a call, and whether the server read the whole prompt. It knows token counts only by bounds.

Ollama cuts what does not fit and answers all the same, with status 200. Three things stand against that:

1. `num_ctx` is always sent (`context_for`), so that the window is known.
2. `truncate: false` and `shift: false` are always sent: servers from version 0.12.6 on (October 2025) refuse then.
3. What an older server says it read (`prompt_eval_count`) is compared with what it must have read (`check_read`).

A lower bound for tokens is the number of words: no tokenizer of a model in Ollama's library joins words across white
space. Scripts without spaces are bounded by one token for 16 bytes, with runs of one character counted once, because
vocabularies hold long runs (indentation, rules) but natural text never averages that much for a token.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from tidyllm.errors import ContextTooLong
from tidyllm.models.response import Usage

__all__ = ["MIN_NUM_CTX", "check_read", "context_for", "least_tokens"]

MIN_NUM_CTX: Final = 8192
"""Tokens of the smallest window we ask for: a conversation fits, and 8 GB of memory hold it for common models."""

_ANSWER: Final = 4096  # tokens kept free for an answer whose length nobody limits
_IMAGE: Final = 1024  # tokens for a picture; the server itself counts with 768
_MESSAGE: Final = 16  # tokens by which a template wraps a message
_KEPT: Final = 4  # tokens at the start which the server keeps when it cuts (its default of num_keep)

_RUNS: Final = re.compile(r"(.)\1+", re.DOTALL)


def context_for(body: dict[str, Any], window: int | None = None) -> int:
    """The `num_ctx` to ask for, in tokens, when the caller does not: the prompt by a generous guess, and the answer.

    The next power of two, because a server loads the model anew whenever the number changes; never more than the
    model's `window`, if that is known, and never the whole window without need, because memory grows with it.
    """
    messages: list[dict[str, Any]] = body["messages"]
    calls: list[Any] = [call for message in messages for call in message.get("tool_calls", ())]
    texts = [text for message in messages for text in (message["content"], message.get("thinking", ""))]
    needed = sum(len(message.get("images", ())) for message in messages) * _IMAGE + len(messages) * _MESSAGE
    for text in [*texts, *map(str, calls), str(body.get("tools", ""))]:
        shown = " ".join(text.split())  # indentation costs few tokens
        plain = len(shown.encode("ascii", "ignore"))
        needed += plain * 2 // 5  # 2.5 bytes for a token: prose has 4.5, code 3
        needed += (len(shown.encode(errors="replace")) - plain) // 2
    limit: object = body["options"].get("num_predict")
    answer = limit if isinstance(limit, int) and limit > 0 else _ANSWER
    size = max(MIN_NUM_CTX, 1 << (needed + answer - 1).bit_length())
    return size if window is None else min(size, window)


def least_tokens(body: dict[str, Any]) -> int:
    """Tokens which the prompt has at the very least, for any tokenizer. Reasoning and tools do not count.

    Templates leave the reasoning of earlier turns out, and may shorten the description of tools.
    """
    return sum(map(_least, _texts(body)))


def check_read(body: dict[str, Any], usage: Usage) -> None:
    """Compare what the server says it read with the request's body. Call it with the last usage of an answer.

    :raises ContextTooLong: the server read less than was sent, or wrote on after the window was full and so forgot
        the beginning. Nothing is raised where the server does not say what it read.
    """
    read, wrote = usage.input_tokens, usage.output_tokens
    size: object = body.get("options", {}).get("num_ctx")
    if read is None or not isinstance(size, int):
        return
    least = least_tokens(body)
    if read >= size - 1:
        raise _cut(f"the prompt fills the window: {read:,} tokens were read, num_ctx is {size:,}.")
    if read < least:
        raise _cut(
            f"the server read {read:,} tokens of a prompt that has at least {least:,}; num_ctx is {size:,}."
        )
    if read in _cuts(body, size) and (sent := sum(map(_squeezed, _texts(body)))) > 5 * read:
        raise _cut(
            f"the server read {read:,} tokens of a prompt of {sent:,} bytes, which is exactly what it "
            f"leaves when it cuts one that is longer than num_ctx={size:,}."
        )
    if wrote is not None and read + wrote > size + 1:
        raise _cut(
            f"the answer ran over the window: {read:,} tokens read and {wrote:,} written, num_ctx is {size:,}; "
            f"the server forgot the beginning of the prompt on the way."
        )


def _cut(message: str) -> ContextTooLong:
    return ContextTooLong(
        message,
        hint="Raise num_ctx (extra={'options': {'num_ctx': ...}}), shorten the prompt, or lower max_output_tokens.",
    )


def _cuts(body: dict[str, Any], size: int) -> set[int]:
    """What is left of a prompt when the server cuts it: what it keeps, and half of the rest of the window."""
    given: object = body["options"].get("num_keep")
    kept = given if isinstance(given, int) and given >= 0 else _KEPT
    return {size - max((size - keep) // 2, 1) for keep in (kept, kept + 1)}


def _texts(body: dict[str, Any]) -> list[str]:
    """The texts which every template shows: of answers only those without reasoning in them."""
    messages: list[dict[str, Any]] = body["messages"]
    return [
        message["content"]
        for message in messages
        if message["role"] != "assistant" or "<think>" not in cast(str, message["content"])
    ]


def _least(text: str) -> int:
    words = len(text.split())
    return words if 4 * len(text) <= 16 * words else max(words, _squeezed(text) // 16)


def _squeezed(text: str) -> int:
    """Bytes of a text, runs of one character counted once."""
    return len(_RUNS.sub(r"\1", text).encode(errors="replace"))
