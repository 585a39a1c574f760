"""Settings of marks for the caches of providers, as the function that places them. It sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.config.schema import PromptCacheSettings

if TYPE_CHECKING:
    from tidyllm.cache.prompt import Place
    from tidyllm.models.touch import Touch

__all__ = ["marks"]


def marks(settings: PromptCacheSettings | None, model: str) -> Touch | None:
    """What places marks in bodies that go to `model`; None where nobody asked for any."""
    if settings is None:
        return None
    from tidyllm.cache.marking import body_marks
    from tidyllm.cache.prompt import MarkPolicy

    turns: tuple[Place, ...] = ("turn", "earlier_turn")
    tools: tuple[Place, ...] = ("tools",) if settings.tools else ()
    system: tuple[Place, ...] = ("system",) if settings.system else ()
    places = (*tools, *system, *turns[: settings.last_turns])
    return body_marks(MarkPolicy(places=places, ttl=settings.ttl, min_tokens=settings.min_tokens), model)
