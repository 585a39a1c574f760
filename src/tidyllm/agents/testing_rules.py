"""The goal's check and the state of the tree, as steps: run by the coordinator itself, believed from nobody's words.

They know a workspace, no model and no agent. What they give is recorded, so that a run that is replayed decides by what
was seen then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from tidyllm.agents.reaching import reached
from tidyllm.core import Context, Step
from tidyllm.sandbox import Workspace

__all__ = ["Check", "CheckOrder", "CheckResult", "Look", "Seen", "counts_of", "doubts"]

_KEPT = 24_000
_VARIES = re.compile(r"\b\d+(?:\.\d+)?\s?m?s\b|0x[0-9a-fA-F]+|pytest-\d+|/tmp/\S+")


class CheckOrder(msgspec.Struct, frozen=True):
    """Which check, for which time, and what it printed at the first. `seconds`: less than commands may take."""

    argv: tuple[str, ...]
    number: int = 1
    first: str | None = None
    seconds: float | None = None


class CheckResult(msgspec.Struct, frozen=True):
    """How a check ended, on a tree of which hash. `digest`: of what it printed, without times and addresses.

    `doubt`: why exit code 0 is not believed; "" where it is, or the check failed.
    """

    passed: bool
    exit_code: int
    output: str
    tree: str
    digest: str = ""
    doubt: str = ""

    @property
    def summary(self) -> str:
        """The last line of its output."""
        lines = [line.strip(" =") for line in self.output.splitlines() if line.strip(" =")]
        return lines[-1][:300] if lines else f"exit code {self.exit_code}"


class Seen(msgspec.Struct, frozen=True):
    """The tree at one moment: its hash, what was changed since the beginning, what is protected and was changed."""

    tree: str
    changed: list[str] = []
    spoiled: list[str] = []
    last: int = 0
    """Number of the last change in the workspace's journal."""


_COUNT = re.compile(r"\b(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")
_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+ ?m?s", re.MULTILINE)
_ALL_RAN = re.compile(r"\[100%\]|\[\s*(\d+)/\1\]")


def counts_of(output: str) -> dict[str, int]:
    """What the last summary of pytest in a text counts; {} where there is none."""
    found = _SUMMARY.findall(output)
    return {} if not found else {what.rstrip("s"): int(number) for number, what in _COUNT.findall(found[-1])}


def doubts(argv: Sequence[str], first: str | None, output: str) -> str:
    """Why a run with exit code 0 is not believed; "" where it is. `first`: what the first run printed.

    A program can end pytest from inside, or make tests skip themselves: the exit code is then 0 as well.
    """
    if not any(word.rpartition("/")[2] in ("pytest", "py.test") for word in argv):
        return ""
    now = counts_of(output)
    if not now and not _ALL_RAN.search(output):
        return "pytest printed no summary, so that it was ended before its end"
    wrong = now.get("failed", 0) + now.get("error", 0)
    if wrong:
        return f"pytest counts {wrong} that did not pass"
    if now and not now.get("passed"):
        return "no test passed"
    before = {} if first is None else counts_of(first)
    if not now or not before or before.get("error"):
        return ""
    ran = before.get("passed", 0) + before.get("failed", 0)
    if now.get("passed", 0) < ran:
        return (
            f"{now.get('passed', 0)} tests passed, and at the beginning {ran} ran: skipped ones do not count"
        )
    return ""


class Check(Step[CheckOrder, CheckResult]):
    """Runs the check in the workspace's sandbox. It passes with exit code 0, in time, with protected files untouched;
    of pytest it must be seen that all tests ran.

    :raises CommandRefused: the workspace does not run such a command.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("check")
        self._workspace = workspace

    async def invoke(self, x: CheckOrder, ctx: Context) -> CheckResult:
        key = None if ctx.idempotency_key is None else f"{ctx.idempotency_key}:{ctx.where}"
        result = await self._workspace.run(x.argv, timeout=x.seconds, key=key)
        parts = [result.stdout.rstrip(), result.stderr.rstrip()]
        if result.timed_out:
            parts.append("[stopped: its time was over]")
        if result.killed:
            parts.append(f"[stopped: {result.killed}]")
        if result.restored:
            parts.append(f"[protected, changed by it and put back: {', '.join(result.restored)}]")
        passed = result.ok
        doubt = doubts(x.argv, x.first, result.stdout) or reached(self._workspace) if passed else ""
        if not passed and result.exit_code == 0 and result.restored:
            doubt = f"it changed what is protected: {', '.join(result.restored)}"
        if doubt:
            passed = False
            parts.append(f"[exit code 0, but it is not believed: {doubt}]")
        output = "\n".join(part for part in parts if part)
        if len(output) > _KEPT:
            output = f"{output[: _KEPT // 4]}\n[...]\n{output[-_KEPT * 3 // 4 :]}"
        digest = sha256(_VARIES.sub("", output).encode()).hexdigest()[:16]
        return CheckResult(passed, result.exit_code, output, self._workspace.tree_hash(), digest, doubt)


class Look(Step[int, Seen]):
    """Looks at the tree; the number is that of the last change that does not count (-1: none counts)."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__("look")
        self._workspace = workspace

    async def invoke(self, x: int, ctx: Context) -> Seen:
        ws = self._workspace
        every = ws.changes()
        last = every[-1].seq if every else 0
        paths = {one.path for one in every if x >= 0 and one.seq > x and one.op != "undo"}
        return Seen(ws.tree_hash(), sorted(paths), ws.protected_changes(), last)
