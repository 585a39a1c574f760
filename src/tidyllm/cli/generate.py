"""`tidyllm generate`: one function with its tests, which have run before anybody sees them."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from tidyllm.agents import Agent, AgentLimits, AgentResult, Finding
from tidyllm.cli.agents_order import caps
from tidyllm.cli.agents_told import dollars
from tidyllm.cli.chosen_model import chosen_model
from tidyllm.cli.output import harmless, say
from tidyllm.core import Step
from tidyllm.errors import AgentStopped, CommandRefused, ConfigError, ModelNotFound, WorkspaceError
from tidyllm.models import RequestLike, Response
from tidyllm.sandbox import CommandResult, Workspace, isolation

__all__ = ["Asked", "Written", "run"]

T = TypeVar("T")

_ROUNDS = 3
"""How often tests that fail go back to the model: what is not right by then is not understood."""
_PLAIN = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
_NONE_COLLECTED = 5
_TAIL = 6_000
_FAILED = "The tests fail. Repair what is wrong: the function, or a test that asks for the wrong thing."
_WRITER = """\
You write one Python function and tests for it. The function stands in a module of its own, with the imports and helpers
that it needs, type hints and a docstring; it uses the standard library alone. The tests are plain pytest functions in
another file, which imports the function from that module. They cover the usual case, the edges, and input that must be
refused. Nothing is printed, read or sent anywhere."""
_REVIEWER = """\
You review one Python function and its tests. Report what is wrong, or untested although it matters. A blocker or major
finding is one that gives a wrong result, fails on input that was asked for, or loses data; all else is minor or a note.
Report nothing that is a matter of taste. Without findings the list is empty."""


class Code(msgspec.Struct, frozen=True):
    """What the writer gives: the whole text of two files."""

    code: str
    tests: str


class Review(msgspec.Struct, frozen=True):
    """What the reviewer gives."""

    findings: list[Finding] = []


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """As it was typed."""

    task: str
    review: bool = False
    model: str | None = None
    out: str | None = None
    max_usd: str | None = None
    as_json: bool = False
    allow_unsandboxed: bool = False
    config: str | None = None
    env: str | None = None


class Written(msgspec.Struct, kw_only=True):
    """What came of it. `passed`: None when the tests could not run."""

    module: str
    code: str = ""
    tests: str = ""
    passed: bool | None = None
    output: str = ""
    rounds: int = 0
    findings: list[Finding] = []
    tokens: int = 0
    cost_usd: Decimal | None = Decimal(0)
    exit_code: Literal[0, 1, 3] = 3


def run(asked: Asked) -> int:
    """Generate, test, print; returns the exit status: 0 the tests pass, 1 they fail, 3 they could not run.

    :raises TidyllmError: the model gave no code, or something cannot be done.
    """
    if not asked.task.strip():
        raise ConfigError("say what the function shall do.", hint='tidyllm generate "slugify a title"')
    files = _places(asked.out)
    try:
        step = chosen_model(asked.model, asked.config, asked.env, command="generate")
    except ModelNotFound as error:
        raise ConfigError(error.message, where="--model", hint=error.hint) from None
    notes: list[str] = []
    usd, tokens = caps(asked.max_usd, None, step, notes)
    for note in notes:
        _note(note)
    written = _Work(asked, step, files[0].stem, usd, tokens).whole()
    written.exit_code = 3 if written.passed is None else 0 if written.passed else 1
    if asked.out is not None:
        _write(files[0], written.code)
        _write(files[1], written.tests)
    _tell(asked, files, written)
    return written.exit_code


def _places(out: str | None) -> tuple[Path, Path]:
    """Of the function and of its tests."""
    code = Path(out or "solution.py").expanduser()
    if code.suffix != ".py" or not code.stem.isidentifier() or code.stem.startswith("test_"):
        raise ConfigError(
            f"{code.name!r} cannot be imported as a module.",
            where="--out",
            hint="Name it as in text_tools.py.",
        )
    tests = code.with_name(f"test_{code.name}")
    for file in (code, tests) if out is not None else ():
        if file.exists():
            raise ConfigError(f"{file} is there already.", where="--out", hint="Name another file.")
        if not file.parent.is_dir():
            raise ConfigError(f"there is no folder {file.parent}.", where="--out")
    return code, tests


class _Work:
    def __init__(
        self,
        asked: Asked,
        step: Step[RequestLike, Response],
        module: str,
        usd: Decimal | None,
        tokens: int | None,
    ) -> None:
        self._asked, self._step, self._usd, self._tokens = asked, step, usd, tokens
        self._written = Written(module=module)

    def whole(self) -> Written:
        os.environ[_PLAIN] = "1"  # a function needs no plugins, and they cost seconds
        with tempfile.TemporaryDirectory(prefix="tidyllm-") as place:
            root = Path(place, "project")
            root.mkdir()
            with Workspace(
                root,
                state=Path(place, "state"),
                run="generate",
                unsandboxed=self._asked.allow_unsandboxed,
                pass_env=(_PLAIN,),
            ) as workspace:
                asyncio.run(self._work(workspace))
        return self._written

    async def _work(self, workspace: Workspace) -> None:
        await self._until_it_passes(workspace)
        if self._asked.review and self._written.passed:
            await self._reviewed(workspace)

    async def _until_it_passes(self, workspace: Workspace, more: str = "") -> None:
        written = self._written
        for number in range(1, _ROUNDS + 1):
            written.rounds += 1
            _note("writing" if not more else "writing again")
            code = await self._ask(
                Agent(self._step, (), _WRITER, output=Code, name="writer", limits=self._left()),
                self._task(more),
            )
            written.code, written.tests = _ended(code.code), _ended(code.tests)
            await self._test(workspace)
            if written.passed is not False or number == _ROUNDS:
                return
            more = f"{_FAILED}\n\n{written.output}"

    async def _reviewed(self, workspace: Workspace) -> None:
        """Findings that matter go back to the writer; what he makes of them counts if its tests pass."""
        written = self._written
        _note("reviewing")
        reviewer: Agent[Review] = Agent(
            self._step, (), _REVIEWER, output=Review, name="reviewer", limits=self._left()
        )
        review = await self._ask(reviewer, self._task("Review it."))
        written.findings = review.findings
        grave = [one for one in review.findings if one.severity in ("blocker", "major")]
        if not grave:
            return
        before = (written.code, written.tests, written.passed, written.output)
        said = "\n".join(f"- {one.place}: {one.what} {one.advice}".rstrip() for one in grave)
        await self._until_it_passes(workspace, f"A reviewer found:\n{said}\nRevise both files.")
        if not written.passed:
            _note("the revision fails its tests: what was there before is kept")
            written.code, written.tests, written.passed, written.output = before

    def _task(self, more: str) -> str:
        written = self._written
        parts = [f"The function: {self._asked.task}", f"The module is called {written.module}."]
        if written.code:
            parts += [f"{written.module}.py:\n{written.code}", f"test_{written.module}.py:\n{written.tests}"]
        return "\n\n".join([*parts, more] if more else parts)

    def _left(self) -> AgentLimits:
        spent = self._written.cost_usd or Decimal(0)
        return AgentLimits(
            turns=8,
            usd=None if not self._usd else max(self._usd - spent, Decimal(0)),
            tokens=None if self._tokens is None else max(self._tokens - self._written.tokens, 0),
            seconds=600,
        )

    async def _ask(self, agent: Agent[T], task: str) -> T:
        result: AgentResult[T] = await agent(task)
        written = self._written
        written.tokens += result.usage.tokens
        known = result.cost_usd is not None and written.cost_usd is not None
        written.cost_usd = (
            (written.cost_usd or Decimal(0)) + (result.cost_usd or Decimal(0)) if known else None
        )
        try:
            return result.require()
        except AgentStopped as stopped:
            raise AgentStopped(
                f"the {agent.name} gave no answer: {result.stop.value}. {result.detail}".rstrip(),
                stop=stopped.stop,
                partial=result,
                hint="Try another model.",
            ) from None

    async def _test(self, workspace: Workspace) -> None:
        written = self._written
        name = f"test_{written.module}.py"
        try:
            workspace.write(f"{written.module}.py", written.code)
            workspace.write(name, written.tests)
        except WorkspaceError as error:  # it does not parse
            written.passed, written.output = False, error.message
            _note(f"it cannot be tested: {error.message}")
            return
        if isolation() is None and not self._asked.allow_unsandboxed:
            written.output = (
                "There is no sandbox here, so nothing was run; --allow-unsandboxed runs it all the same."
            )
            _note(written.output)
            return
        try:
            ended = await workspace.run(["python", "-m", "pytest", "-q", name], timeout=60)
        except CommandRefused as error:
            written.output = error.message
            _note(f"the tests cannot run: {error.message}")
            return
        written.passed, written.output = _judged(ended)
        lines = written.output.strip().splitlines()
        _note(f"tests: {lines[-1] if lines else f'exit code {ended.exit_code}'}")


def _judged(ended: CommandResult) -> tuple[bool | None, str]:
    text = "\n".join(part for part in (ended.stdout.strip(), ended.stderr.strip()) if part)[-_TAIL:]
    if "No module named pytest" in text:
        return None, text
    if ended.timed_out:
        return False, f"{text}\nThe tests did not end within 60 s."
    if ended.exit_code == _NONE_COLLECTED:
        return False, f"{text}\nThere are no tests in the file."
    return ended.ok, text


def _ended(text: str) -> str:
    """A file, without the fence that some models put around it."""
    bare = text.strip("\n")
    lines = bare.split("\n")
    if len(lines) > 1 and lines[0].startswith("```") and lines[-1].strip() == "```":
        bare = "\n".join(lines[1:-1])
    return bare.rstrip() + "\n"


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}.", where="--out") from None


def _tell(asked: Asked, files: tuple[Path, Path], written: Written) -> None:
    if asked.as_json:
        say(msgspec.json.format(msgspec.json.encode(written), indent=2).decode() + "\n")
        return
    lines: list[str] = []
    if asked.out is None:
        lines = [f"# {files[0].name}", written.code, f"# {files[1].name}", written.tests]
    say("\n".join(lines) if not sys.stdout.isatty() else harmless("\n".join(lines)))
    if written.passed is False:
        _note(written.output)
    for one in written.findings:
        _note(f"found in review: {one.severity}: {one.place}: {one.what}")
    where = f" · {files[0]}, {files[1]}" if asked.out is not None else ""
    end = {True: "the tests pass", False: "the tests fail", None: "the tests could not run"}[written.passed]
    _note(
        f"{end} · {written.rounds} written · {written.tokens:,} tokens · {dollars(written.cost_usd)}{where}"
    )


def _note(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(harmless(text) + "\n")
    sys.stderr.flush()
