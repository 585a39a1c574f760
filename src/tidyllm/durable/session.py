"""One execution of one run: it stands between the program's calls and their steps, and records each by its path.

It knows records and policies, not the engine that runs it, nor how they are written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from tidyllm import clock
from tidyllm.core import Branch, Context, Parallel, Sequence, Step
from tidyllm.core.ambient import reset_current, set_current
from tidyllm.durable.blobs import LARGE, name_of
from tidyllm.durable.codec import Codec, codec_of, decode_error, digest, encode_error
from tidyllm.durable.journal import Journal, Write
from tidyllm.durable.replay import Record, Replay, join
from tidyllm.durable.tables import ASKED, DONE, FAILED, LEFT, RUNNING
from tidyllm.errors import (
    LeaseLost,
    NobodyToAsk,
    RunCancelled,
    RunDiverged,
    RunInDoubt,
    StepError,
    StoreDown,
    TidyllmError,
    TimeoutExceeded,
    UnregisteredType,
)

__all__ = ["CONTROL", "Session"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

CONTROL = (LeaseLost, RunCancelled, RunDiverged, StoreDown)
"""What ends an execution without being an outcome of the program."""
_BRACKETS = (Sequence, Parallel, Branch)
_TEXT = Codec(str, "ctx.ask: its answer")


@dataclass(frozen=True, slots=True)
class _Call:
    """One call that has begun."""

    path: str
    step: Step[Any, Any]
    mark: str | None
    started: float


class Session:
    """The `Caller`, `StreamCaller` and `Asker` of one run."""

    def __init__(
        self,
        run: str,
        owner: str,
        replay: Replay,
        journal: Journal,
        *,
        load_blob: Callable[[str], str],
        messages: Callable[[str, str, str], Awaitable[tuple[int, str] | None]],
        has_people: bool = True,
    ) -> None:
        self.run = run
        self.owner = owner
        self.replay = replay
        self.stopped: TidyllmError | None = None
        """Why nothing more may be called; also when the program swallows the error."""
        self.task: asyncio.Task[Any] | None = None
        self._journal = journal
        self._load_blob = load_blob
        self._messages = messages
        self._has_people = has_people
        self._seq = replay.next_seq

    # -- the seam

    async def __call__(self, step: Step[I, O], x: I, child: Context, /) -> O:
        if self.stopped is not None:
            raise self.stopped
        if isinstance(step, _BRACKETS) or child.parent is None or not child.parent.segment:
            # What brackets give is made of their branches' records alone, and the run's own outcome is the engine's.
            return await child.record(step, x)
        path, codec = join(child.path), codec_of(step)
        record, mark = self._known(path, step, x)
        if record is not None and record.ended:
            return self._again(record, codec)
        call = await self._begin(path, step, mark, record, child)
        place = self._placed(child, path)
        token = set_current(place)
        try:
            text = codec.encode(await place.record(step, x))
            # Before it counts as recorded: an answer that cannot be read again is none.
            answer = codec.decode(text)
        except Exception as error:  # noqa: BLE001 - what a step raises is recorded
            raise await self._failed(call, error) from error.__cause__
        finally:
            reset_current(token)
        await self._end(call, DONE, text)
        return answer

    async def stream(self, step: Step[I, Any], x: I, child: Context, /) -> AsyncGenerator[Any, None]:
        if self.stopped is not None:
            raise self.stopped
        if isinstance(step, _BRACKETS) or child.parent is None or not child.parent.segment:
            async with contextlib.aclosing(child.record_stream(step, x)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        path, codec = join(child.path), codec_of(step)
        record, mark = self._known(path, step, x)
        if record is not None and record.ended:
            for piece in step.split(self._again(record, codec)):
                yield piece
            return
        call = await self._begin(path, step, mark, record, child)
        passed: list[Any] = []
        pieces = self._placed(child, path).record_stream(step, x)
        whole = False
        try:
            async for piece in pieces:
                passed.append(piece)
                yield piece
            whole = True
        except GeneratorExit:
            self._journal.post(self._ended(call, LEFT, None))
            raise
        except Exception as error:  # noqa: BLE001 - what a step raises is recorded
            raise await self._failed(call, error) from error.__cause__
        finally:
            await pieces.aclose()
        if whole:
            await self._keep_joined(call, codec, passed)

    async def _keep_joined(self, call: _Call, codec: Codec, pieces: list[Any]) -> None:
        try:
            text = codec.encode(call.step.join(pieces))
        except StepError:  # a choice between steps that join in different ways: it cannot be given again
            self._journal.post(self._ended(call, LEFT, None))
            return
        except UnregisteredType as error:
            raise await self._failed(call, error) from error.__cause__
        await self._end(call, DONE, text)

    # -- people

    async def ask(self, question: str, ctx: Context, /) -> str:
        """The `Asker`: the question is a record, and waits until somebody approves, refuses or answers."""
        return await self.question(join(ctx.path), question)

    async def question(self, path: str, question: str) -> str:
        if self.stopped is not None:
            raise self.stopped
        record, mark = self._known(path, None, question)
        if record is not None and record.state == DONE:
            return _TEXT.decode(self._text_of(record))
        if not self._has_people:
            raise NobodyToAsk(question, path=path)
        started = clock.now() if record is None else record.started
        if record is None:
            row = (self.run, path, self._number(), "ask", mark, ASKED, "ask", started, None, question, None)
            await self._write(Write(self.run, self.owner, row, ended=True, hard=True))
        number, answer = await self._message("answer", path)
        row = (self.run, path, self._number(), "ask", mark, DONE, "ask", started, clock.now(), answer, None)
        await self._write(Write(self.run, self.owner, row, ended=True, hard=True, taken=number))
        return _TEXT.decode(answer)

    async def receive(self, path: str, name: str) -> str:
        """The next signal called `name`, as JSON."""
        if self.stopped is not None:
            raise self.stopped
        record, _ = self._known(path, None, None, step="signal")
        if record is not None and record.state == DONE:
            return self._text_of(record)
        started = clock.now()
        if record is None:
            row = (self.run, path, self._number(), "signal", None, RUNNING, "rerun", started)
            await self._write(Write(self.run, self.owner, row))
        number, value = await self._message("signal", name)
        row = (
            self.run,
            path,
            self._number(),
            "signal",
            None,
            DONE,
            "rerun",
            started,
            clock.now(),
            value,
            None,
        )
        await self._write(Write(self.run, self.owner, row, ended=True, hard=True, taken=number))
        return value

    def decide(self, place: str, name: str) -> bool:
        """Whether the new code behind `versioned(name)` runs in this run; decided once."""
        path = f"{place}/versioned:{name}"
        record = self.replay.records.get(path)
        if record is not None:
            self.replay.take(path, "versioned", None)
            return record.output == "true"
        chosen = not self.replay.is_past(place)
        text = "true" if chosen else "false"
        now = clock.now()
        row = (self.run, path, self._number(), "versioned", None, DONE, "rerun", now, now, text, None)
        self.replay.records[path] = Record(
            path, 0, "versioned", None, DONE, 1, "rerun", now, text, None, used=True
        )
        self._journal.post(Write(self.run, self.owner, row, ended=True))
        return chosen

    async def _message(self, kind: str, name: str) -> tuple[int, str]:
        pause = 0.02
        while True:
            if self.stopped is not None:
                raise self.stopped
            with contextlib.suppress(
                StoreDown
            ):  # it may wait for days: what does it matter if the database does, too
                found = await self._messages(self.run, kind, name)
                if found is not None:
                    return found
            await clock.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    # -- ending

    def stop(self, error: TidyllmError) -> None:
        """Call nothing more, and end what runs. From any thread of the loop that runs it."""
        if self.stopped is None:
            self.stopped = error
        if self.task is not None and not self.task.done():
            self.task.cancel()

    # -- records

    def _known(
        self, path: str, one: Step[Any, Any] | None, x: Any, *, step: str = "ask"
    ) -> tuple[Record | None, str | None]:
        mark = digest(x)
        try:
            return self.replay.take(path, one.name if one is not None else step, mark), mark
        except RunDiverged as error:
            self.stopped = error
            raise

    def _again(self, record: Record, codec: Codec) -> Any:
        text = self._text_of(record)
        if record.state == FAILED:
            raise decode_error(text, step=record.path, run_id=self.run)
        return codec.decode(text)

    def _text_of(self, record: Record) -> str:
        return self._load_blob(record.blob) if record.blob is not None else record.output or "null"

    def _placed(self, child: Context, path: str) -> Context:
        key = blake2b(f"{self.run}\n{path}".encode(), digest_size=16).hexdigest()
        return child.with_(idempotency_key=key)

    async def _settle_doubt(self, record: Record, step: Step[Any, Any]) -> None:
        """What was in flight at the crash is made again, asked about, or failed."""
        policy = step.in_doubt
        if policy == "ask" and not self._has_people:
            policy = "fail"
        if policy == "rerun":
            return
        if policy == "ask":
            # Each death is a doubt of its own: "rerun" said of the first one does not answer the second.
            number = "" if record.tries == 1 else f"#{record.tries}"
            answer = await self.question(
                f"{record.path}/in-doubt{number}",
                f"{record.path!r} was in flight when its process died, and may have done its work. "
                "Answer `rerun` to make the call again, anything else to fail it.",
            )
            if answer.strip().lower() in {"rerun", "yes", "y"}:
                return
        error = RunInDoubt(
            f"run {self.run!r}: {record.path!r} was in flight when its process died; "
            f"its policy ({step.in_doubt}) is not to make it again.",
            step=record.path,
            run_id=self.run,
            hint="See what it did, then fork the run from that step, or start a new one.",
        )
        call = _Call(record.path, step, record.digest, record.started)
        await self._end(call, FAILED, encode_error(error))
        raise error

    async def _begin(
        self, path: str, step: Step[Any, Any], mark: str | None, record: Record | None, child: Context
    ) -> _Call:
        """The intent: it is written before the step is called."""
        if (
            child.remaining is not None and child.remaining <= 0
        ):  # also for a program that swallows its interruption
            raise TimeoutExceeded("deadline", 0.0, what=f"step {path!r}")
        if record is not None and record.state == RUNNING:
            await self._settle_doubt(record, step)
        started = clock.now()
        row = (self.run, path, self._number(), step.name, mark, RUNNING, step.in_doubt, started)
        await self._write(Write(self.run, self.owner, row, hard=step.in_doubt != "rerun"))
        return _Call(path, step, mark, started)

    async def _failed(self, call: _Call, error: Exception) -> Exception:
        """The failure as the program sees it, now and in every replay."""
        if self.stopped is not None:
            return self.stopped
        if isinstance(error, CONTROL):
            self.stopped = error
            return error
        text = encode_error(error)
        await self._end(call, FAILED, text)
        again = decode_error(text, step=call.path, run_id=self.run)
        if type(again) is type(error):
            return error
        again.__cause__ = error
        return again

    async def _end(self, call: _Call, state: int, text: str | None) -> None:
        await self._write(self._ended(call, state, text))

    def _ended(self, call: _Call, state: int, text: str | None) -> Write:
        blob: tuple[str, str] | None = None
        if text is not None and len(text) > LARGE:
            blob = name_of(text), text
        row = (
            *(self.run, call.path, self._number(), call.step.name, call.mark, state, call.step.in_doubt),
            *(call.started, clock.now(), None if blob else text, blob[0] if blob else None),
        )
        return Write(self.run, self.owner, row, ended=True, blob=blob, hard=True)

    def _number(self) -> int:
        self._seq += 1
        return self._seq

    async def _write(self, one: Write) -> None:
        try:
            await self._journal.write(one)
        except (LeaseLost, RunCancelled, StoreDown) as error:
            self.stopped = error
            raise
