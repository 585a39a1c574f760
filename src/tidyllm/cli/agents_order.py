"""What `tidyllm agents run` was told, checked: folder, model, mode, check, caps. It starts nothing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.agents.coordinator import DEFAULT_LIMITS
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.mode import Mode, chosen_mode
from tidyllm.agents.project import Goal
from tidyllm.agents.state import ProjectState
from tidyllm.cli.agents_kept import Options, imported
from tidyllm.cli.chosen_model import chosen_model
from tidyllm.cli.settings import chosen_file
from tidyllm.config import read
from tidyllm.core import Step
from tidyllm.core.within import steps_within
from tidyllm.errors import CommandRefused, ConfigError, ModelNotFound
from tidyllm.models import RequestLike, Response
from tidyllm.models.model import Model
from tidyllm.sandbox import DEFAULT_COMMANDS, guarantees, isolation

__all__ = ["Order", "Plan", "caps", "folder_of", "plan", "read_state"]

_USD = Decimal(2)
_TOKENS_UNPRICED = 2_000_000
"""Where a price is unknown and nobody spoke of dollars: about what two dollars buy of a small model."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """As it was typed."""

    project: str
    goal: str
    orchestrated: bool | None = None
    model: str | None = None
    max_usd: str | None = None
    max_turns: int | None = None
    max_seconds: float | None = None
    max_tokens: int | None = None
    check: str | None = None
    protect: tuple[str, ...] = ()
    allow_tests: bool = False
    allow_unsandboxed: bool = False
    ask: bool = False
    state: str | None = None
    config: str | None = None
    env: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is going to run. `notes`: what whoever watches should know beforehand."""

    project: Path
    goal: Goal
    mode: Mode
    model: Step[RequestLike, Response]
    check: tuple[str, ...] | None
    commands: tuple[str, ...]
    """Names of programs that agents may run."""
    max_usd: Decimal | None
    limits: AgentLimits
    options: Options
    notes: tuple[str, ...] = ()


def plan(order: Order) -> Plan:
    """:raises ConfigError: something of it cannot be done; the message says what to type instead."""
    project = folder_of(order.project)
    if not order.goal.strip():
        raise ConfigError("the goal is empty.", where="--goal", hint="Say what shall be true at the end.")
    file = chosen_file(order.config, order.env)
    said = None if file is None else read(file, env=order.env).orchestration
    mode = chosen_mode(order.orchestrated, os.environ, said)
    check = _words(order.check)
    commands = DEFAULT_COMMANDS if check is None else (*DEFAULT_COMMANDS, check[0])
    if check is not None:
        _may_run(check, commands, project)
    if isolation() is None and not order.allow_unsandboxed:
        raise ConfigError(
            f"agents would run commands without a sandbox. {guarantees()}",
            hint="Install bubblewrap, or accept that with --allow-unsandboxed.",
        )
    notes: list[str] = []
    if isolation() is None:
        notes.append(f"No sandbox: {guarantees()}")
    step = _model(order)
    if any(one.provider.kind.name == "offline" for one in _models(step)):
        notes.append(f"{step.name} only plays a model: name a real one with --model, or in tidyllm.yaml.")
    usd, tokens = caps(order.max_usd, order.max_tokens, step, notes)
    waiting = imported(project, order.goal.strip())
    state = read_state(order.state or (str(waiting) if waiting.exists() else None))
    return Plan(
        project=project,
        goal=Goal(text=order.goal.strip(), state=state),
        mode=mode,
        model=step,
        check=check,
        commands=commands,
        max_usd=usd,
        limits=msgspec.structs.replace(
            DEFAULT_LIMITS,
            turns=order.max_turns or DEFAULT_LIMITS.turns,
            tokens=tokens,
            usd=usd or None,  # with 0, models that cost nothing may work: the budget sees to it
            seconds=order.max_seconds or DEFAULT_LIMITS.seconds,
        ),
        options=Options(
            mode=mode,
            model=order.model,
            check=check,
            protect=order.protect,
            allow_tests=order.allow_tests,
            ask=order.ask,
            max_usd=order.max_usd,
            max_turns=order.max_turns,
            max_seconds=order.max_seconds,
            max_tokens=order.max_tokens,
            state="" if state is None else blake2b(state.to_json(), digest_size=8).hexdigest(),
        ),
        notes=tuple(notes),
    )


