"""Doubles for tests of programs that use tidyllm. A name is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.models.offline import Reply, call
    from tidyllm.testing.clock import FakeClock
    from tidyllm.testing.model_server import ModelServer
    from tidyllm.testing.models import Scripted, scripted

__all__ = ["FakeClock", "ModelServer", "Reply", "Scripted", "call", "scripted"]

_HOMES = {
    "FakeClock": "tidyllm.testing.clock",
    "ModelServer": "tidyllm.testing.model_server",
    "Reply": "tidyllm.models.offline",
    "Scripted": "tidyllm.testing.models",
    "call": "tidyllm.models.offline",
    "scripted": "tidyllm.testing.models",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
