"""A workspace: one folder that paths, edits and commands cannot leave, with a journal that undoes every change.

It knows files and processes, and nothing of models or agents. Names are loaded when first used: the guard of a command
starts through this package and must start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

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
    "tidyllm.sandbox.commands": ("DEFAULT_COMMANDS",),
    "tidyllm.sandbox.isolate": ("guarantees", "isolation"),
    "tidyllm.sandbox.limits": ("Limits",),
    "tidyllm.sandbox.records": ("Change", "CommandResult", "Match"),
    "tidyllm.sandbox.workspace": ("Workspace",),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
