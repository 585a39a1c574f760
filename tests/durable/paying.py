"""A run with a budget, as a process of its own: python -m tests.durable.paying FOLDER PORT."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.models.raw_server import Server
from tests.models.upstreams import model_at
from tidyllm.core import Context
from tidyllm.durable import Runtime, workflow
from tidyllm.money import Budget, Ledger
from tidyllm.store import Store


async def main(folder: Path, port: int) -> None:
    """Two calls of a model, paid for from one budget."""
    store = Store.open(folder / "store.db")
    ledger = Ledger(store)
    model = model_at(Server(port))

    @workflow(version="1")
    async def talk(x: str, ctx: Context) -> str:
        first = await ctx.call(model, x, "first")
        second = await ctx.call(model, first.text, "second")
        return first.text + second.text

    budget = Budget(1, name="run:one", ledger=ledger, wait_seconds=0)
    async with Runtime(folder / "store.db", budget=budget) as runtime:
        answer = await (await runtime.start(talk, "Hi", id="one")).result()
    await ledger.recover()
    await ledger.aclose()
    await store.aclose()
    sys.stdout.write(answer)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
