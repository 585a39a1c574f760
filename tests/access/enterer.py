"""A process that enters as often as it can, and prints how often it was let in. For the tests of limits.

python enterer.py STORE|REDIS-URL TRIES RPM CONCURRENCY [hold]
"""

from __future__ import annotations

import asyncio
import sys

from tidyllm import clock
from tidyllm.access import Limits, RedisLimits, StoreLimits, Subject
from tidyllm.errors import LimitExceeded
from tidyllm.store import Store
from tidyllm.store.shared import SharedState


async def main(url: str, tries: int, rpm: int, concurrency: int, hold: bool) -> None:
    backend = RedisLimits(SharedState.open(url)) if url.startswith("redis") else StoreLimits(Store.open(url))
    limits = Limits(backend, lease_seconds=2.0)
    subject = Subject("key:shared", rpm or None, None, concurrency or None)
    let_in = 0
    for _ in range(tries):
        try:
            lease = await limits.enter_as((subject,))
        except LimitExceeded:
            continue
        let_in += 1
        if not hold:
            await lease.leave()
    sys.stdout.write(f"{let_in}\n")
    sys.stdout.flush()
    while hold:
        await clock.sleep(1)


asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:5]), hold=sys.argv[5:] == ["hold"]))
