"""What the ledger writes down of an attempt: who asked whom, and how it ended. It reads events and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import msgspec

from tidyllm.core import AttemptFinished, AttemptStarted, Context
from tidyllm.core.tags import EXPERIMENT_TAG, KEY_TAG, OURS, ROUTE_TAG, TEAM_TAG
from tidyllm.money.account import Account
from tidyllm.money.row import harmless_text, small_number

__all__ = ["NOT_SENT", "NO_FACTS", "NO_OUTCOME", "Facts", "Outcome", "facts_of", "outcome_of"]

_K = TypeVar("_K")
_V = TypeVar("_V")


class Facts(NamedTuple):
    """Who asks whom, as columns of the ledger."""

    run_id: bytes | None
    span_id: int | None
    provider: str | None
    target: str | None
    model: str | None
    route: str | None
    key_id: str | None
    team: str | None
    tags: str | None


class Outcome(NamedTuple):
    """How it ended, as columns of the ledger."""

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    request_id: str | None
    status: int | None
    error: str | None


NO_FACTS = Facts(*(None,) * 9)
NO_OUTCOME = Outcome(*(None,) * 8)
NOT_SENT = NO_OUTCOME._replace(error="NotSent")
"""Money was set aside, and nothing was sent: that is no call."""

_json = msgspec.json.Encoder(order="sorted").encode


_KEPT = 2_000
"""Entries of each table below: they are made of what callers say, and memory must not grow with it."""
_owners: dict[tuple[Account, ...], tuple[str | None, str | None]] = {}
_targets: dict[tuple[str, str, str], tuple[str | None, str | None, str | None]] = {}
_tag_texts: dict[tuple[tuple[str, str], ...], str | None] = {}


def facts_of(attempt: AttemptStarted | None, path: tuple[Account, ...]) -> Facts:
    """Of an attempt that is about to be made. `key:ID` and `team:NAME` among the budgets say whose it is."""
    key, team = _owners.get(path) or _keep(_owners, path, _owner(path))
    if attempt is None:
        return Facts(None, None, None, None, None, None, key, team, None)
    ctx = attempt.ctx
    tags = ctx.scope.tags
    span = attempt.span_id
    names = (attempt.provider, attempt.target, attempt.model)
    target = _targets.get(names) or _keep(
        _targets, names, (harmless_text(names[0]), harmless_text(names[1]), harmless_text(names[2]))
    )
    route = text = None
    if tags:
        route = harmless_text(tags.get(ROUTE_TAG))
        key = key or harmless_text(tags.get(KEY_TAG))
        team = team or harmless_text(tags.get(TEAM_TAG))
        pairs = tuple(tags.items())
        text = _tag_texts[pairs] if pairs in _tag_texts else _keep(_tag_texts, pairs, _tags(tags))
    return Facts(
        ctx.run_number.to_bytes(16, "big"),
        span - (1 << 64) if span >> 63 else span,
        *target,
        route or harmless_text(_route(ctx)),
        key,
        team,
        text,
    )


def _keep(table: dict[_K, _V], key: _K, value: _V) -> _V:
    if len(table) >= _KEPT:
        table.clear()
    table[key] = value
    return value


def _owner(path: tuple[Account, ...]) -> tuple[str | None, str | None]:
    key = team = None
    for account in path:
        name = account.name
        if key is None and name.startswith("key:"):
            key = name[4:]
        elif team is None and name.startswith("team:"):
            team = name[5:]
    return key, team


def _route(ctx: Context) -> str | None:
    """The outermost named place: what the caller called."""
    name = ctx.segment
    at = ctx.parent
    while at is not None:
        name = at.segment or name
        at = at.parent
    return name or None


def _tags(tags: Mapping[str, str]) -> str | None:
    own = {
        key: text
        for name, value in tags.items()
        if (name == EXPERIMENT_TAG or not name.startswith(OURS))  # a user, say: no business of the books
        and (key := harmless_text(name))
        and (text := harmless_text(value)) is not None
    }
    return _json(own).decode() if own else None


def outcome_of(ended: AttemptFinished | None) -> Outcome:
    """Of an attempt that ended; no content and no words of the provider, which may hold what was asked."""
    if ended is None:
        return NO_OUTCOME
    given: Mapping[str, Any] = ended.attributes
    get = given.get
    short, long = small_number(get("cache_write_5m_tokens")), small_number(get("cache_write_1h_tokens"))
    return Outcome(
        small_number(get("input_tokens")),
        small_number(get("output_tokens")),
        small_number(get("cache_read_tokens")),
        None if short is None and long is None else (short or 0) + (long or 0),
        small_number(get("reasoning_tokens")),
        harmless_text(get("request_id")),
        small_number(get("status")),
        None if ended.error is None else type(ended.error).__name__,
    )
