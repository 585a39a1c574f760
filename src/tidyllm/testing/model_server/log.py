"""What a server was asked, in memory and, where wanted, in a file that outlives it. It knows no sockets."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.testing.model_server.asked import Asked, Dialect

__all__ = ["RequestLog", "read_log"]


class RequestLog:
    """Appends each request as one line of JSON, before it is answered: a client killed meanwhile is counted as well.

    Numbers go on where the file ends, so that a server may be started again on the same file.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self.kept: list[Asked] = []
        self._before = len(read_log(path)) if path is not None else 0

    def next_number(self) -> int:
        return self._before + len(self.kept) + 1

    def add(self, asked: Asked) -> None:
        with self._lock:
            self.kept.append(asked)
            if self._path is not None:
                line = {
                    "number": asked.number,
                    "dialect": asked.dialect,
                    "path": asked.path,
                    "body": asked.body,
                }
                with self._path.open("ab") as file:
                    file.write(msgspec.json.encode(line) + b"\n")


class _Line(msgspec.Struct):
    number: int
    dialect: Dialect
    path: str
    body: dict[str, Any]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The bodies of the requests in a log file, in order; a file that is not there holds none."""
    if not path.exists():
        return []
    return [msgspec.json.decode(line, type=_Line).body for line in path.read_bytes().splitlines() if line]
