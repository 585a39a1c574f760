"""Which models make tokens alike, by their names. It counts nothing.

A family is named only where recorded answers of its providers confirm the count; a newer model may split text in
another way, so a name that is not known here has no family, and its texts are bounded by their bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

__all__ = ["Encoding", "Family", "family_of"]

Encoding: TypeAlias = Literal["o200k", "cl100k"]


class Family(msgspec.Struct, frozen=True):
    """How models of one family count.

    - `encoding`: the ranks that split their texts; None where they are not public.
    - `image_tokens`: the most that one picture is, of any size; None where the maker names no maximum.
    - `template_tokens`: the most that stands before every prompt, as the system message of OpenAI's open models does.
    """

    encoding: Encoding | None = None
    image_tokens: int | None = None
    template_tokens: int = 0


# Of pictures: at most 8 tiles of 512 pixels (after scaling into 2048 x 768) at OpenAI's older models, at most 1,536
# patches times a factor of the model at the small newer ones; 4,784 tokens at Anthropic. The first that fits holds.
_FAMILIES: list[tuple[str, Family]] = [
    (r"gpt-4o-mini.*", Family("o200k", 2_833 + 8 * 5_667)),
    (r"gpt-4\.1-(?:mini|nano).*|gpt-5-(?:mini|nano).*|o4-mini.*", Family("o200k", 3_779)),
    (r"(?:chatgpt-)?gpt-4o.*|gpt-4\.1.*|gpt-4\.5.*|gpt-5(?:-.*)?|o[13](?:-.*)?|computer-use-preview.*",
     Family("o200k", 85 + 8 * 170)),
    (r"gpt-5\.[1-3](?:-.*)?", Family("o200k", 85 + 8 * 170)),
    (r"gpt-5\.[4-6](?:-.*)?|gpt-audio.*", Family("o200k")),
    (r"gpt-oss-.*", Family("o200k", template_tokens=150)),
    (r"gpt-4-turbo.*|gpt-4-1106.*|gpt-4-0125.*", Family("cl100k", 85 + 8 * 170)),
    (r"gpt-4(?:-\d.*|-32k.*)?|gpt-3\.5-turbo.*|text-embedding-(?:3-.*|ada-002)", Family("cl100k")),
    (r"claude-.*", Family(None, 4_784, 150)),
]  # fmt: skip
_COMPILED = [(re.compile(names), family) for names, family in _FAMILIES]
_NONE = Family(template_tokens=150)
_SELLERS = frozenset(
    {"", "openai", "openai-responses", "azure", "anthropic", "groq", "openrouter", "cerebras"}
)
"""Those whose models carry their makers' names. Elsewhere a name says nothing of what stands behind it."""


@lru_cache(1_024)
def family_of(model: str) -> Family:
    """The family of `model`: `openai/gpt-5.1`, `openrouter/anthropic/claude-sonnet-4.5`, or `gpt-5.1` alone.

    A model of no known family has one without an encoding.
    """
    *sellers, name = model.split("/")
    if sellers and sellers[0] not in _SELLERS:
        return _NONE
    if any(maker not in _SELLERS for maker in sellers[1:]):
        return _NONE
    return next((family for names, family in _COMPILED if names.fullmatch(name)), _NONE)
