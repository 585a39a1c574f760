"""Verdicts on answers, kept in the store: for experiments and for learning. It judges nothing itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm import clock
from tidyllm.errors import ConfigError
from tidyllm.routing.outcomes import Outcome

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.store import Store

__all__ = ["Feedback", "read_feedback", "record_feedback", "recorded_outcomes"]

_LONGEST = 256
# Kinds of rows in the ledger.
_BEGUN, _SETTLED = 0, 1


class Feedback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One verdict on one answer.

    - `run_id`: which answer; a second verdict on the same answer of the same route replaces the first.
    - `route`: who gave it. `quality`: from 0 (useless) to 1 (right).
    - `experiment`, `arm`, `sticky`: where it belongs, all three or none; `sticky` as `Experiment.sticky_id` gives it.
    - `prompt`: only where content may be kept; without it a verdict counts in experiments, but teaches no policy.
    """

    run_id: str
    route: str
    quality: float
    cost_usd: Decimal | None = None
    experiment: str | None = None
    arm: str | None = None
    sticky: str | None = None
    prompt: str | None = None
    kind: str | None = None
    key_id: str | None = None

    def __post_init__(self) -> None:
        for field in ("run_id", "route"):
            text: str = getattr(self, field)
            if not text.strip():
                raise ValueError(f"`{field}` is empty")
        for field in ("run_id", "route", "experiment", "arm", "sticky", "kind", "key_id"):
            text = getattr(self, field) or ""
            if len(text) > _LONGEST or "\0" in text:
                raise ValueError(f"`{field}` must be at most {_LONGEST} letters, none of them NUL")
        if self.prompt is not None and "\0" in self.prompt:
            raise ValueError("`prompt` must have no NUL in it")
        if not 0 <= self.quality <= 1:
            raise ValueError(f"`quality` must be from 0 to 1, got {self.quality:g}")
        if self.cost_usd is not None and not (self.cost_usd.is_finite() and 0 <= self.cost_usd < 1_000_000):
            raise ValueError(f"`cost_usd` must be from 0 to a million dollars, got {self.cost_usd}")
        given = [name for name in ("experiment", "arm", "sticky") if getattr(self, name) is not None]
        if given and len(given) < 3:
            raise ValueError(
                f"`experiment`, `arm` and `sticky` belong together; only {', '.join(given)} given"
            )


async def record_feedback(store: Store, feedback: Feedback) -> None:
    """Keep a verdict; returns when it is committed. A verdict that is already there is replaced."""
    row = _row(feedback)

    def work(connection: Connection) -> None:
        from tidyllm.store.tables.routing import outcomes

        insert: Any
        if store.dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert
        statement = insert(outcomes).values(row)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[outcomes.c.run_id, outcomes.c.route],
                set_={name: statement.excluded[name] for name in row},
            )
        )

    await store.write(work)


def _row(feedback: Feedback) -> dict[str, Any]:
    row = msgspec.structs.asdict(feedback)
    cost: Decimal | None = row.pop("cost_usd")
    row["cost_nanos"] = None if cost is None else int((cost * 1_000_000_000).to_integral_value())
    row["at"] = clock.now()
    return row


async def read_feedback(store: Store, *, experiment: str | None = None, since: float = 0.0) -> list[Feedback]:
    """The verdicts, oldest first: all, or those of one experiment. `since`: seconds since 1970."""

    def work(connection: Connection) -> list[Feedback]:
        return _read(connection, experiment, since)

    return await store.read(work)


def recorded_outcomes(store: Store, *, since: float = 0.0) -> list[Outcome]:
    """The verdicts with a prompt, as outcomes to learn from: one for each prompt, with the routes that were judged.

    Several verdicts on one prompt and route count as their mean. What a run cost is taken from the ledger where the
    verdict does not say. :raises ConfigError: there is none with a prompt.
    """
    told = store.read_sync(lambda connection: _with_costs(connection, _read(connection, None, since)))
    by_prompt: dict[str, list[Feedback]] = {}
    for each in told:
        if each.prompt is not None and each.prompt.strip():
            by_prompt.setdefault(each.prompt, []).append(each)
    if not by_prompt:
        raise ConfigError(
            f"none of the {len(told)} verdicts in {store.name} has its prompt.",
            hint="Send `prompt` with the feedback where content may be kept, or learn from a file of outcomes.",
        )
    return [_outcome(prompt, verdicts) for prompt, verdicts in by_prompt.items()]


def _with_costs(connection: Connection, told: list[Feedback]) -> list[Feedback]:
    """The verdicts, with what the ledger says that their runs cost; a run with an unpriced call stays without."""
    from sqlalchemy import func, select

    from tidyllm.store.tables.money import ledger

    wanted = {run for each in told if each.cost_usd is None and (run := _run_bytes(each.run_id)) is not None}
    begun, ended = ledger.alias("begun"), ledger.alias("ended")
    costs: dict[str, Decimal] = {}
    for part in _batched(sorted(wanted), 500):
        query = (
            select(begun.c.run_id, func.sum(ended.c.cost_nanos))
            .join(ended, (ended.c.entry == begun.c.entry) & (ended.c.kind == _SETTLED))
            .where(begun.c.kind == _BEGUN, begun.c.run_id.in_(part))
            .group_by(begun.c.run_id)
            .having(func.count() == func.count(ended.c.cost_nanos))
        )
        for run, nanos in connection.execute(query):
            costs[bytes(run).hex()] = Decimal(int(nanos)) / 1_000_000_000
    return [
        msgspec.structs.replace(each, cost_usd=costs[each.run_id])
        if each.cost_usd is None and each.run_id in costs
        else each
        for each in told
    ]


def _run_bytes(run_id: str) -> bytes | None:
    """A run's id as the ledger keeps it; None for an id of the caller's own."""
    try:
        return bytes.fromhex(run_id) if len(run_id) == 32 else None
    except ValueError:
        return None


def _batched(values: list[bytes], size: int) -> Iterator[list[bytes]]:
    for at in range(0, len(values), size):
        yield values[at : at + size]


def _outcome(prompt: str, verdicts: list[Feedback]) -> Outcome:
    quality: dict[str, list[float]] = {}
    cost: dict[str, list[float]] = {}
    for each in verdicts:
        quality.setdefault(each.route, []).append(each.quality)
        if each.cost_usd is not None and isfinite(each.cost_usd):
            cost.setdefault(each.route, []).append(float(each.cost_usd))
    return Outcome(
        prompt=prompt,
        quality={route: sum(values) / len(values) for route, values in quality.items()},
        cost_usd={route: sum(values) / len(values) for route, values in cost.items()},
        group=next((each.kind for each in verdicts if each.kind), None),
    )


def _read(connection: Connection, experiment: str | None, since: float) -> list[Feedback]:
    from sqlalchemy import select

    from tidyllm.store.tables.routing import outcomes

    query = select(outcomes).where(outcomes.c.at >= since).order_by(outcomes.c.at, outcomes.c.id)
    if experiment is not None:
        query = query.where(outcomes.c.experiment == experiment)
    found: list[Feedback] = []
    for row in connection.execute(query).mappings():
        fields = {name: row[name] for name in Feedback.__struct_fields__ if name != "cost_usd"}
        nanos = row["cost_nanos"]
        cost = None if nanos is None else Decimal(nanos) / 1_000_000_000
        found.append(Feedback(**fields, cost_usd=cost))
    return found
