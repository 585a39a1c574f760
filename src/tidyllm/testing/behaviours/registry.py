"""Behaviours by name, for the command line of the model server. It knows where they are, not what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from tidyllm.errors import ConfigError
from tidyllm.testing.behaviours.escapes import cheating, escaping
from tidyllm.testing.behaviours.faults import busy, dying, garbled, slow, stalling
from tidyllm.testing.behaviours.fixer import fixer
from tidyllm.testing.behaviours.loops import looping, ping_pong, wandering
from tidyllm.testing.behaviours.malformed import invalid_decision, malformed
from tidyllm.testing.behaviours.roles import Behaviour, role_answer
from tidyllm.testing.behaviours.talk import claiming, contradicting, empty, huge, prose, unknown_tool

__all__ = ["BEHAVIOURS", "behaviour"]


def sensible() -> Behaviour:
    """A colleague without tools: data that fits the schema that is asked for, or a sentence or two."""
    return role_answer


BEHAVIOURS: Mapping[str, Callable[..., Behaviour]] = {
    each.__name__: each
    for each in (
        busy, cheating, claiming, contradicting, dying, empty, escaping, fixer, garbled, huge, invalid_decision,
        looping, malformed, ping_pong, prose, sensible, slow, stalling, unknown_tool, wandering,
    )
}  # fmt: skip
"""What makes a behaviour, by its name."""


def behaviour(name: str, arguments: Mapping[str, Any] | list[Any] | None = None) -> Behaviour:
    """The behaviour called `name`, or made by the function that `module:function` names.

    `arguments`: by name, or in order.

    :raises ConfigError: there is none of this name, or it does not take these arguments.
    """
    if name in BEHAVIOURS:
        make = BEHAVIOURS[name]
    elif ":" in name:
        module, _, function = name.partition(":")
        try:
            make = cast("Callable[..., Behaviour]", getattr(import_module(module), function))
        except (ImportError, AttributeError) as exc:
            raise ConfigError(f"the behaviour {name!r} cannot be imported: {exc}.") from exc
    else:
        known = ", ".join(BEHAVIOURS)
        raise ConfigError(
            f"there is no behaviour {name!r}.", hint=f"There are: {known}; or say module:function."
        )
    try:
        return make(*arguments) if isinstance(arguments, list) else make(**(arguments or {}))
    except TypeError as exc:
        raise ConfigError(f"the behaviour {name!r} does not take {arguments!r}: {exc}.") from exc
