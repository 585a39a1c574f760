"""The one door to SQLite, Postgres and Redis.

`Store` reads and writes a database through one batching writer; `SharedState` is what many workers share in Redis.
Nothing here knows what is stored: each area has its file in `store/tables`.
"""

from __future__ import annotations

from tidyllm.store.shared import Script, SharedState
from tidyllm.store.store import Store

__all__ = ["Script", "SharedState", "Store"]
