"""A process that spends from one shared budget until it is used up: retries, fallbacks, streams, readers who leave.

python -m tests.money.spender STORE REDIS PORT LIMIT TASKS SEED FOLDER

It makes the file `spending-SEED` in FOLDER when it begins.
"""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

from tests.models.raw_server import Server
from tests.models.upstreams import model_at
from tidyllm import Context, Fallback, Retry, Step
from tidyllm.errors import BudgetExceeded, ModelError, StoreDown, TidyllmError
from tidyllm.models import Request
from tidyllm.money import Budget, Budgeted, Ledger
from tidyllm.store import Store
from tidyllm.store.shared import SharedState

MOST = 100
"""Tokens that an answer may have: so a call costs at most about a tenth of a cent."""


async def spend(step: Step[Any, Any], seed: int, ended: asyncio.Event) -> None:
    """Call until the budget says no."""
    luck = random.Random(seed)
    while not ended.is_set():
        ctx = Context.new(hooks=())
        request = Request("Hello?", max_output_tokens=MOST)
        try:
            if luck.random() < 0.5:
                await step(request, ctx)
            else:
                async with aclosing(step.stream(request, ctx)) as pieces:
                    async for _ in pieces:
                        if luck.random() < 0.02:
                            break
        except BudgetExceeded:
            ended.set()
        except StoreDown:
            await asyncio.sleep(0.05)
        except ModelError:
            pass


async def main(  # noqa: PLR0917 - the command line, in order
    store_url: str, redis_url: str, port: int, limit: str, tasks: int, seed: int, folder: str
) -> None:
    """Until the budget is used up."""
    store = Store.open(store_url)
    ledger = Ledger(store, shared=None if redis_url == "-" else SharedState.open(redis_url))
    org = Budget(limit, name="org:acme", ledger=ledger)
    team = Budget(limit, "rolling:1d", name="team:search", parent=org)
    keys = [
        Budget("1000", "month", name=f"key:{number}", parent=team, wait_seconds=30) for number in range(5)
    ]
    server = Server(port)
    first, second = model_at(server), model_at(server)
    steps: list[Step[Any, Any]] = [
        Budgeted(Fallback(Retry(first, attempts=2, base=0.001), second), key) for key in keys
    ]
    ended = asyncio.Event()
    (Path(folder) / f"spending-{seed}").touch()
    try:
        await asyncio.gather(*(spend(steps[n % 5], seed * 1000 + n, ended) for n in range(tasks)))
        await ledger.aclose()
    except TidyllmError as error:
        sys.exit(str(error))
    finally:
        await store.aclose()


if __name__ == "__main__":
    _, store_, redis_, port_, limit_, tasks_, seed_, folder_ = sys.argv
    asyncio.run(main(store_, redis_, int(port_), limit_, int(tasks_), int(seed_), folder_))