def folder_of(given: str) -> Path:
    """The folder, resolved.

    :raises ConfigError: there is none, or it may not be read and written.
    """
    place = Path(given).expanduser()
    try:
        if not place.exists():
            raise ConfigError(f"there is no folder {given!r}.", where="--project")
        if not place.is_dir():
            raise ConfigError(f"{given!r} is a file; expected the folder of a project.", where="--project")
        found = place.resolve()
    except OSError as error:
        raise ConfigError(
            f"{given!r} cannot be opened: {error.strerror or error}.", where="--project"
        ) from None
    if not os.access(found, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(f"{given!r} may not be read and written by you.", where="--project")
    if found in {Path("/"), Path.home().resolve()}:
        raise ConfigError(
            f"{found} is not the folder of a project: agents would work in all that is below it.",
            where="--project",
        )
    return found


def _words(check: str | None) -> tuple[str, ...] | None:
    if check is None:
        return None
    try:
        words = tuple(shlex.split(check))
    except ValueError as error:
        raise ConfigError(f"{check!r} cannot be taken apart: {error}.", where="--check") from None
    if not words:
        raise ConfigError(
            "the check is empty.", where="--check", hint="""Write it as a command: "pytest -q"."""
        )
    return words


def _may_run(check: tuple[str, ...], commands: tuple[str, ...], project: Path) -> None:
    from tidyllm.sandbox.commands import Commands
    from tidyllm.sandbox.paths import Tree

    tree = Tree(project)
    try:
        Commands(tree, commands).check(check)
    except CommandRefused as error:
        raise ConfigError(
            f"{shlex.join(check)!r} cannot be the check: {error.message}.",
            where="--check",
            hint="""It is run without a shell: name a program and its arguments, such as "pytest -q".""",
        ) from None
    finally:
        tree.close()


def _model(order: Order) -> Step[RequestLike, Response]:
    try:
        return chosen_model(order.model, order.config, order.env, command="agents run")
    except ModelNotFound as error:
        raise ConfigError(error.message, where="--model", hint=error.hint) from None


def caps(
    said: str | None, max_tokens: int | None, step: Step[RequestLike, Response], notes: list[str]
) -> tuple[Decimal | None, int | None]:
    """The caps on dollars and tokens: as `said`, or $2 where all prices are known, or tokens where one is not.

    :raises ConfigError: `said` is no amount, or cannot be kept to.
    """
    unpriced = [one.name for one in _models(step) if not _is_priced(one)]
    if said is not None and said.lower() == "none":
        return None, max_tokens
    if said is not None:
        usd = _dollars(said)
        if unpriced:
            raise ConfigError(
                f"nobody knows what {unpriced[0]} costs, so --max-usd {said} cannot be kept to.",
                where="--max-usd",
                hint=f"Write `catalog: {{{unpriced[0]}: {{local: true}}}}` (or `prices: {{input: 1, output: 4}}`) "
                "in tidyllm.yaml, or say --max-usd none, with --max-tokens if you like.",
            )
        return usd, max_tokens
    if not unpriced:
        return _USD, max_tokens
    tokens = max_tokens or _TOKENS_UNPRICED
    notes.append(f"Nobody knows what {unpriced[0]} costs: the cap is {tokens:,} tokens, not dollars.")
    return None, tokens


def _dollars(text: str) -> Decimal:
    try:
        usd = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0:
        raise ConfigError(f"{text[:40]!r} is no amount of dollars; write 2, 0.50 or none.", where="--max-usd")
    return usd


def _models(step: Step[Any, Any]) -> Iterator[Model]:
    """The models behind wrappers and fallbacks."""
    return (one for one in steps_within(step) if isinstance(one, Model))


def _is_priced(model: Model) -> bool:
    info = model.info
    return info is not None and (info.local or info.prices is not None)


def read_state(given: str | None) -> ProjectState | None:
    """The state in a file; None without one.

    :raises ConfigError: it cannot be read, or is none.
    """
    if given is None:
        return None
    try:
        return ProjectState.from_json(Path(given).expanduser().read_bytes())
    except OSError as error:
        raise ConfigError(f"{given} cannot be read: {error.strerror or error}.", where="--state") from None
