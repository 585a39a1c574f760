"""A terminal in which a command runs: what it shows, and what is typed into it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cli.command import COMMAND, environment

__all__ = ["Terminal"]

_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`async with Terminal(folder, "chat", ...) as terminal: await terminal.until("> "); terminal.type("hello")`."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self._arguments, self._folder, self._env = arguments, folder, env
        self._shown = ""
        self._read_to = 0

    async def __aenter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, *self._arguments],
            cwd=self._folder,
            env=environment(TERM="xterm", LINES="40", **self._env),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_own_terminal,  # noqa: PLW1509 - it locks nothing
        )
        os.close(theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._more)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _more(self) -> None:
        try:
            data = os.read(self._ours, 65_536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._ours)
        self._shown += data.decode("utf-8", "replace")

    @property
    def shown(self) -> str:
        """All that was shown, without colours and moves of the cursor."""
        return _CODES.sub("", self._shown).replace("\r\n", "\n")

    async def until(self, words: str, seconds: float = 30) -> None:
        """Wait until these words are shown after those that were waited for last."""
        for _ in range(int(seconds / 0.02)):
            found = self.shown.find(words, self._read_to)
            if found >= 0:
                self._read_to = found + len(words)
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{words!r} is not in {self.shown[self._read_to :]!r}")

    def type(self, text: str, end: str = "\r") -> None:
        """Type a line."""
        os.write(self._ours, (text + end).encode())

    def press(self, letter: str) -> None:
        """Press Ctrl and a letter."""
        self.type(chr(ord(letter.upper()) - 64), end="")

    async def end(self) -> int:
        """Wait for its end; returns the exit status."""
        status = await asyncio.to_thread(self._process.wait, 30)
        for _ in range(50):  # what it wrote last is still on its way
            with contextlib.suppress(BlockingIOError):
                await asyncio.sleep(0.01)
        return status


def _own_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
