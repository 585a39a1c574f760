"""The one door to SQLite, Postgres and Redis.

`Store` reads and writes a database through one batching writer; `SharedState` is what many workers share in Redis.
Nothing here knows what is stored: each area has its file in `store/tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily

if TYPE_CHECKING:
    from tidyllm.store.shared import Script, SharedState
    from tidyllm.store.store import Store

__all__ = ["Script", "SharedState", "Store"]

_HOMES = {
    "tidyllm.store.shared": (
        "Script",
        "SharedState",
    ),
    "tidyllm.store.store": ("Store",),
}
# A command that only wants to know where a store is need not wait for SQLAlchemy.
__getattr__, __dir__ = lazily(__name__, _HOMES)
