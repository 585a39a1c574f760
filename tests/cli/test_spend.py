"""`tidyllm spend` as its user sees it: reports, invoices, exit statuses, and no traceback."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.command import run
from tidyllm import Context
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.money import Budget, Ledger
from tidyllm.store import Store


async def filled(folder: Path) -> None:
    """A store with one call of each kind, of a key whose name is a formula and moves the cursor."""
    store = Store.open(folder / "s.db")
    ledger = Ledger(store)
    budget = Budget(None, name="key:=1+1", ledger=ledger)
    for cost, most in (("0.25", "1"), (None, "1"), (None, None)):
        ctx = Context.new(tags={"app": "x"}, hooks=())
        started = AttemptStarted(ctx, 7, "openai", "main", "mini")
        entry = await budget.book(None if most is None else Decimal(most), started)
        ended = AttemptFinished(
            ctx, 7, "chat", "openai", "main", "mini", 0.0, 1.0, None, None, {"input_tokens": 10}
        )
        entry.close(None if cost is None else Decimal(cost), ended)
    await ledger.aclose()
    await store.aclose()


async def test_a_report_names_what_is_unpriced_and_in_doubt(tmp_path: Path) -> None:
    await filled(tmp_path)
    shown = await run(tmp_path, "spend", "--store", "s.db")
    assert shown.status == 0
    table, _, rest = shown.out.partition("unpriced: ")
    assert [line.split() for line in table.splitlines()][1:] == [
        ["mini", "3", "0.25", "30", "0", "0", "0", "0", "0"],
        ["total", "3", "0.25", "30", "0", "0", "0", "0", "0"],
    ]
    assert rest.startswith("1 calls")
    assert "in doubt: 1 calls, together at most $1\n" in rest


async def test_csv_and_json_hold_every_number(tmp_path: Path) -> None:
    await filled(tmp_path)
    text = (await run(tmp_path, "spend", "--by", "key", "--csv", "--store", "s.db")).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["key"], row["calls"], row["cost_usd"], row["doubt_usd"]) for row in rows] == [
        ("'=1+1", "3", "0.25", "1"),
        ("total", "3", "0.25", "1"),
    ]
    found = json.loads((await run(tmp_path, "spend", "--by", "tag", "--json", "--store", "s.db")).out)
    assert found["rows"][0]["name"] == "app=x"
    assert Decimal(found["total"]["cost_usd"]) == Decimal("0.25")


async def test_a_time_without_spend_is_said_so(tmp_path: Path) -> None:
    await filled(tmp_path)
    shown = await run(tmp_path, "spend", "--until", "2020-01-01", "--store", "s.db")
    assert (shown.status, shown.out) == (0, "Nothing was spent in that time.\n")


async def test_an_invoice_that_differs_ends_with_status_1(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / "bill.csv").write_text("request_id,cost_usd\nreq-1,0.5\n")
    shown = await run(tmp_path, "spend", "reconcile", "bill.csv", "--store", "s.db")
    assert shown.status == 1
    assert "request req-1  not in the ledger" in shown.out
    assert shown.out.endswith("0 agree, 1 differ; invoice $0.5, ledger $0\n")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("spend", "--store", "nowhere.db"), 1, "nowhere.db"),
        (("spend", "--since", "soon", "--store", "s.db"), 2, "--since: 'soon' is no time"),
        (("spend", "--csv", "--json", "--store", "s.db"), 2, "exclude each other"),
        (("spend", "--by", "colour"), 2, "colour"),
        (("spend", "reconcile", "odd.csv", "--store", "s.db"), 2, "has a column 'colour'"),
        (("spend", "reconcile", "none.csv", "--store", "s.db"), 2, "cannot be read"),
        (
            ("spend", "reconcile", "odd.csv", "--tolerance", "-1", "--store", "s.db"),
            2,
            "--tolerance: '-1' is below 0",
        ),
    ],
)
async def test_what_goes_wrong_is_said_without_a_traceback(
    arguments: tuple[str, ...], status: int, says: str, tmp_path: Path
) -> None:
    await filled(tmp_path)
    (tmp_path / "odd.csv").write_text("request_id,cost_usd,colour\n")
    ended = await run(tmp_path, *arguments)
    assert ended.status == status
    assert says in ended.err
    assert not ended.traceback
    assert not (tmp_path / "nowhere.db").exists()


async def test_a_row_that_is_missing_from_the_ledger_shows(tmp_path: Path) -> None:
    await filled(tmp_path)
    whole = await run(tmp_path, "spend", "verify", "--store", "s.db")
    assert (whole.status, whole.err) == (0, "")
    assert whole.out.startswith("the ledger is whole: 6 rows, 3 calls, 2 settled, 1 in doubt, 0 under way")
    with contextlib.closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as thief:
        thief.execute("DROP TRIGGER ledger_no_delete")
        thief.execute("DELETE FROM ledger WHERE seq = 3")
    robbed = await run(tmp_path, "spend", "verify", "--store", "s.db", "--json")
    assert robbed.status == 1
    assert "rows 3 to 3 are missing" in json.loads(robbed.out)["problems"][0]


async def test_money_in_json_has_no_exponent(tmp_path: Path) -> None:
    await filled(tmp_path)
    shown = await run(tmp_path, "spend", "--store", "s.db", "--json")
    assert json.loads(shown.out)["total"]["saved_usd"] == "0.000000000"
