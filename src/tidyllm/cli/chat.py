"""`tidyllm chat`: a conversation in the terminal that is saved, goes on with any model, and counts what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from tidyllm.agents import Conversation
from tidyllm.agents.facts import ModelFacts, facts_of
from tidyllm.cli.acting import table, when
from tidyllm.cli.chat_saved import Saved, chats, find, save
from tidyllm.cli.chosen_model import chosen_model
from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.core import Step
from tidyllm.errors import ConfigError, StreamInterrupted, TidyllmError
from tidyllm.models import Message, Request, RequestLike, Response

__all__ = ["run"]

_HELP = """\
/model NAME   go on with another model (a route, or kind/model); /model alone says which one it is
/undo         take the last question and its answer back
/save [FILE]  say where the chat is kept; with FILE, write it there as text
/help         this
/quit         end; so does Ctrl-D. Ctrl-C stops an answer, not the chat.
"""
_TITLE = 60


def run(
    model: str | None,
    resume: str | None,
    system: str | None,
    config: str | None,
    env: str | None,
    *,
    show_list: bool,
) -> None:
    """Talk until the input ends. Exit status 1 when questions came through a pipe and one of them got no answer."""
    if show_list:
        _list()
        return
    saved = Saved.new(model or "", system) if resume is None else find(resume)
    if resume is not None and system is not None:
        saved.system = system
    chat = _Chat(saved, _Ways(config, env))
    chat.choose(model or saved.model)
    with until_the_reader_leaves(), asyncio.Runner() as runner:
        chat.talk_with(runner)
    if chat.failed and not sys.stdin.isatty():
        raise SystemExit(1)


def _list() -> None:
    found = sorted(chats(), key=lambda one: -one.updated)
    rows = [(one.id, when(one.updated), one.turns, one.model or "(first)", one.title) for one in found]
    table(("CHAT", "USED (UTC)", "TURNS", "MODEL", "BEGINS"), rows, "No chat was saved yet.")


class _Ways(msgspec.Struct, frozen=True):
    """Where models are looked up."""

    config: str | None
    env: str | None

    def find(self, name: str) -> Step[RequestLike, Response]:
        return chosen_model(name or None, self.config, self.env, command="chat")


class _Chat:
    def __init__(self, saved: Saved, ways: _Ways) -> None:
        self._saved = saved
        self._ways = ways
        self._talk = saved.talk()
        self._step: Step[RequestLike, Response]
        self._facts: ModelFacts
        self._tty = sys.stdin.isatty()
        # A program in a pipe gets what the model wrote; a terminal would obey it.
        self._shown = harmless if sys.stdout.isatty() else str
        self.failed = False

    def choose(self, name: str) -> None:
        """:raises TidyllmError: there is no such model."""
        step = self._ways.find(name)
        self._step, self._facts = step, facts_of(step, None, None)
        self._saved.model = name
        self._talk.model = self._facts.counted_as

    # -- the loop

    def talk_with(self, runner: asyncio.Runner) -> None:
        if self._tty:
            _note(f"{self._step.name} · chat {self._saved.id} · /help says what else there is")
        for line in self._lines():
            text = line.strip()
            if line.startswith("/"):
                if not self._command(text):
                    break
            elif text:
                self._turn(text, runner)
        if self._saved.turns:
            _note(f"Saved. Go on with: tidyllm chat --resume {self._saved.id}")

    def _lines(self) -> Iterator[str]:
        if not self._tty:
            for raw in sys.stdin.buffer:
                yield raw.decode("utf-8", "replace")
            return
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # pyright: ignore[reportUnusedImport] - gives `input` its line editing
        while True:
            try:
                yield input("> ")
            except KeyboardInterrupt:
                sys.stdout.write("\n")
                _note("Ctrl-D or /quit ends the chat.")
            except EOFError:
                sys.stdout.write("\n")
                return
            except UnicodeError:
                _note("That is not text in UTF-8.")

    def _turn(self, text: str, runner: asyncio.Runner) -> None:
        # A surrogate cannot be sent; it comes from a terminal with another encoding.
        question = Message.user(text.encode("utf-8", "replace").decode())
        self._talk.add(question)
        try:
            response, ended = runner.run(self._answer())
        except KeyboardInterrupt:  # before the first piece
            self._take_back(question)
            _note("Stopped; the question is taken back.")
            return
        except TidyllmError as error:
            self._take_back(question)
            self.failed = True
            sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
            return
        if not response.text:
            self._take_back(question)
            self.failed = self.failed or not ended
            _note("(no text came)")
        else:
            # Its text alone, so that another model can go on with it.
            self._talk.add(Message.assistant(response.text))
            self._talk.told(response.usage.input_tokens, len(self._talk) - 1)
            self._saved.turns += 1
            self._saved.title = self._saved.title or " ".join(text.split())[:_TITLE]
        self._count(response, ended)
        self._keep()

    async def _answer(self) -> tuple[Response, str]:
        """What came, and how it ended: empty when whole."""
        done = self._talk.fit(self._facts.input_budget, self._facts.info)
        if done is not None:
            _note(f"(what no longer fits went to the chat's archive: {done.messages} of the older messages)")
        if not len(self._talk):
            raise ConfigError(
                f"the question does not fit into {self._facts.input_budget:,} tokens, which is what "
                f"{self._step.name} takes."
            )
        request = Request(self._talk.messages, system=self._saved.system)
        pieces: list[object] = []
        ended = ""
        try:
            async with contextlib.aclosing(self._step.stream(request)) as stream:
                async for piece in stream:
                    pieces.append(piece)
                    sys.stdout.write(self._shown(piece.text))
                    sys.stdout.flush()
        except StreamInterrupted as error:
            if not isinstance(error.partial, Response):
                raise
            sys.stdout.write("\n")
            sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
            self.failed = True
            return error.partial, "broken off"
        except asyncio.CancelledError:
            if not any(getattr(piece, "text", "") for piece in pieces):
                raise
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # what has come is kept: this is an end, not a failure
            ended = "stopped"
        sys.stdout.write("\n")
        sys.stdout.flush()
        return self._step.join(pieces), ended

    def _take_back(self, question: Message) -> None:
        entries = self._talk.entries
        if entries and entries[-1].message is question:  # one that fits no window is gone already
            self._keep_first(len(entries) - 1)

    def _keep_first(self, number: int) -> None:
        talk = Conversation(model=self._talk.model)
        for entry in self._talk.entries[:number]:
            talk.add(entry.message, entry.kind)
        talk.archive = self._talk.archive
        self._talk = talk

    def _count(self, response: Response, ended: str) -> None:
        saved, usage = self._saved, response.usage
        saved.input_tokens += usage.input_tokens or 0
        saved.output_tokens += usage.output_tokens or 0
        if response.cost_usd is None:
            saved.unpriced += 1
        else:
            saved.cost_usd += response.cost_usd
        known = usage.input_tokens is not None or usage.output_tokens is not None
        tokens = f"{usage.input_tokens or 0:,} tokens in, {usage.output_tokens or 0:,} out"
        end = f" · {ended}" if ended else ""
        who = f"{response.provider}/{response.model}" if response.provider else self._step.name
        _note(
            f"{who} · {tokens if known else 'tokens unknown'} · {_dollars(response.cost_usd)}{end}"
            f" · in all {saved.input_tokens + saved.output_tokens:,} tokens, {_total(saved)}"
        )

    def _keep(self) -> None:
        try:
            save(self._saved, self._talk)
        except ConfigError as error:  # a full disk shall not end the chat
            sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")

    # -- commands

    def _command(self, text: str) -> bool:
        """Do what a line that begins with a slash says; False ends the chat."""
        word, _, rest = text.partition(" ")
        rest = rest.strip()
        match word:
            case "/quit" | "/exit" | "/bye":
                return False
            case "/help" | "/?":
                sys.stderr.write(_HELP)
            case "/model":
                self._switch(rest)
            case "/undo":
                self._undo()
            case "/save":
                self._write(rest)
            case _:
                _note(
                    f"{word[:40]} is no command; /help lists them. Begin with a space to say it to the model."
                )
        return True

    def _switch(self, name: str) -> None:
        if name:
            try:
                self.choose(name)
            except TidyllmError as error:
                sys.stderr.write(f"tidyllm: {harmless(str(error))}\n")
                return
            if self._saved.turns:
                self._keep()
        _note(f"The model is {self._step.name}.")

    def _undo(self) -> None:
        entries = self._talk.entries
        at = max((at for at, entry in enumerate(entries) if entry.message.role == "user"), default=None)
        if at is None:
            _note("There is nothing to take back.")
            return
        self._keep_first(at)
        self._saved.turns = max(self._saved.turns - 1, 0)
        self._keep()
        _note(f"Taken back: {harmless(' '.join(entries[at].message.text.split())[:_TITLE])}")

    def _write(self, given: str) -> None:
        try:
            if not given:
                _note(f"Kept as {save(self._saved, self._talk)}")
                return
            archived = [entry.message for entry in self._talk.archive.entries]
            lines = [f"{one.role}: {one.text}\n" for one in [*archived, *self._talk.messages]]
            Path(given).expanduser().write_text("\n".join(lines), encoding="utf-8")
            _note(f"Written to {given}")
        except OSError as error:
            _note(f"{given} cannot be written: {error.strerror or error}.")
        except ConfigError as error:
            _note(str(error))


def _dollars(cost: Decimal | None) -> str:
    return "price unknown" if cost is None else f"${cost:.6f}" if cost else "$0"


def _total(saved: Saved) -> str:
    more = f" and {saved.unpriced} answers of unknown price" if saved.unpriced else ""
    return _dollars(saved.cost_usd) + more


def _note(text: str) -> None:
    """To standard error, so that a pipe gets answers alone."""
    sys.stdout.flush()
    dim = sys.stderr.isatty()
    sys.stderr.write(f"\x1b[2m{harmless(text)}\x1b[0m\n" if dim else f"{harmless(text)}\n")
    sys.stderr.flush()
