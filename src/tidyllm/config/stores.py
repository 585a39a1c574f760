"""What the parts of a configuration share: the database, Redis, the ledger, the places of kept answers.

It opens them when they are first asked for, and closes them. It knows no keys and no HTTP.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING

from tidyllm.config.schema import CacheSettings, Settings
from tidyllm.config.secrets import secret
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.cache import Backend
    from tidyllm.money import Ledger
    from tidyllm.store import SharedState, Store

__all__ = ["Stores"]


class Stores:
    """What `settings` say of the store and of Redis.

    One for each process; routes that replace others go on with the same.
    """

    def __init__(self, settings: Settings) -> None:
        self._store_settings = settings.store
        self._redis_settings = settings.redis
        self._caches: dict[CacheSettings, Backend] = {}

    @cached_property
    def store(self) -> Store | None:
        """The database; None where nobody asked for one: no section, no TIDYLLM_STORE_URL, no file at its place.

        :raises ConfigError: its address is wrong. :raises StoreError: it cannot be opened.
        """
        given = self._store_settings
        if given is None and not os.environ.get("TIDYLLM_STORE_URL"):
            from tidyllm.store.location import default_path

            if not default_path().exists():
                return None
        from tidyllm.store import Store

        url = None if given is None or given.url is None else secret(given.url, where="store.url")
        return Store.open(url)

    @cached_property
    def shared(self) -> SharedState | None:
        """Redis; None without a section `redis`. It is not asked anything yet.

        :raises ConfigError: its address is wrong.
        """
        if self._redis_settings is None:
            return None
        from tidyllm.store import SharedState

        return SharedState.open(secret(self._redis_settings.url, where="redis.url"))

    @cached_property
    def ledger(self) -> Ledger | None:
        """The books of this process, behind counters in Redis where there is one; None without a store."""
        if self.store is None:
            return None
        from tidyllm.models.bound import set_input_counter
        from tidyllm.money import Ledger
        from tidyllm.tokens import input_counter

        # Near the end of a budget the bound by bytes is too wide; the tokenizer is loaded only then.
        set_input_counter(input_counter)
        return Ledger(self.store, shared=self.shared)

    def cache(self, settings: CacheSettings, *, where: str) -> Backend:
        """Where a route keeps its answers; routes with equal settings share one place.

        :raises ConfigError: it is to be in a store or in Redis, and there is none.
        """
        if settings not in self._caches:
            self._caches[settings] = self._cache(settings, where)
        return self._caches[settings]

    def tidy(self, settings: Settings) -> None:
        """Let go of kept answers that no route of `settings`, which are in force now, asks for: their memory is free
        when the last call that began before has ended."""
        wanted = {one.cache for one in settings.models.values()}
        for unused in [one for one in self._caches if one not in wanted]:
            del self._caches[unused]

    def _cache(self, settings: CacheSettings, where: str) -> Backend:
        most, entries = int(settings.max_mb * 1e6), settings.max_entries
        if settings.store == "memory":
            from tidyllm.cache import MemoryCache

            return MemoryCache(most, entries)
        if settings.store == "redis":
            if self.shared is None:
                raise ConfigError(
                    "answers are to be kept in Redis, and none is given.", where=where, hint=_REDIS
                )
            from tidyllm.cache.shared import RedisCache

            return RedisCache(self.shared, max_bytes=most, max_entries=entries)
        if self.store is None:
            raise ConfigError(
                "answers are to be kept in the store, and none is given.", where=where, hint=_STORE
            )
        from tidyllm.cache.stored import StoreCache

        return StoreCache(self.store, max_bytes=most, max_entries=entries)

    async def aclose(self) -> None:
        """Write what is left, and close what was opened."""
        opened = vars(self)
        ledger, shared, store = (opened.get(name) for name in ("ledger", "shared", "store"))
        if ledger is not None:
            await ledger.aclose()
        if shared is not None:
            await shared.aclose()
        if store is not None:
            await store.aclose()


_REDIS = "Add a section 'redis' with its url."
_STORE = "Add a section 'store'; it may be empty: {}."
