"""Questions of a run to whoever typed the command: asked in the terminal, or answered by `--yes`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from tidyllm import clock
from tidyllm.cli.output import harmless
from tidyllm.durable.acts import questions

if TYPE_CHECKING:
    from tidyllm.cli.agents_view import View
    from tidyllm.durable import Run, Runtime

__all__ = ["InputEnded", "answering", "answers_itself"]

_LOOK = 0.25
"""Seconds between two looks for questions: a person does not notice, a database neither."""
_FREE = "Nobody is there to answer. Decide what fits the goal best, and go on."


class InputEnded(Exception):
    """Nobody is left to answer."""


async def answers_itself(runtime: Runtime, run: Run[object], view: View) -> None:
    """Answer every question of `run` with yes, until cancelled."""
    seen: set[str] = set()
    while True:
        for path, question in await runtime.query(lambda at: questions(at, run.id)):
            if path not in seen:
                seen.add(path)
                answer = "yes" if _is_yes_or_no(path, question) else _FREE
                view.notice(f"   asked: {question} -> {answer}")
                await run.approve(path, answer)
        await clock.sleep(_LOOK)


async def answering(runtime: Runtime, run: Run[object], view: View) -> None:
    """Ask a person every question of `run`, until cancelled.

    :raises InputEnded: standard input is at its end.
    """
    lines = _Lines()
    seen: set[str] = set()
    while True:
        for path, question in await runtime.query(lambda at: questions(at, run.id)):
            if path in seen:
                continue
            seen.add(path)
            view.pause()
            try:
                more = "" if not _is_yes_or_no(path, question) or "yes" in question else " (yes/no)"
                sys.stderr.write(f"\n{harmless(question)}{more}\n? ")
                sys.stderr.flush()
                answer = await lines.next()
            finally:
                view.resume()
            await run.approve(path, answer)
        await clock.sleep(_LOOK)


def _is_yes_or_no(path: str, question: str) -> bool:
    return path.endswith("/in-doubt") or question.endswith("(yes/no)") or question.startswith("May ")


class _Lines:
    """Lines of standard input, without a thread that would keep the process from ending."""

    def __init__(self) -> None:
        self._held = b""
        self._over = False

    async def next(self) -> str:
        """The next line. :raises InputEnded: there is none."""
        while b"\n" not in self._held and not self._over:
            await self._read()
        line, mark, self._held = self._held.partition(b"\n")
        if not mark and not line:
            raise InputEnded
        return line.decode("utf-8", "replace").strip()

    async def _read(self) -> None:
        number = sys.stdin.fileno()
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(number, lambda: ready.done() or ready.set_result(None))
        except (OSError, ValueError):  # a plain file is always ready
            ready.set_result(None)
        try:
            await ready
            data = os.read(number, 65_536)
        finally:
            try:
                loop.remove_reader(number)
            except (OSError, ValueError):
                pass
        self._over = not data
        self._held += data
