"""Runs that survive their process: recorded by path in one database, resumed where they were. It knows no models.

`Runtime` loads the engine (DBOS) when it is first opened; importing this package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

if TYPE_CHECKING:
    from tidyllm.durable.flow import Flow, workflow
    from tidyllm.durable.run import Run, RunEvent
    from tidyllm.durable.runtime import Runtime
    from tidyllm.durable.types import register_type
    from tidyllm.durable.waiting import now, signalled, sleep, versioned

__all__ = [
    "Flow",
    "Run",
    "RunEvent",
    "Runtime",
    "now",
    "register_type",
    "signalled",
    "sleep",
    "versioned",
    "workflow",
]

_HOMES = {
    "tidyllm.durable.flow": ("Flow", "workflow"),
    "tidyllm.durable.run": ("Run", "RunEvent"),
    "tidyllm.durable.runtime": ("Runtime",),
    "tidyllm.durable.types": ("register_type",),
    "tidyllm.durable.waiting": ("now", "signalled", "sleep", "versioned"),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
