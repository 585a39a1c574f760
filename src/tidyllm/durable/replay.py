"""What a run had recorded before, and whether the program still asks for the same. It only reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tidyllm.durable.tables import ASKED, DONE, FAILED, RUNNING
from tidyllm.errors import RunDiverged

__all__ = ["Record", "Replay", "above", "join"]


class Record(msgspec.Struct):
    """One recorded call."""

    path: str
    seq: int
    step: str
    digest: str | None
    state: int
    tries: int
    policy: str
    started: float
    output: str | None
    blob: str | None
    used: bool = False

    @property
    def ended(self) -> bool:
        """Whether there is an answer or a failure to give again."""
        return self.state in (DONE, FAILED)


def join(path: Iterable[str]) -> str:
    """A path as one text; a `/` in a name is written `%2F`."""
    return "/".join([part if "/" not in part else part.replace("/", "%2F") for part in path])


def above(path: str) -> list[str]:
    """All places that `path` lies below, the innermost first."""
    found: list[str] = []
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        found.append(path)
    return found


class Replay:
    """The records of one run, as its program asks for them again."""

    def __init__(
        self, run: str, recorded_version: str, version: str, rows: Iterable[tuple[Any, ...]]
    ) -> None:
        self.run = run
        self.recorded_version = recorded_version
        self.version = version
        self.records = {row[0]: Record(*row) for row in rows}
        self.next_seq = max((one.seq for one in self.records.values()), default=0) + 1
        ended = {path for path, one in self.records.items() if one.state == DONE}
        # What lies below an answered call is not asked for again.
        self._open = {path for path in self.records if not any(over in ended for over in above(path))}
        self._below: dict[str, int] = {}
        for path in self._open:
            for over in above(path):
                self._below[over] = self._below.get(over, 0) + 1

    @property
    def is_new(self) -> bool:
        """Whether nothing was recorded yet."""
        return not self.records

    @property
    def changed(self) -> bool:
        """Whether the program is another one than that which began the run."""
        return self.version != self.recorded_version

    def take(self, path: str, step: str, digest: str | None) -> Record | None:
        """The record of the call at `path`; None when it was never made.

        :raises RunDiverged: another step or another input stands there, or the changed program asks for a step in the
            middle of what was recorded.
        """
        record = self.records.get(path)
        if record is None:
            if self.changed and self._left(path):
                rest = self._first_left(path)
                raise self._diverged(path, f"asks for {path!r} (step {step!r}), where {rest!r} was recorded")
            return None
        if not record.used:
            record.used = True
            if path in self._open:
                self._open.discard(path)
                for over in above(path):
                    self._below[over] -= 1
        if record.step != step:
            raise self._diverged(
                path, f"asks for step {step!r} at {path!r}, where step {record.step!r} was recorded"
            )
        if digest is not None and record.digest is not None and digest != record.digest:
            raise self._diverged(path, f"calls {path!r} with another input than was recorded")
        return record

    def is_past(self, place: str) -> bool:
        """Whether the run had gone on, in `place`, beyond what was asked for so far."""
        return self._below.get(place, 0) > 0

    def finish(self) -> None:
        """The program has ended well.

        :raises RunDiverged: a changed program has left out a step that was recorded.
        """
        if self.changed:
            rest = sorted((self.records[path].seq, path) for path in self._open if self._counts(path))
            if rest:
                raise self._diverged(rest[0][1], f"ended without {rest[0][1]!r}, which was recorded")

    def has_below(self, path: str) -> bool:
        """Whether calls below the one at `path` were recorded."""
        prefix = path + "/"
        return any(one.startswith(prefix) for one in self.records)

    def in_doubt(self) -> list[Record]:
        """Calls that were in flight, and are no mere bracket around others."""
        flying = [one for one in self.records.values() if one.state == RUNNING]
        return [one for one in flying if not self.has_below(one.path)]

    def _counts(self, path: str) -> bool:
        return self.records[path].state in (DONE, FAILED, ASKED)

    def _left(self, path: str) -> bool:
        places = above(path)
        return bool(places) and self._below.get(places[0], 0) > 0

    def _first_left(self, path: str) -> str:
        prefix = above(path)[0] + "/"
        return min((self.records[one].seq, one) for one in self._open if one.startswith(prefix))[1]

    def _diverged(self, step: str, what: str) -> RunDiverged:
        how = (
            f"the program is version {self.version}, the run began with {self.recorded_version}"
            if self.changed
            else f"version {self.version} of the program is the same, so it does not repeat itself"
        )
        return RunDiverged(
            f"run {self.run!r} {what}: {how}.",
            step=step,
            recorded_version=self.recorded_version,
            version=self.version,
            run_id=self.run,
            hint='Put the new step behind `if versioned("name"):`, run the version that began it, or fork the run.'
            if self.changed
            else "What a step is given must come from the run's input and from recorded steps: no time, no chance.",
        )
