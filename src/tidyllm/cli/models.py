"""`tidyllm models`: what can be asked, where it leads, and what it costs. It asks nobody and needs no key."""

from __future__ import annotations

import io
import shutil
import sys
from decimal import Decimal
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from tidyllm.cli.output import until_the_reader_leaves
from tidyllm.cli.settings import chosen_settings
from tidyllm.config import Routes
from tidyllm.models.catalog import Catalog, ModelInfo

__all__ = ["run"]

Row = dict[str, Any]

_TITLES = {
    "model": "model",
    "target": "target",
    "window_tokens": "window",
    "input_usd_per_million": "$/M in",
    "output_usd_per_million": "$/M out",
    "as_of": "as of",
}
_NUMBERS = ("window_tokens", "input_usd_per_million", "output_usd_per_million")


def run(config: str | None, env: str | None, *, catalog: bool, as_json: bool) -> None:
    """Print a table, or JSON."""
    rows = _catalog_rows() if catalog else _route_rows(config, env)
    with until_the_reader_leaves():
        if as_json:
            sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n")
        else:
            sys.stdout.write(_table(rows) if rows else "No models are configured.\n")


def _route_rows(config: str | None, env: str | None) -> list[Row]:
    settings = chosen_settings(config, env)
    routes = Routes(settings, only_shown=True)
    rows = [
        {"model": route.name, "target": target.name, **_facts(target.info)}
        for route in routes.routes()
        for target in route.targets
    ]
    for pattern in routes.patterns:
        rows += [{"model": pattern, "target": one, **_facts(None)} for one in settings.models[pattern].route]
    return rows


def _catalog_rows() -> list[Row]:
    return [
        {"model": info.name, **_facts(info), "as_of": None if info.date is None else str(info.date)}
        for info in Catalog.default()
    ]


def _facts(info: ModelInfo | None) -> Row:
    prices = info.prices if info else None
    return {
        "window_tokens": info.context_window_tokens if info else None,
        "input_usd_per_million": _plain(prices.input if prices else None),
        "output_usd_per_million": _plain(prices.output if prices else None),
    }


def _plain(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"


def _table(rows: list[Row]) -> str:
    """As wide as the terminal; in a pipe as wide as it must be, so that nothing is cut off for the next program."""
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(
            _TITLES[column], justify="right" if column in _NUMBERS else "left", overflow="fold", no_wrap=False
        )
    before = None
    for row in rows:
        shown = [_shown(value) for value in row.values()]
        if row["model"] == before:
            shown[0] = ""  # the next target of the same model
        before = row["model"]
        table.add_row(*shown)
    text = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    Console(file=text, width=width, color_system=None, highlight=False, markup=False, emoji=False).print(
        table
    )
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _shown(value: object) -> str:
    return "?" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
