"""`tidyllm models`: what can be asked, where it leads, and what it costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from tidyllm.cli.settings import chosen_routes
from tidyllm.models.catalog import Catalog, ModelInfo

__all__ = ["run"]


def run(config: str | None, env: str | None, *, catalog: bool, as_json: bool) -> None:
    """Print a table, or JSON."""
    rows = _catalog_rows() if catalog else _route_rows(config, env)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return
    if not rows:
        typer.echo("No models.")
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(
            column.replace("_", " "), justify="right" if "usd" in column or "window" in column else "left"
        )
    for row in rows:
        table.add_row(
            *(
                "?" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
                for value in row.values()
            )
        )
    Console().print(table)


def _route_rows(config: str | None, env: str | None) -> list[dict[str, Any]]:
    routes = chosen_routes(config, env)
    rows: list[dict[str, Any]] = []
    for route in routes.routes():
        for place, target in enumerate(route.targets):
            rows.append(
                {"model": route.name if place == 0 else "", "target": target.name, **_facts(target.info)}
            )
    for pattern in routes.patterns:
        target = routes.settings.models[pattern].route
        rows.append({"model": pattern, "target": ", ".join(target), **_facts(None)})
    return rows


def _catalog_rows() -> list[dict[str, Any]]:
    catalogue = Catalog.default()
    return [{"model": info.name, **_facts(info), "as_of": str(info.date)} for info in catalogue]


def _facts(info: ModelInfo | None) -> dict[str, Any]:
    prices = info.prices if info else None
    return {
        "window_tokens": info.context_window_tokens if info else None,
        "input_usd_per_million": _plain(prices.input if prices else None),
        "output_usd_per_million": _plain(prices.output if prices else None),
    }


def _plain(price: Decimal | None) -> str | None:
    return None if price is None else f"{price.normalize():f}"
