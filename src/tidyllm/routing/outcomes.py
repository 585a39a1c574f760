"""What came of prompts on the routes they were sent to, as a file holds it. It reads and checks, and learns nothing.

One JSON object a line:

    {"prompt": "…", "quality": {"fast": 0, "premium": 1}, "cost_usd": {"fast": 0.0001}, "group": "law"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["MIN_ROWS", "Outcome", "Outcomes", "read_outcomes"]

MIN_ROWS = 40
"""Fewer rows than this teach nothing that would hold for other prompts."""
_SHOWN = 5


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one prompt gave.

    - `quality`: from 0 (useless) to 1 (right), by route; routes that were not asked are left out.
    - `cost_usd`: what the call cost, by route, where it is known.
    - `group`: a name for its kind (subject, customer, task), if there is one. It helps to learn, and is never needed to
      choose: the policy tells the kind from the prompt.
    """

    prompt: str
    quality: dict[str, float]
    cost_usd: dict[str, float] = {}
    group: str | None = None

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("`prompt` is empty")
        if not self.quality:
            raise ValueError("`quality` names no route")
        for route, value in self.quality.items():
            if not 0 <= value <= 1:
                raise ValueError(f"`quality` of {route!r} must be from 0 to 1, got {value:g}")
        for route, value in self.cost_usd.items():
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"`cost_usd` of {route!r} must be 0 or more, got {value:g}")


class Outcomes:
    """Checked outcomes: at least two routes, and something that can be learned.

    - `costs`: dollars a call by route, which go before what the rows say.

    :raises ConfigError: too few rows or routes, no cost for a route, or every prompt differs alike between the routes.
    """

    def __init__(
        self,
        rows: Iterable[Outcome],
        *,
        costs: Mapping[str, float] | None = None,
        where: str = "outcomes",
        least: int = MIN_ROWS,
    ) -> None:
        self.rows = tuple(rows)
        self.where = where
        seen: dict[str, int] = {}
        for row in self.rows:
            for route in row.quality:
                seen[route] = seen.get(route, 0) + 1
        if len(self.rows) < least:
            raise ConfigError(
                f"{len(self.rows)} rows are too few to learn from; {least} are needed.", where=where
            )
        if len(seen) < 2:
            raise ConfigError(
                f"only the route {', '.join(map(repr, seen))} has outcomes; a choice needs two.", where=where
            )
        for route, count in seen.items():
            if count < least // 2:
                raise ConfigError(
                    f"route {route!r} has {count} outcomes; {least // 2} are needed.", where=where
                )
        self.costs = self._costs(seen, costs or {})
        # The cheapest first: the curve of cost and quality begins there.
        self.routes = tuple(sorted(seen, key=lambda route: (self.costs[route], route)))
        self._check_classes()

    def _costs(self, seen: Iterable[str], given: Mapping[str, float]) -> dict[str, float]:
        for route, cost in given.items():
            if route not in seen:
                raise ConfigError(
                    f"a cost is given for {route!r}, but the routes are {', '.join(map(repr, seen))}.",
                    where=self.where,
                )
            if not (isfinite(cost) and cost >= 0):
                raise ConfigError(
                    f"the cost of {route!r} must be 0 dollars or more, got {cost:g}.", where=self.where
                )
        found: dict[str, float] = {}
        for route in seen:
            known = [row.cost_usd[route] for row in self.rows if route in row.cost_usd]
            if route in given:
                found[route] = float(given[route])
            elif known:
                found[route] = sum(known) / len(known)
            else:
                raise ConfigError(
                    f"what a call on route {route!r} costs is not known.",
                    where=self.where,
                    hint=f"Add `cost_usd` to the rows, or pass --cost {route}=DOLLARS.",
                )
        if max(found.values()) == 0:
            raise ConfigError("all routes cost nothing; the best one can be used always.", where=self.where)
        return found

    def _check_classes(self) -> None:
        # Only rows with all routes can show a difference; where there are none, single routes must at least vary.
        differences = {
            tuple(round(row.quality[route] - row.quality[self.routes[0]], 9) for route in self.routes[1:])
            for row in self.rows
            if len(row.quality) == len(self.routes)
        }
        values = {value for row in self.rows for value in row.quality.values()}
        if len(differences) == 1 or len(values) == 1:
            raise ConfigError(
                "one class only: the routes differ by the same quality on every prompt, so there is nothing to choose.",
                where=self.where,
                hint="Add prompts on which the cheaper route fails and others on which it does not.",
            )

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of groups with at least five rows."""
        counts: dict[str, int] = {}
        for row in self.rows:
            if row.group is not None:
                counts[row.group] = counts.get(row.group, 0) + 1
        return tuple(sorted(name for name, count in counts.items() if count >= 5))


_row = msgspec.json.Decoder(Outcome)


def read_outcomes(path: str | Path, *, costs: Mapping[str, float] | None = None) -> Outcomes:
    """The outcomes in a file of JSON lines; empty lines are skipped.

    :raises ConfigError: the file cannot be read, or lines are broken; it names the first five by number.
    """
    where = str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}.", where=where) from error
    rows: list[Outcome] = []
    broken: list[str] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            broken.append(f"line {number}: {_said(error)}")
    if broken:
        more = f"; and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise ConfigError(
            f"{len(broken)} broken lines: {'; '.join(broken[:_SHOWN])}{more}.",
            where=where,
            hint='Each line is an object such as {"prompt": "…", "quality": {"fast": 0, "premium": 1}};'
            " `cost_usd` by route and `group` are allowed beside it.",
        )
    return Outcomes(rows, costs=costs, where=where)


def _said(error: Exception) -> str:
    text: Any = str(error).replace(" - at `$`", "").replace("- at `$.", "at `")
    return text.rstrip(".")
