"""How a run of agents is shown while it runs: as lines, a live picture, or JSON. It knows events, not their source.

`notice` words are for whoever watches; with JSON they go to standard error.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tidyllm import clock
from tidyllm.agents import (
    AnswerPiece,
    ApprovalAsked,
    Pruned,
    Repaired,
    Stopped,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnStarted,
)
from tidyllm.agents.coordinator_events import (
    Checked,
    Consulted,
    Decided,
    PhaseChanged,
    ProjectEvent,
    ProjectStopped,
    TaskChanged,
    Warned,
)
from tidyllm.cli.output import harmless, say

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

__all__ = ["JsonLines", "LivePicture", "PlainLines", "Tally", "View", "Words", "chosen_view"]

_WIDTH = 160
_EXIT = re.compile(r"^\[(exit code [^\]]*)\]", re.MULTILINE)


class View(Protocol):
    """Somebody who shows a run."""

    def event(self, event: ProjectEvent) -> None:
        """Something has happened."""
        ...

    def notice(self, text: str) -> None:
        """Words of the command itself."""
        ...

    def pause(self) -> None:
        """A person is going to be asked: leave the terminal alone."""
        ...

    def resume(self) -> None:
        """The person has answered."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


def chosen_view(*, as_json: bool) -> View:
    """JSON where it is wanted, a live picture on a terminal, else plain lines."""
    if as_json:
        return JsonLines()
    return LivePicture() if sys.stdout.isatty() else PlainLines()


class Tally:
    """What has been used since this process began, as events tell it. What the whole run used is in its result."""

    def __init__(self) -> None:
        self.turns = 0
        self.tools = 0
        self.tokens = 0
        self.usd = Decimal(0)
        self.unpriced = 0

    def add(self, event: ProjectEvent) -> None:
        if isinstance(event, TurnFinished):
            self.turns += 1
            self.tokens += (event.input_tokens or 0) + (event.output_tokens or 0)
            if event.cost_usd is None:
                self.unpriced += 1
            else:
                self.usd += event.cost_usd
        elif isinstance(event, ToolFinished):
            self.tools += 1

    @property
    def text(self) -> str:
        money = f"${self.usd:.4f}" if self.usd else "price unknown" if self.unpriced else "$0"
        return f"{_number(self.turns, 'turn')} · {self.tokens:,} tokens · {money}"


class Words:
    """Events as lines for a person."""

    def __init__(self) -> None:
        self._given: dict[tuple[tuple[str, ...], str], str] = {}

    def of(self, event: ProjectEvent) -> str | None:
        """One line; None for what is not worth one."""
        match event:
            case PhaseChanged():
                return f"== {event.phase}" + (f": {_short(event.reason)}" if event.reason else "")
            case TaskChanged():
                title = f" - {_short(event.title)}" if event.title else ""
                return f"   task {event.task}: {event.status.replace('_', ' ')}{title}"
            case Decided():
                by = "arbiter" if event.by == "model" else event.by
                return f"   {by}: {_decision(event.decision)}" + (
                    f" ({_short(event.why)})" if event.why else ""
                )
            case Consulted():
                return f"   {event.kind} was asked: {_short(event.query)}" + (
                    "" if event.ok else " - no answer"
                )
            case Checked():
                return f"   check {'passes' if event.passed else 'fails'}: {_short(event.summary)}"
            case Warned():
                return f"   note: {_short(event.text)}"
            case ToolStarted():
                self._given[event.path, event.id] = _short(
                    " ".join(_argument(one) for one in event.arguments.values()), 70
                )
                return None
            case ToolFinished():
                return self._tool(event)
            case Repaired():
                return f"   {event.agent} could not be understood ({event.attempt}): {_short(event.problem)}"
            case Pruned():
                return f"   {event.agent}: {_number(event.messages, 'older message')} went to the archive"
            case Stopped() if event.stop != "done":
                return f"   {event.agent} stopped: {event.stop}. {_short(event.detail)}".rstrip()
            case _:
                return None

    def _tool(self, event: ToolFinished) -> str | None:
        given = self._given.pop((event.path, event.id), "")
        if event.tool == "final_answer":
            return None
        ended = _EXIT.search(event.text)
        how = f" -> {_short(event.text)}" if not event.ok else f" -> {ended[1]}" if ended else ""
        return f"   {event.agent} {event.tool} {given}".rstrip() + how


