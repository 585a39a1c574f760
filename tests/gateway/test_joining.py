from __future__ import annotations

import asyncio

from tidyllm.gateway.protocol import JoiningTransport


class Written(asyncio.Transport):
    """What was written, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def is_closing(self) -> bool:
        return False


def test_two_parts_are_written_as_one_when_asked_for_and_only_then() -> None:
    below = Written()
    transport = JoiningTransport(below)
    transport.write(b"plain")
    transport.join_next()
    transport.write(b"head, ")
    assert below.calls == [b"plain"]
    transport.write(b"body")
    transport.write(b"next")
    assert below.calls == [b"plain", b"head, body", b"next"]


def test_an_empty_body_lets_its_head_go() -> None:
    below = Written()
    transport = JoiningTransport(below)
    transport.join_next()
    transport.write(b"head")
    transport.write(b"")
    assert below.calls == [b"head"]


def test_everything_else_is_asked_of_the_transport_below() -> None:
    assert JoiningTransport(Written()).is_closing() is False
