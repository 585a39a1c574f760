"""A workspace: one folder that paths, edits and commands cannot leave, with a journal that undoes every change.

It knows files and processes, and nothing of models or agents. Names are loaded when first used: the guard of a command
starts through this package and must start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.sandbox.commands import DEFAULT_COMMANDS
    from tidyllm.sandbox.isolate import guarantees, isolation
    from tidyllm.sandbox.limits import Limits
    from tidyllm.sandbox.records import Change, CommandResult, Match
    from tidyllm.sandbox.workspace import Workspace

__all__ = [
    "DEFAULT_COMMANDS",
    "Change",
    "CommandResult",
    "Limits",
    "Match",
    "Workspace",
    "guarantees",
    "isolation",
]

_HOMES = {
    "commands": ("DEFAULT_COMMANDS",),
    "isolate": ("guarantees", "isolation"),
    "limits": ("Limits",),
    "records": ("Change", "CommandResult", "Match"),
    "workspace": ("Workspace",),
}
_HOME_OF = {name: f"tidyllm.sandbox.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
