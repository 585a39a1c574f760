"""A door between a client and a server on the loopback that can be shut at the worst moment. It knows bytes only."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator

__all__ = ["Proxy", "proxy"]


class Proxy:
    """Passes bytes on, on `port`. After `cut_after(word)` the next message with `word` is passed on, not its answer."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._word: bytes | None = None
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.cuts = 0
        self.shut = False
        """Whoever knocks is turned away."""
        self._shuts = False
        self._begin(self._accept)

    def cut_after(self, word: bytes, *, shut: bool = False) -> None:
        """Break the connection on which `word` is sent next, once the server has it; with `shut` stay shut."""
        self._shuts = shut
        self._word = word

    def close(self) -> None:
        """Hang up everywhere."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._sockets:
            _hang_up(one)
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def _begin(self, function: object, *arguments: object) -> None:
        assert callable(function)
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.shut:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            self._begin(self._upwards, client, server)
            self._begin(self._downwards, server, client)

    def _upwards(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65_536):
                word = self._word
                if word is not None and word in data:
                    self._word = None
                    self.cuts += 1
                    self.shut = self._shuts
                    _hang_up(client)  # first, so that no answer comes through
                    server.sendall(data)
                    break
                server.sendall(data)
        _hang_up(server)

    def _downwards(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65_536):
                client.sendall(data)
        _hang_up(client)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy(target: int) -> Generator[Proxy]:
    """A door to the server on port `target`, closed at the end."""
    door = Proxy(target)
    try:
        yield door
    finally:
        door.close()
