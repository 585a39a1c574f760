"""A provider on the loopback that writes down every call it was paid for, in a process of its own.

    python -m tests.money.provider FOLDER

It listens on a free port (`FOLDER/port`) and writes one line per request into `FOLDER/calls` before it answers: the
span of the call, and the nano-dollars that it costs at $1 and $10 a million tokens. One in ten is refused with 500 (it
costs nothing), of the streams one in ten is cut.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

from tests.models.upstreams import data, frames, json_body, stream_head


class Provider:
    """What it was asked, in a file that survives whoever asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = (folder / "calls").open("a", buffering=1)
        self.random = random.Random(7)

    async def serve(self) -> None:
        """For ever."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        part = self.folder / "port.part"
        part.write_text(str(server.sockets[0].getsockname()[1]))
        part.rename(self.folder / "port")
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                if not await self._answer(writer, fields["traceparent"].split("-")[2], body):
                    break
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, span: str, body: dict[str, object]) -> bool:
        luck = self.random.random()
        into, out = self.random.randint(20, 60), self.random.randint(0, 100)
        cost = 0 if luck < 0.1 else into * 1_000 + out * 10_000
        self.calls.write(f"{span} {cost}\n")
        await asyncio.sleep(self.random.random() * 0.01)
        usage = {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out}
        if luck < 0.1:
            writer.write(json_body({"error": {"message": "busy"}}, status="500 Busy"))
        elif body.get("stream"):
            return await self._stream(writer, usage, cut=luck > 0.9)
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}
            writer.write(json_body({"id": "c", "model": "priced", "choices": [choice], "usage": usage}))
        await writer.drain()
        return True

    async def _stream(self, writer: asyncio.StreamWriter, usage: dict[str, int], *, cut: bool) -> bool:
        def event(text: str, finish: str | None = None) -> bytes:
            choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
            return data({"id": "c", "model": "priced", "choices": [choice]})

        writer.write(stream_head() + frames(event("Hel"), event("lo"), end=False))
        await writer.drain()
        if cut:
            return False
        last = data({"id": "c", "model": "priced", "choices": [], "usage": usage})
        writer.write(frames(event("", "stop"), last, data("[DONE]")))
        await writer.drain()
        return True


if __name__ == "__main__":
    asyncio.run(Provider(Path(sys.argv[1])).serve())
