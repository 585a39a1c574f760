"""What growing costs: one worker and two, each store's price of a request, its size, memory over half a million
requests, and what callers see while Redis or Postgres is away. Beside every load stand its upstream and wrk.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from benchmarks import servers
from benchmarks.everything import new_key
from benchmarks.table import Table
from tests.store import servers as databases

__all__ = ["run"]

_LONG = 500_000
_CATALOG = "catalog: {main/gpt-5-mini: {like: openai/gpt-5-mini}}"


def run() -> list[Table]:
    """Four tables: workers, stores, memory, failures."""
    with servers.nginx(1) as upstream:
        return [_workers(upstream), _stores(upstream), _memory(upstream), _failures(upstream)]


def _sections(redis: str = "", more: str = "") -> str:
    return "\n".join(["store: {}", _CATALOG, *([f"redis: {{url: '{redis}'}}"] if redis else []), more])


@contextmanager
def _folder() -> Generator[str]:
    with tempfile.TemporaryDirectory(prefix="tidyllm-growth-") as folder:
        yield f"sqlite:///{Path(folder) / 'store.db'}"


def _cases() -> Iterator[tuple[str, str, str]]:
    """Name, URL of the store, URL of Redis."""
    with _folder() as url:
        yield "SQLite", url, ""
    yield "Postgres", databases.postgres_url(), ""
    yield "Postgres and Redis", databases.postgres_url(), databases.redis_url()


def _workers(upstream: int) -> Table:
    table = Table(
        "workers",
        "One worker and two, on two cores that load, upstream and databases share",
        ("", "1 worker, req/s", "2 workers, req/s"),
    )
    for name, url, redis in _cases():
        key, rates = new_key(url), list[float]()
        for workers in (1, 2):
            started = servers.tidyllm(
                0,
                upstream,
                traces=False,
                cores="0,1",
                workers=workers,
                sections=_sections(redis),
                variables={"TIDYLLM_STORE_URL": url},
            )
            with started as (port, _):
                servers.first_answer(port, key=key)
                servers.wrk(1, port, seconds=2, key=key)
                rates.append(servers.wrk(1, port, seconds=5, key=key)[0])
        table.add(name, *rates)
    return table


def _stores(upstream: int) -> Table:
    table = Table(
        "stores",
        "What a request costs in each store, and how much of it stays",
        ("", "gateway, µs of CPU", "servers of the store, µs of CPU", "GB per million requests"),
    )
    for name, url, redis in _cases():
        key = new_key(url)
        started = servers.tidyllm(
            0, upstream, traces=False, sections=_sections(redis), variables={"TIDYLLM_STORE_URL": url}
        )
        with started as (port, pid):
            servers.first_answer(port, key=key)
            servers.wrk(1, port, seconds=2, key=key)
            before, spent, beside = _size(url), _cpu(pid), _servers_cpu()
            began = time.monotonic()
            rate, _ = servers.wrk(1, port, seconds=8, key=key)
            requests = rate * (time.monotonic() - began)
            spent, beside = _cpu(pid) - spent, _servers_cpu() - beside
            time.sleep(1)
            grown = _size(url) - before
        table.add(name, spent / requests * 1e6, beside / requests * 1e6, grown / requests * 1e6 / 1e9)
    return table


def _memory(upstream: int) -> Table:
    table = Table(
        "memory",
        "Memory of one worker on SQLite, everything on",
        ("after so many requests", "MiB"),
    )
    with _folder() as url:
        key = new_key(url)
        started = servers.tidyllm(
            0, upstream, traces=True, sections=_sections(), variables={"TIDYLLM_STORE_URL": url}
        )
        with started as (port, pid):
            servers.first_answer(port, key=key)
            table.add("1", servers.memory_mib(pid))
            done, step = 0.0, _LONG / 5
            for part in range(1, 6):
                while done < part * step:
                    began = time.monotonic()
                    rate, _ = servers.wrk(1, port, seconds=5, key=key)
                    done += rate * (time.monotonic() - began)
                table.add(f"{done:,.0f}", servers.memory_mib(pid))
    return table


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process and of all below it."""
    total, todo = 0, [pid]
    while todo:
        one = todo.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
        todo += [int(child) for child in children.split()]
    return total / os.sysconf("SC_CLK_TCK")


