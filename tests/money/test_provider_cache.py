"""What providers' caches of prompts saved: exact for any prices, written down for each call, summed up in reports."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.servers import databases, store_url
from tidyllm import Context
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.models.model_info import ModelInfo, Prices
from tidyllm.models.pricing import cost_usd
from tidyllm.models.pricing_cache import prompt_cache_saved_usd
from tidyllm.models.response import Usage
from tidyllm.money import Budget, Ledger
from tidyllm.money.requests import request_report
from tidyllm.money.spend import Spend, spend
from tidyllm.store import Store

rates = st.decimals(0, 100, places=4)
tokens = st.integers(0, 10**7)


@given(st.tuples(rates, rates, rates, rates), st.tuples(tokens, tokens, tokens, tokens, tokens))
def test_saved_is_what_reading_spares_less_what_writing_adds(
    costs: tuple[Decimal, ...], counts: tuple[int, ...]
) -> None:
    into, read, short, long = costs
    plain, reads, w5, w1, out = counts
    prices = Prices(input=into, output=into, cache_read=read, cache_write_5m=short, cache_write_1h=long)
    info = ModelInfo(name="p/m", prices=prices)
    usage = Usage(
        input_tokens=plain + reads + w5 + w1,
        output_tokens=out,
        cache_read_tokens=reads,
        cache_write_5m_tokens=w5,
        cache_write_1h_tokens=w1,
    )
    expected = (reads * (into - read) - w5 * (short - into) - w1 * (long - into)) / 1_000_000
    saved = prompt_cache_saved_usd(usage, info)
    assert saved == expected
    paid = cost_usd(usage, info)
    assert paid is not None
    whole = Usage(input_tokens=usage.input_tokens, output_tokens=out)
    assert paid + expected == cost_usd(whole, info)


def test_nothing_is_said_where_a_price_is_not_known() -> None:
    usage = Usage(input_tokens=10, output_tokens=1, cache_read_tokens=5)
    assert prompt_cache_saved_usd(usage, None) is None
    no_reads = ModelInfo(name="p/m", prices=Prices(input=Decimal(1), output=Decimal(1)))
    assert prompt_cache_saved_usd(usage, no_reads) is None


async def call(budget: Budget, saved: str | None) -> Context:
    ctx = Context.new(hooks=())
    entry = await budget.book(Decimal("0.5"), AttemptStarted(ctx, 7, "anthropic", "main", "m"))
    said = {"input_tokens": 10} | ({} if saved is None else {"cache_saved_usd": Decimal(saved)})
    entry.close(
        Decimal("0.1"), AttemptFinished(ctx, 7, "chat", "anthropic", "main", "m", 0, 1, None, None, said)
    )
    return ctx


@pytest.mark.parametrize("dialect", databases())
def test_the_ledger_keeps_it_apart_from_what_our_cache_saved(dialect: str, tmp_path: Path) -> None:
    async def fill() -> str:
        ledger = Ledger(store)
        budget = Budget(None, name="key:a", ledger=ledger)
        ctx = await call(budget, "0.02")
        await call(budget, "-0.0005")  # writing was dearer than what was read
        await call(budget, None)
        ledger.hit(Context.new(hooks=()), target="main", model="m", saved_usd=Decimal("0.25"))
        await ledger.flush()
        assert (await ledger.verify()).problems == []
        return f"{ctx.trace_id:032x}"

    store = Store.open(store_url(dialect, tmp_path))
    run = asyncio.run(fill())
    by_day: Spend = store.read_sync(lambda c: spend(c, "model"))
    by_row: Spend = store.read_sync(lambda c: spend(c, "model", since=1.5))
    for report in (by_day, by_row):
        total = report.total
        assert (total.provider_saved_usd, total.saved_usd) == (Decimal("0.0195"), Decimal("0.25"))
    one = store.read_sync(lambda c: request_report(c, run))
    store.close()
    assert one is not None
    assert one.attempts[0].provider_saved_usd == Decimal("0.02")
