"""What a worker holds after load: a real process, measured from outside, against what it held once it was warm."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import ONCE, chunk, open_request, raw_request, sse, until, upstream
from tests.gateway.process import Serving, serving
from tests.models.raw_server import Connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

GROWTH = 1.1
"""So much more than before a worker may hold: what is cached and not yet collected."""


def resident(server: Serving) -> int:
    """Bytes of memory that the process has now."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * 4096


def open_files(server: Serving) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def chat(model: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields})


def configured(port: int) -> dict[str, Any]:
    base = f"http://127.0.0.1:{port}/v1"
    return {
        "providers": {"main": {"kind": "openai", "base_url": base}, "offline": {"kind": "offline"}},
        "models": {
            "endless": {"route": ["main/m"], "retry": ONCE},
            "sim": {"route": ["offline/simulated"]},
        },
    }


async def endless(connection: Connection) -> None:
    """A stream that goes on until its reader has left."""
    await connection.request()
    await connection.write(sse(chunk("Once"), end=False))
    await connection.left()


async def abort(server: Serving) -> None:
    """Ask for a stream and hang up in the middle of it."""
    reader, writer = await open_request(server, chat("endless", stream=True))
    await reader.readuntil(b"Once")
    writer.transport.abort()


async def test_streams_that_were_aborted_leave_neither_memory_nor_connections_behind(tmp_path: Path) -> None:
    async with upstream(endless) as provider, serving(tmp_path, configured(provider.port)) as server:

        async def round_of_200() -> None:
            gone = provider.left + 200
            await asyncio.gather(*(abort(server) for _ in range(200)))
            await until(lambda: provider.left == gone)

        for _ in range(3):  # they warm it up
            await round_of_200()
        memory, files = resident(server), open_files(server)
        for _ in range(4):
            await round_of_200()
        assert resident(server) < memory * GROWTH
        await until(lambda: open_files(server) <= files)


async def test_the_memory_of_large_bodies_is_given_back(tmp_path: Path) -> None:
    large = [chat("sim", user="x" * megabytes * 1_000_000) for megabytes in (8, 12, 18, 18)]
    async with serving(tmp_path, configured(9)) as server:
        for _ in range(50):
            assert (await raw_request(server, chat("sim")))[0] == 200
        memory = resident(server)
        for _ in range(3):
            answers = await asyncio.gather(*(raw_request(server, body) for body in large))
            assert [status for status, _, _ in answers] == [200] * 4
        await until(lambda: resident(server) < memory * GROWTH)
