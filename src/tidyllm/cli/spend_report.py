"""The reports of `tidyllm spend`, as tables, CSV and JSON. It knows how they look, not what is asked for."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.errors import ConfigError, StoreError
from tidyllm.money.invoice import Reconciled, read_invoice, reconcile
from tidyllm.money.nanos import from_nanos, limit_nanos, shown_usd, to_nanos
from tidyllm.money.recovery import recover
from tidyllm.money.spend import Spend, SpendRow, moment, spend
from tidyllm.money.verify import Verified, verify
from tidyllm.store import Store

__all__ = ["run", "run_reconcile", "run_verify"]

_SHOWN = (
    "calls",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "errors",
    "hits",
    "saved_usd",
    "provider_saved_usd",
)
_TITLES = {
    "cost_usd": "cost $",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "saved_usd": "saved $",
    "provider_saved_usd": "saved by provider cache $",
}


def run(
    store: str | None, by: str, since: str | None, until: str | None, *, as_csv: bool, as_json: bool
) -> None:
    """Print a table, CSV or JSON."""
    if as_csv and as_json:
        raise ConfigError("--csv and --json exclude each other.")
    bounds = {name: None if text is None else moment(text, where=f"--{name}") for name, text in
              (("since", since), ("until", until))}  # fmt: skip
    report = _read(store, lambda connection: spend(connection, by, **bounds))  # pyright: ignore[reportArgumentType]
    with until_the_reader_leaves():
        if as_json:
            sys.stdout.write(_json(report))
        elif as_csv:
            sys.stdout.write(_csv(report))
        else:
            sys.stdout.write(_text(report))


def run_reconcile(
    store: str | None, file: str, since: str | None, until: str | None, tolerance: str, *, as_json: bool
) -> None:
    """Print where the invoice and the ledger differ; the status is 1 when they do."""
    allowed = from_nanos(limit_nanos("--tolerance", tolerance))
    start = None if since is None else moment(since, where="--since")
    end = None if until is None else moment(until, where="--until")
    lines = read_invoice(file)
    found = _read(
        store, lambda connection: reconcile(connection, lines, since=start, until=end, tolerance_usd=allowed)
    )
    with until_the_reader_leaves():
        if as_json:
            sys.stdout.write(_json(found))
        else:
            sys.stdout.write(_differences(found))
    if found.differences:
        raise SystemExit(1)


def run_verify(store: str | None, *, as_json: bool) -> None:
    """Print whether the ledger is as it was written; the status is 1 when it is not."""
    found: Verified = _read(store, verify)
    with until_the_reader_leaves():
        if as_json:
            sys.stdout.write(_json(found))
        else:
            sys.stdout.write("".join(f"{harmless(problem)}\n" for problem in found.problems))
            if found.more_problems:
                sys.stdout.write(f"and {found.more_problems:,} more\n")
            whole = "the ledger is whole" if found.whole else "the ledger is NOT as it was written"
            sys.stdout.write(
                f"{whole}: {found.rows:,} rows, {found.entries:,} calls, {found.settled:,} settled,"
                f" {found.in_doubt:,} in doubt, {found.open:,} under way\n"
            )
    if not found.whole:
        raise SystemExit(1)


def _json(report: object) -> str:
    """Money as digits, `0.000000001` and never `1E-9`."""
    values = msgspec.to_builtins(report, builtin_types=(Decimal,))
    return json.dumps(values, indent=2, ensure_ascii=False, default=lambda usd: format(usd, "f")) + "\n"


def _read(url: str | None, work: Callable[[Connection], Any]) -> Any:
    store = Store.open(url, create=False)
    try:
        try:
            store.write_sync(lambda connection: recover(connection, None))
        except StoreError:
            pass  # a store that cannot be written can still be read
        return store.read_sync(work)
    finally:
        store.close()


def _csv(report: Spend) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = SpendRow.__struct_fields__
    writer.writerow([report.by, *fields[1:]])
    for row in (*report.rows, report.total):
        values = (getattr(row, name) for name in fields)
        writer.writerow([_cell(value) for value in values])
    return text.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return shown_usd(to_nanos(value))
    text = harmless(str(value))
    # A spreadsheet would take such a name for a formula.
    return f"'{text}" if text[:1] in "=+-@\t\r" and not text.lstrip("-").isdigit() else text


def _text(report: Spend) -> str:
    if not report.rows:
        return "Nothing was spent in that time.\n"
    table = Table(box=None, pad_edge=False)
    table.add_column(report.by, overflow="fold")
    for name in _SHOWN:
        table.add_column(_TITLES.get(name, name), justify="right")
    for row in (*report.rows, report.total):
        table.add_row(harmless(row.name), *(_shown(getattr(row, name)) for name in _SHOWN))
    total = report.total
    lines = [_drawn(table)]
    if report.by == "tag":
        lines.append("A call with several tags counts for each of them; the total counts it once.\n")
    lines.append(f"unpriced: {total.unpriced:,} calls (nobody knows their price; they are in no sum)\n")
    lines.append(
        f"in doubt: {total.doubts:,} calls, together at most ${shown_usd(to_nanos(total.doubt_usd))}\n"
    )
    return "".join(lines)


def _differences(found: Reconciled) -> str:
    lines: list[str] = []
    if found.differences:
        table = Table(box=None, pad_edge=False)
        for title in ("what", "why", "invoice $", "ledger $"):
            table.add_column(title, justify="right" if "$" in title else "left", overflow="fold")
        for one in found.differences:
            amounts = [
                "-" if usd is None else shown_usd(to_nanos(usd)) for usd in (one.billed_usd, one.ledger_usd)
            ]
            table.add_row(harmless(one.what), one.why, *amounts)
        lines.append(_drawn(table))
    billed, ours = shown_usd(to_nanos(found.billed_usd)), shown_usd(to_nanos(found.ledger_usd))
    lines.append(
        f"{found.matched:,} agree, {len(found.differences):,} differ; invoice ${billed}, ledger ${ours}\n"
    )
    return "".join(lines)


def _drawn(table: Table) -> str:
    text = io.StringIO()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    Console(file=text, width=width, color_system=None, highlight=False, markup=False, emoji=False).print(
        table
    )
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _shown(value: int | Decimal) -> str:
    return f"{value:,}" if isinstance(value, int) else shown_usd(to_nanos(value))
