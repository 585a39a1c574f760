"""The one door to SQLite, Postgres and Redis.

`Store` reads and writes a database through one batching writer; `SharedState` is what many workers share in Redis.
Nothing here knows what is stored: each area has its file in `store/tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.store.shared import Script, SharedState
    from tidyllm.store.store import Store

__all__ = ["Script", "SharedState", "Store"]

_HOMES = {
    "Script": "tidyllm.store.shared",
    "SharedState": "tidyllm.store.shared",
    "Store": "tidyllm.store.store",
}


def __getattr__(name: str) -> object:
    # A command that only wants to know where a store is need not wait for SQLAlchemy.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
