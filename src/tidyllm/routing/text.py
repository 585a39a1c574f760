"""What a request says and needs, whatever form it has. It chooses nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import msgspec

from tidyllm.models import Request, RequestLike
from tidyllm.models.forward import Forward
from tidyllm.models.message import Audio, File, Image, Message, Text
from tidyllm.models.model_info import Ability

__all__ = ["Asked", "asked", "guessed_tokens"]


def guessed_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes. Pass `count=` to a selector for an exact counter."""
    return len(text.encode(errors="replace")) // 4


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: `prompt` is the last message of the user, `tokens` what everything together takes, the answer's
    cap included."""

    prompt: str
    task: str | None = None
    tokens: int = 0
    abilities: frozenset[Ability] = frozenset()
    user: str | None = None


def asked(x: RequestLike | Forward | str, count: Callable[[str], int] = guessed_tokens) -> Asked:
    """What this input of a model asks for. Things that are no request are read as their text."""
    if isinstance(x, str):
        return Asked(prompt=x, tokens=count(x))
    if isinstance(x, Forward):
        return _of(x.request(), count)
    if isinstance(x, Request | Message) or _messages(x):
        return _of(Request.of(x), count)
    return Asked(prompt=str(x), tokens=count(str(x)))


def _messages(x: object) -> bool:
    return isinstance(x, Sequence) and all(isinstance(each, Message) for each in cast("Sequence[Any]", x))


def _of(request: Request, count: Callable[[str], int]) -> Asked:
    abilities: set[Ability] = set()
    if request.tools:
        abilities.add("tools")
    if request.output is not None and request.output != "json":
        abilities.add("structured_output")
    prompt = ""
    texts = [_text(request.system)] if request.system is not None else []
    for turn in request.turns:
        text = _text(turn.content)
        texts.append(text)
        if turn.role == "user" and text.strip():
            prompt = text
        for part in () if isinstance(turn.content, str) else turn.content:
            if isinstance(part, Image):
                abilities.add("vision")
            elif isinstance(part, Audio):
                abilities.add("audio_in")
            elif isinstance(part, File):
                abilities.add("documents")
    metadata: Mapping[str, str] = request.metadata
    return Asked(
        prompt=prompt,
        task=metadata.get("task"),
        tokens=sum(map(count, texts)) + (request.max_output_tokens or 0),
        abilities=frozenset(abilities),
        user=request.user,
    )


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content or () if isinstance(part, Text))
