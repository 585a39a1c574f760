"""A process of its own that writes to a store, for the tests that end it. Run as `worker.py URL NAME COUNT HOW`.

It prints the name of each note after the store said that it is written.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import closing
from itertools import count as numbers

from sqlalchemy import Connection, insert, select

from tests.store.stores import note, notes
from tidyllm.store import Store


async def main(url: str, name: str, most: int, how: str) -> None:
    """Write until `most` notes are written, eight at a time; 0 means until somebody ends it."""
    with closing(Store.open(url)) as store:
        number = numbers()

        async def one(name: str) -> None:
            if how == "rows":
                await store.append(notes, note(name))
            else:
                await store.write(lambda c: add_one(c, name))
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()

        async def some() -> None:
            for at in number:
                if most and at >= most:
                    return
                await one(f"{name}-{at}")

        await asyncio.gather(*(some() for _ in range(8)))


def add_one(connection: Connection, name: str) -> None:
    """A work that reads before it writes: without the lock two processes would add the same."""
    weights = (
        connection.execute(select(notes.c.weight).order_by(notes.c.weight.desc()).limit(1)).scalar() or 0
    )
    connection.execute(insert(notes), {"name": name, "weight": weights + 1})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
