"""`tidyllm store`: the database's schema, health and copies. It knows no tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tidyllm.cli.acting import StoreURL
from tidyllm.cli.output import until_the_reader_leaves

__all__ = ["app"]

app = typer.Typer(
    help="The database: its schema, health and copies.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


@app.command()
def migrate(url: StoreURL = None) -> None:
    """Make the store, or bring its schema to this version's. Safe to run again."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.store import Store
    from tidyllm.store.schema import HEAD

    store = Store.open(chosen_store(url))
    store.close()
    _say(f"{store.name} has schema {HEAD}.\n")


@app.command()
def check(url: StoreURL = None) -> None:
    """Read everything and say what is wrong. Exit status 1 when something is."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.store.check import check as look

    found = look(chosen_store(url))
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    if not found.healthy:
        number = len(found.problems)
        sys.stderr.write(f"tidyllm: {number} problem{'' if number == 1 else 's'} in {found.name}\n")
        raise typer.Exit(1)
    lines = [f"{found.name} is fine: schema {found.revision}."]
    lines += [f"  {table}: {rows:,} rows" for table, rows in found.rows.items()]
    _say("\n".join(lines) + "\n")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    url: StoreURL = None,
    force: _Force = False,
) -> None:
    """Copy the store to FILE (a SQLite file, also of a Postgres store) while it is used."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.store.backup import backup as copy
    from tidyllm.store.backup import runs_copy

    _say(f"{file}: {copy(file, chosen_store(url), force=force):,} bytes.\n")
    runs = runs_copy(file)
    if runs.exists():
        _say(f"{runs}: {runs.stat().st_size:,} bytes, the durable runs.\n")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `tidyllm store backup` made.")],
    url: StoreURL = None,
    force: _Force = False,
) -> None:
    """Put a backup back. What the store holds is replaced only with --force."""
    from tidyllm.cli.settings import chosen_store
    from tidyllm.store.backup import restore as put_back
    from tidyllm.store.location import locate

    url = chosen_store(url)
    put_back(file, url, force=force)
    _say(f"{locate(url).name} holds what {file} held.\n")


def _say(text: str) -> None:
    with until_the_reader_leaves():
        sys.stdout.write(text)
