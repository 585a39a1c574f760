"""Doubles for tests of programs that use tidyllm. A name is loaded when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

if TYPE_CHECKING:
    from tidyllm.models.offline import Reply, call
    from tidyllm.testing.clock import FakeClock
    from tidyllm.testing.model_server import ModelServer
    from tidyllm.testing.models import Scripted, scripted

__all__ = ["FakeClock", "ModelServer", "Reply", "Scripted", "call", "scripted"]

_HOMES = {
    "tidyllm.models.offline": (
        "Reply",
        "call",
    ),
    "tidyllm.testing.clock": ("FakeClock",),
    "tidyllm.testing.model_server": ("ModelServer",),
    "tidyllm.testing.models": (
        "Scripted",
        "scripted",
    ),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
