"""The load side of `streams.py`: keeps N streams open on a port for some seconds and counts the events that come."""

from __future__ import annotations

import asyncio
import sys
import time

from benchmarks.servers import BODY, KEY

BODY_STREAM = BODY.replace('"model"', '"stream":true,"model"', 1).encode()


class Client(asyncio.Protocol):
    """One connection that asks again as soon as a stream has ended."""

    events = 0

    def __init__(self, request: bytes) -> None:
        self._request = request

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        Client.events += data.count(b"data: ")
        if data.endswith(b"0\r\n\r\n"):
            self.transport.write(self._request)


async def main(port: int, streams: int, seconds: float) -> None:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(BODY_STREAM)}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    clients = [
        await loop.create_connection(lambda: Client(head + BODY_STREAM), "127.0.0.1", port)
        for _ in range(streams)
    ]
    await asyncio.sleep(1.0)
    before, started = Client.events, time.monotonic()
    await asyncio.sleep(seconds)
    print((Client.events - before) / (time.monotonic() - started))
    for transport, _ in clients:
        transport.abort()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