def _servers_cpu() -> float:
    """Seconds of CPU of Postgres and Redis together, whoever started them."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                name = (entry / "comm").read_text().strip()
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if name in ("postgres", "redis-server"):
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _size(url: str) -> int:
    """Bytes of the store, its log included."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        return sum(Path(path + end).stat().st_size for end in ("", "-wal") if Path(path + end).exists())
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])


# -- failures


def _failures(upstream: int) -> Table:
    table = Table(
        "failures",
        "A server of the store is killed for 4 s under load (32 callers, on_store_down: refuse)",
        ("", "answered before", "while away", "back after, s", "calls not in the ledger"),
    )
    with tempfile.TemporaryDirectory(prefix="tidyllm-away-") as folder:
        Path(folder).chmod(0o755)  # Postgres does not run as root
        for name, victim in (("Redis", 1), ("Postgres", 0)):
            postgres = databases.postgres(Path(folder) / f"postgres-{name}")
            redis = databases.redis(Path(folder) / f"redis-{name}")
            postgres.start()
            redis.start()
            try:
                table.add(f"{name} away", *_away(upstream, (postgres, redis), victim))
            finally:
                postgres.close()
                redis.close()
    return table


def _away(upstream: int, pair: tuple[databases.Server, databases.Server], victim: int) -> tuple[object, ...]:
    from signal import SIGKILL

    postgres, redis = pair
    url = f"postgresql://tidy:pass%2Fword@127.0.0.1:{postgres.port}/postgres"
    key = new_key(url)
    sections = _sections(f"redis://127.0.0.1:{redis.port}/0")
    started = servers.tidyllm(
        0, upstream, traces=False, sections=sections, variables={"TIDYLLM_STORE_URL": url}
    )
    with started as (port, _):
        servers.first_answer(port, key=key)
        said: list[tuple[float, int]] = []

        async def scenario() -> tuple[float, float]:
            async with aiohttp.ClientSession() as session:
                end = time.monotonic() + 16
                callers = [asyncio.create_task(_caller(session, port, key, end, said)) for _ in range(32)]
                await asyncio.sleep(4)
                gone = time.monotonic()
                await asyncio.to_thread(pair[victim].stop, SIGKILL)
                await asyncio.sleep(4)
                await asyncio.to_thread(pair[victim].start)
                back = time.monotonic()
                await asyncio.gather(*callers)
                return gone, back

        gone, back = asyncio.run(scenario())
        time.sleep(1)
        before = Counter(status for at, status in said if at < gone)
        during = Counter(status for at, status in said if gone <= at < back)
        first = next((at for at, status in said if at >= back and status == 200), float("inf"))
        answered = sum(status == 200 for _, status in said) + 1
        counted = _calls(url)
    return _shown(before), _shown(during), max(first - back, 0.0), max(answered - counted, 0)


async def _caller(
    session: aiohttp.ClientSession, port: int, key: str, end: float, said: list[tuple[float, int]]
) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    while time.monotonic() < end:
        try:
            async with session.post(url, data=servers.BODY, headers=headers) as answer:
                await answer.read()
                said.append((time.monotonic(), answer.status))
        except aiohttp.ClientError:
            said.append((time.monotonic(), 0))
        await asyncio.sleep(0.01)


def _calls(url: str) -> int:
    """Settled calls in the ledger."""
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM ledger WHERE kind IN (1, 2)").fetchone()
    assert row is not None
    return int(row[0])


def _shown(counts: Counter[int]) -> str:
    return ", ".join(f"{status or 'no answer'}: {count:,}" for status, count in sorted(counts.items())) or "-"
