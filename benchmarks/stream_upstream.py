"""An upstream for `streams.py`: every request gets a chat stream of 200 events, each written by itself."""

from __future__ import annotations

import asyncio
import sys

EVENTS = 200
_EVENT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":"word "},"finish_reason":null}]}\n\n'
)
_LAST = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream(asyncio.Protocol):
    """One connection. A request is taken to be whole when its body's closing brace has come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if data.rstrip().endswith(b"}"):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            self._send(0)

    def _send(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number == EVENTS - 1:
            self.transport.write(_framed(_LAST) + b"0\r\n\r\n")
            return
        self.transport.write(_framed(_EVENT))
        self._loop.call_soon(self._send, number + 1)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", int(sys.argv[1]), backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
