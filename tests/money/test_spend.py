"""Reports: sums by day and rows agree, doubts and unpriced calls stand apart; invoices are compared by name."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.store.servers import databases, store_url
from tidyllm import Context
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.core.tags import EXPERIMENT_TAG
from tidyllm.errors import ConfigError, Overloaded
from tidyllm.money import Budget, Ledger
from tidyllm.money.invoice import read_invoice, reconcile
from tidyllm.money.spend import By, moment, spend
from tidyllm.store import Store
from tidyllm.testing import FakeClock

DAY = 86_400.0
START = 1_749_945_600.0  # 2025-06-15


async def call(
    budget: Budget,
    model: str,
    cost: str | None,
    *,
    most: str | None = "0.5",
    failed: bool = False,
    **tags: str,
) -> None:
    """One call that answered, or failed with nobody knowing what it cost."""
    ctx = Context.new(tags=tags, hooks=())
    entry = await budget.book(
        None if most is None else Decimal(most), AttemptStarted(ctx, 7, "openai", "main", model)
    )
    said: dict[str, Any] = {"input_tokens": 10, "output_tokens": 5, "request_id": f"req-{model}-{cost}"}
    error = Overloaded("no") if failed else None
    ended = AttemptFinished(ctx, 7, "chat", "openai", "main", model, 0.0, 1.0, error, None, said)
    entry.close(None if cost is None else Decimal(cost), ended)


async def fill(store: Store) -> None:
    """Two days of two teams, with everything that can happen."""
    with FakeClock() as fake:
        ledger = Ledger(store)
        for team, key in (("search", "a"), ("ads", "b")):
            budget = Budget(None, name=f"key:{key}", parent=Budget(None, name=f"team:{team}", ledger=ledger))
            await call(budget, "mini-2026-01-01", "0.001", app="x", env="prod")
            await call(budget, "large", "0.25", app="y")
            await call(budget, "large", None, failed=True)
            await call(budget, "new", None, most=None)
            (await budget.reserve(Decimal("0.1"), what="x")).close(Decimal(0), None)
            await ledger.flush()
            fake.advance(DAY)
        ledger.hit(Context.new(hooks=()), target="main", model="large", saved_usd=Decimal("0.25"))
        await ledger.flush()
        assert (await ledger.verify()).problems == []


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Store]:
    one = Store.open(store_url(request.param, tmp_path))
    asyncio.run(fill(one))
    yield one
    one.close()


@pytest.mark.parametrize("by", [by for by in get_args(By) if by != "tag"])
def test_rows_and_sums_by_day_say_the_same(store: Store, by: By) -> None:
    whole = store.read_sync(lambda c: spend(c, by))
    exact = store.read_sync(lambda c: spend(c, by, since=START - 0.5))
    assert whole == exact
    assert whole.total.cost_usd == sum(row.cost_usd for row in whole.rows) == Decimal("0.502")
    assert (whole.total.calls, whole.total.unpriced, whole.total.doubts) == (8, 2, 2)
    assert (whole.total.doubt_usd, whole.total.errors) == (1, 2)
    assert (whole.total.hits, whole.total.saved_usd) == (1, Decimal("0.25"))
    assert whole.total.input_tokens == 80


def test_one_row_for_each_the_dearest_first_and_days_in_order(store: Store) -> None:
    assert [row.name for row in store.read_sync(lambda c: spend(c, "model")).rows][:2] == [
        "large",
        "mini-2026-01-01",
    ]
    assert [row.name for row in store.read_sync(lambda c: spend(c, "day")).rows][:2] == [
        "2025-06-15",
        "2025-06-16",
    ]
    assert {row.name for row in store.read_sync(lambda c: spend(c, "team")).rows} == {
        "search",
        "ads",
        "(none)",
    }


def test_a_call_with_several_tags_counts_for_each(store: Store) -> None:
    found = store.read_sync(lambda c: spend(c, "tag"))
    by_name = {row.name: row.calls for row in found.rows}
    assert by_name == {"app=x": 2, "env=prod": 2, "app=y": 2, "(none)": 4}
    assert found.total.calls == 8


async def test_an_arm_of_an_experiment_is_one_row_whoever_was_dealt_it(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s.db")
    ledger = Ledger(store)
    for who in ("7dc015824f846ee2", "98a7ef3bbe16d7a5"):
        dealt: Any = {EXPERIMENT_TAG: f"e1/cheap/{who}"}
        await call(Budget(None, name="key:a", ledger=ledger), "mini", "0.25", **dealt)
    await ledger.aclose()
    rows = store.read_sync(lambda connection: spend(connection, "tag")).rows
    assert [(row.name, row.calls) for row in rows] == [("tidyllm.experiment=e1/cheap", 2)]
    await store.aclose()


def test_the_time_bounds_what_is_shown(store: Store) -> None:
    first = store.read_sync(lambda c: spend(c, "team", until=START + DAY))
    assert [(row.name, row.calls) for row in first.rows] == [("search", 4)]
    none = store.read_sync(lambda c: spend(c, "team", since=START + 7 * DAY))
    assert (none.rows, none.total.calls) == ([], 0)


def test_odd_questions_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="'colour' is unknown; known are key"):
        store.read_sync(lambda c: spend(c, "colour"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="ends before it begins"):
        store.read_sync(lambda c: spend(c, "team", since=5, until=5))
    with pytest.raises(ConfigError, match="--since: 'yesterday' is no time"):
        moment("yesterday", where="--since")


# -- invoices


def invoice(folder: Path, text: str) -> Path:
    file = folder / "invoice.csv"
    file.write_text(text)
    return file


def compared(
    store: Store, file: Path, **options: Any
) -> dict[str, tuple[str, Decimal | None, Decimal | None]]:
    lines = read_invoice(file)
    found = store.read_sync(lambda c: reconcile(c, lines, **options))
    return {one.what: (one.why, one.billed_usd, one.ledger_usd) for one in found.differences}


def test_an_invoice_is_compared_by_day_and_model(store: Store, tmp_path: Path) -> None:
    file = invoice(
        tmp_path,
        "Date,Model,Amount USD,Currency\n2025-06-15,mini,0.001,USD\n2025-06-16,mini,$0.002,USD\n"
        "2025-06-16,large,0.25,usd\n2025-06-16,unheard,3,USD\n",
    )
    assert compared(store, file) == {
        "2025-06-15 large": ("in doubt in the ledger", None, Decimal("0.25")),
        "2025-06-16 mini": ("different", Decimal("0.002"), Decimal("0.001")),
        "2025-06-16 large": ("in doubt in the ledger", Decimal("0.25"), Decimal("0.25")),
        "2025-06-16 unheard": ("not in the ledger", Decimal(3), None),
    }


def test_an_invoice_is_compared_by_request(store: Store, tmp_path: Path) -> None:
    file = invoice(
        tmp_path, "request_id,cost_usd\nreq-mini-2026-01-01-0.001,0.002\nreq-large-0.25,0.4999\nreq-x,1\n"
    )
    found = compared(store, file, tolerance_usd=Decimal("0.001"))
    assert found == {
        "request req-x": ("not in the ledger", Decimal(1), None),
        "request req-large-None": ("in doubt in the ledger", None, Decimal(0)),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("dayy,model,cost_usd\n", "has a column 'dayy'; known are .* Did you mean 'day'?"),
        ("day,date,model,cost_usd\n", "two columns for 'day'"),
        ("day,cost_usd\n", "expected cost_usd, and request_id or both day and model"),
        ("request_id,cost_usd\nr,much\n", r"invoice.csv:2: cost_usd 'much' is no amount"),
        ("request_id,cost_usd\nr,-1\n", "'-1' is not from 0"),
        ("request_id,cost_usd\nr,nan\n", "'nan' is not from 0"),
        ("request_id,cost_usd,currency\nr,1,EUR\n", "'EUR' is not USD"),
        ("request_id,cost_usd\nr,1,2\n", "3 values for 2 columns"),
        ("day,model,cost_usd\n15.6.,m,1\n", "day '15.6.' is no date"),
        ('request_id,cost_usd\n"r,1\n', "is no CSV"),
    ],
)
def test_odd_columns_and_values_are_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_invoice(invoice(tmp_path, text))


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_invoice(tmp_path / "nowhere.csv")
    file = tmp_path / "bytes.csv"
    file.write_bytes(b"day,model,cost_usd\n\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 19"):
        read_invoice(file)
