"""`tidyllm spend`: its options. What they print is made in `spend_report`, which is loaded when one of them runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from tidyllm.cli.acting import StoreURL

__all__ = ["app"]

app = typer.Typer(
    help="Show what was spent, by model, key, team, day or tag.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class By(StrEnum):
    """What rows are made of."""

    model = "model"
    key = "key"
    team = "team"
    day = "day"
    tag = "tag"
    route = "route"
    provider = "provider"


Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="First day or time (UTC), as 2026-11-01.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="The first day or time after the end.")
]


@app.callback()
def spend(  # noqa: PLR0917 - typer gives them by name
    ctx: typer.Context,
    by: Annotated[By, typer.Option("--by", help="One row for each.")] = By.model,
    since: Since = None,
    until: Until = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with every number.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every number.")] = False,
    store: StoreURL = None,
) -> None:
    """Show what was spent, by model, key, team, day or tag."""
    if ctx.invoked_subcommand is not None:
        return
    from tidyllm.cli.settings import chosen_store
    from tidyllm.cli.spend_report import run

    run(chosen_store(store), by.value, since, until, as_csv=csv, as_json=json)


@app.command()
def reconcile(  # noqa: PLR0917 - typer gives them by name
    invoice: Annotated[
        str,
        typer.Argument(
            metavar="INVOICE.CSV", help="Columns: cost_usd, and request_id or both day and model."
        ),
    ],
    since: Since = None,
    until: Until = None,
    tolerance: Annotated[
        str, typer.Option("--tolerance", metavar="USD", help="Smaller differences are none. Default: 0.")
    ] = "0",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    store: StoreURL = None,
) -> None:
    """Compare a provider's bill with the ledger; exit status 1 when they differ."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.cli.spend_report import run_reconcile

    run_reconcile(chosen_store(store), invoice, since, until, tolerance, as_json=json)


@app.command()
def verify(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    store: StoreURL = None,
) -> None:
    """Follow the ledger's chains and compute every sum anew; exit status 1 when a row is missing or was changed."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.cli.spend_report import run_verify

    run_verify(chosen_store(store), as_json=json)