def _argument(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore[reportUnknownArgumentType]


def _decision(decision: object) -> str:
    fields = msgspec.structs.asdict(decision)  # pyright: ignore[reportArgumentType] - all are structs
    name = str(msgspec.to_builtins(decision).get("action", "")).replace("_", " ")
    said = " ".join(str(value) for value in fields.values() if value)
    return f"{name}: {_short(said)}" if said else name


class PlainLines:
    """A line for each event on standard output."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._words = Words()

    def event(self, event: ProjectEvent) -> None:
        self._tally.add(event)
        line = self._words.of(event)
        if isinstance(event, PhaseChanged) and line is not None and self._tally.turns:
            line += f"   [{self._tally.text}]"
        if line is not None:
            self._write(line)

    def notice(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str) -> None:
        say(harmless(text) + "\n")

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """Each event as an object on a line of its own; `event` says which it is."""

    def event(self, event: ProjectEvent) -> None:
        if isinstance(event, ProjectStopped | Stopped):
            event = msgspec.structs.replace(
                event, result=None
            )  # the whole of it comes at the end, or is another's
        found: dict[str, Any] = msgspec.to_builtins(event)
        self.write({"event": found.pop("type"), **found})

    def write(self, fields: dict[str, Any]) -> None:
        """One line of ours."""
        say(msgspec.json.encode(fields).decode("utf-8", "replace") + "\n")

    def notice(self, text: str) -> None:
        sys.stderr.write(harmless(text) + "\n")
        sys.stderr.flush()

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class LivePicture:
    """Lines that scroll, and below them what happens now: phase, task, tool, tokens, dollars."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(highlight=False)
        self._tally = Tally()
        self._words = Words()
        self._began = clock.monotonic()
        self._phase = self._task = self._doing = ""
        self._live: Live = Live(
            get_renderable=self._picture, console=self._console, refresh_per_second=8, transient=True
        )
        self._live.start()

    def event(self, event: ProjectEvent) -> None:
        self._tally.add(event)
        match event:
            case PhaseChanged():
                self._phase = str(event.phase)
            case TaskChanged():
                self._task = f"{event.title or event.task} ({event.status.replace('_', ' ')})"
            case TurnStarted():
                self._doing = f"{event.agent} is asking its model, turn {event.turn}"
            case AnswerPiece():
                data = event.text.lstrip().startswith(("{", "```"))
                self._doing = f"{event.agent} answers" if data else f"{event.agent}: {_short(event.text)}"
            case ToolStarted():
                given = ", ".join(str(value) for value in event.arguments.values())
                self._doing = f"{event.agent} runs {event.tool} {_short(given, 60)}".rstrip()
            case ApprovalAsked():
                self._doing = "waits for an answer"
            case _:
                pass
        line = self._words.of(event)
        if line is not None:
            from rich.text import Text

            style = (
                "bold"
                if isinstance(event, PhaseChanged)
                else "dim"
                if isinstance(event, ToolFinished)
                else ""
            )
            self._console.print(Text(harmless(line), style=style))

    def notice(self, text: str) -> None:
        self._console.print(harmless(text), markup=False, soft_wrap=True)

    def pause(self) -> None:
        self._live.stop()

    def resume(self) -> None:
        self._live.start(refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _picture(self) -> Text:
        from rich.text import Text

        seconds = clock.monotonic() - self._began
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{self._phase or 'starting'}", style="bold cyan")
        if self._task:
            text.append(f" · {harmless(self._task)}")
        text.append(f"\n{harmless(self._doing) or '…'}\n", style="dim")
        text.append(f"{self._tally.text} · {seconds:.0f} s", style="green")
        return text


def _short(text: str, most: int = _WIDTH) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"
