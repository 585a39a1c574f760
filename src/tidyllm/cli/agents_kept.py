"""What is remembered of each run of agents beside its records: project, goal, options. It runs and changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from tidyllm import clock
from tidyllm.errors import ConfigError, RunNotFound
from tidyllm.store.location import default_path

__all__ = ["Kept", "Options", "ids", "imported", "keep", "kept", "kept_run", "left_folder", "stem"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was told, as far as it decides what the run does. None: left out."""

    mode: str
    model: str | None = None
    check: tuple[str, ...] | None = None
    protect: tuple[str, ...] = ()
    allow_tests: bool = False
    ask: bool = False
    max_usd: str | None = None
    """Dollars, or `none`."""
    max_turns: int | None = None
    max_seconds: float | None = None
    max_tokens: int | None = None
    state: str = ""
    """Hash of the state that it begins with."""

    def differences(self, other: Options) -> list[str]:
        """The options that are not the same, as they are typed."""
        return [
            f"--{name.replace('_', '-')}"
            for name in self.__struct_fields__
            if getattr(self, name) != getattr(other, name)
        ]


class Kept(msgspec.Struct, frozen=True):
    """One run. `number` counts the runs of one goal in one project, from 1."""

    id: str
    project: str
    goal: str
    number: int
    created: float
    """Seconds since 1970."""
    options: Options
    undone: bool = False
    """Its changes were taken back, so nobody goes on with it."""
    told: bool = True
    """Its result was shown, and its tree put back if it failed: what is left to do when it is over."""


def stem(project: Path, goal: str) -> str:
    """What the ids of all runs of this goal in this project begin with."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", project.name).strip("-_")[:24] or "project"
    text = os.fsencode(project) + b"\0" + goal.encode("utf-8", "surrogatepass")
    return f"{name}-{blake2b(text, digest_size=5).hexdigest()}"


def ids(beginning: str) -> list[Kept]:
    """The runs whose ids are made of that stem, the latest last."""
    found = (one for one in kept() if re.fullmatch(rf"{re.escape(beginning)}(-[0-9]+)?", one.id))
    return sorted(found, key=lambda one: one.number)


def keep(run: Kept) -> None:
    """Write it down. Only its owner may read it: goals may say more than others should know.

    :raises ConfigError: it cannot be written.
    """
    place = _folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
        beside = place / f".{run.id}.{os.getpid()}.new"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.encode(run))
        beside.replace(place / f"{run.id}.json")
    except OSError as error:
        raise ConfigError(
            f"runs cannot be remembered in {place}: {error.strerror or error}.",
            hint="Set XDG_DATA_HOME to a folder that you may write.",
        ) from error


def kept() -> Iterator[Kept]:
    """All runs, in the order of their ids."""
    for path in sorted(_folder().glob("*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError):
            continue  # of another version, or half removed: it is only a memory


def kept_run(run: str) -> Kept:
    """:raises RunNotFound: there is no run of that id."""
    path = _folder() / f"{run}.json"
    if _ID.fullmatch(run) and path.exists():
        try:
            return msgspec.json.decode(path.read_bytes(), type=Kept)
        except (OSError, msgspec.MsgspecError) as error:
            raise RunNotFound(
                f"what is remembered of run {run!r} cannot be read: {error}.", run_id=run
            ) from None
    raise RunNotFound(
        f"there is no run {run[:100]!r} of agents.", run_id=run, hint="`tidyllm agents list` shows them all."
    )


def new(project: Path, goal: str, number: int, options: Options) -> Kept:
    """The run of that number."""
    first = stem(project, goal)
    return Kept(
        first if number == 1 else f"{first}-{number}",
        str(project),
        goal,
        number,
        clock.now(),
        options,
        told=False,
    )


def left_folder(run: str) -> Path:
    """Where files lie that a run had made, and that were taken out of the tree again."""
    return _folder() / f"{run}.left"


def imported(project: Path, goal: str) -> Path:
    """The file with the state that the next run of this goal begins with, if one was imported."""
    return _folder() / f"{stem(project, goal)}.imported"


def _folder() -> Path:
    return default_path().parent / "agents"
