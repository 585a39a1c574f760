"""Whether a request may go on, and under which budget: keys, limits and money, asked in this order.

It knows who calls, not what is asked. Without a store there is the master key, and everything is allowed to it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tidyllm.access import Cap, Key, Keys, Lease, Limits, check
from tidyllm.access.secret import MARK
from tidyllm.config import Settings
from tidyllm.config.stores import Stores
from tidyllm.core.tags import CONTROL_TAG, KEY_TAG, TEAM_TAG
from tidyllm.errors import AuthError, BadRequest, ConfigError, StoreError
from tidyllm.gateway.asgi import Headers, Scope
from tidyllm.gateway.auth import Authenticator, Caller, sent_keys
from tidyllm.gateway.tags import HEADER, missing_tag, read_tags
from tidyllm.models.asked import most_tokens
from tidyllm.models.forward import Forward
from tidyllm.money import Budget

if TYPE_CHECKING:
    from tidyllm.money import Ledger

__all__ = ["Admission", "Ticket"]

_KEPT = 10_000
_CONTROL = 200
"""Characters of `cache-control`."""
_ANSWER = 1_000
"""Tokens of output that are counted in advance where the request has no cap; the truth takes their place."""


class Ticket:
    """A request that may go on: its tags, its budget, and its place, which it gives back at the end."""

    __slots__ = ("budget", "lease", "tags")

    def __init__(self, tags: dict[str, str], budget: Budget | None, lease: Lease | None) -> None:
        self.tags = tags
        self.budget = budget
        self.lease = lease

    async def leave(self, tokens: int | None) -> None:
        """The request is over; `tokens` is what it used, None (unknown): as many as were counted in advance."""
        if self.lease is not None:
            if tokens is not None:
                self.lease.used = tokens
            await self.lease.leave()


class Admission:
    """Says who calls, and lets calls in.

    - `stores`: what the configuration shares; without a store there are no virtual keys and no books.
    - `master`: knows the master key, which may do everything.
    - `workers`: processes that serve together. `on_degraded`: told when limits cannot be shared, and can again.
    """

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        master: Authenticator,
        *,
        workers: int = 1,
        on_degraded: Callable[[bool], object] | None = None,
    ) -> None:
        self.master = master
        self.settings = settings
        self.stores = stores
        store = stores.store
        self.ledger: Ledger | None = stores.ledger
        self.keys: Keys | None = None
        self.limits = Limits()
        if store is not None:
            from tidyllm.access import Lookup

            down = settings.access.on_store_down
            self.keys = Keys(store, lookup=Lookup(store, on_store_down=down))
            self.limits = _limits(stores, settings, workers, on_degraded)
        self._proxies = _networks(settings)
        self._root = self._top(settings)
        self._budgets: OrderedDict[str, tuple[Key, Budget]] = OrderedDict()

    def renew(self, settings: Settings, master: Authenticator | None) -> None:
        """Go on with other settings. Limits and books stay as they are.

        :raises ConfigError: the money cannot be counted so; then nothing is different.
        """
        proxies = _networks(settings)
        if settings.money != self.settings.money:
            self._root = self._top(settings)
            self._budgets.clear()
        self._proxies = proxies
        self.limits.on_store_down = settings.access.on_store_down
        if self.keys is not None:
            self.keys.lookup.on_store_down = settings.access.on_store_down
        if master is not None:
            self.master = master
        self.settings = settings

    async def identify(self, headers: Mapping[str, str]) -> Caller:
        """:raises AuthError: there is no key, or it is not known. :raises StoreDown: nobody can tell."""
        refused: AuthError | None = None
        if self.keys is not None:
            for secret in sent_keys(headers):
                if secret.startswith(MARK):
                    try:
                        key = await self.keys.find(secret)
                    except AuthError as error:  # another one that was sent may be right
                        refused = error
                        continue
                    return Caller(f"key:{key.id}", key)
        try:
            return await self.master(headers)
        except AuthError:
            if refused is not None:
                raise refused from None
            raise

    async def admit(
        self, caller: Caller, scope: Scope, headers: Headers, *, model: str, call: Forward, size: int
    ) -> Ticket:
        """Let a call in; `size` is the bytes of its body.

        :raises Forbidden: the key is not for this. :raises BadRequest: its tags are missing or malformed.
        :raises LimitExceeded: there is no room. :raises StoreDown: nobody can tell.
        """
        key = caller.key
        tags = read_tags(headers.get(HEADER))
        if key is not None and key.tags:
            tags = {**tags, **key.tags}
        if (problem := missing_tag(self.settings.access.required_tags, tags)) is not None:
            raise problem
        control = headers.get("cache-control")
        if key is not None:
            ip = self.address(scope, headers) if key.ips else None
            check(key, model=model, endpoint=scope["path"], ip=ip, tags=tags)
            tags[KEY_TAG] = key.id
            if (team := key.team_account) is not None:
                tags[TEAM_TAG] = team
        if control is not None:
            if len(control) > _CONTROL:
                raise BadRequest(
                    f"cache-control has {len(control):,} characters, more than {_CONTROL}.",
                    field="cache-control",
                )
            tags[CONTROL_TAG] = control
        budget, lease = self._budget(key), None  # what may fail comes first: nobody would give the lease back
        if key is not None and key.subjects:
            tokens = 0
            if any(one.tokens_per_minute is not None for one in key.subjects):
                tokens = size // 3 + (most_tokens(call.fields, call.format) or _ANSWER)
            lease = await self.limits.enter(key, tokens=tokens)
        return Ticket(tags, budget, lease)

    def allow(self, caller: Caller, scope: Scope, headers: Headers) -> None:
        """Whether a call that asks no model may go on.

        :raises Forbidden: the key is not for this path or this address.
        """
        key = caller.key
        if key is not None and (key.ips or key.endpoints):
            check(key, endpoint=scope["path"], ip=self.address(scope, headers) if key.ips else None)

    def address(self, scope: Scope, headers: Headers) -> str:
        """Where the call comes from: what proxies that are known say, else who is connected."""
        client = scope.get("client")
        address: str = client[0] if client else ""
        told = (headers.joined("x-forwarded-for") or "").split(",")
        while self._proxies and told and self._is_proxy(address):
            address = told.pop().strip()
        return address

    def _is_proxy(self, address: str) -> bool:
        try:
            one = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(one in network for network in self._proxies)

    # -- money

    def _top(self, settings: Settings) -> Budget | None:
        money = settings.money
        if self.ledger is None and money.limit_usd is None and money.soft_usd is None:
            return None
        window = money.window if money.limit_usd is not None or money.soft_usd is not None else "none"
        return Budget(
            money.limit_usd,
            window,
            name="gateway",
            soft_usd=money.soft_usd,
            ledger=self.ledger,
            wait_seconds=money.wait,
        )

    def _budget(self, key: Key | None) -> Budget | None:
        if key is None or self._root is None:
            return self._root
        kept = self._budgets.get(key.id)
        if kept is not None and kept[0] is key:
            return kept[1]
        budget = self._root
        for cap in reversed(key.caps):
            if cap.limit_usd is not None or cap.soft_usd is not None:
                budget = self._below(budget, cap)
        self._budgets[key.id] = (key, budget)
        if len(self._budgets) > _KEPT:
            self._budgets.popitem(last=False)
        return budget

    def _below(self, parent: Budget, cap: Cap) -> Budget:
        wait = self.settings.money.wait
        return Budget(
            cap.limit_usd, cap.window, name=cap.name, soft_usd=cap.soft_usd, parent=parent, wait_seconds=wait
        )

    async def aclose(self) -> None:
        """Give back what is held, write what is left, close what was opened."""
        await self.limits.aclose()
        await self.stores.aclose()


def _networks(settings: Settings) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Of the proxies that are believed. :raises ConfigError: one is none."""
    try:
        return tuple(ipaddress.ip_network(one, strict=False) for one in settings.access.proxies)
    except ValueError as error:
        raise ConfigError(f"{error}.", where="access.proxies") from error


def _limits(
    stores: Stores, settings: Settings, workers: int, told: Callable[[bool], object] | None
) -> Limits:
    """Counted in Redis, where there is one, else by this process alone with one worker, else in Postgres or SQLite."""
    from tidyllm.access import LocalLimits, RedisLimits, StoreLimits
    from tidyllm.access.recent import used_lately

    down = settings.access.on_store_down
    if stores.shared is not None:
        return Limits(RedisLimits(stores.shared, stores.store), on_store_down=down, on_degraded=told)
    assert stores.store is not None
    if stores.store.dialect == "sqlite" and workers == 1:
        try:
            used = stores.store.read_sync(used_lately)  # by the process before this one
        except StoreError:  # whoever asks the store next is told
            used = None
        return Limits(LocalLimits(used), on_store_down=down)
    return Limits(StoreLimits(stores.store), on_store_down=down, on_degraded=told)
