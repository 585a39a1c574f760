"""`tidyllm agents import`: a state that the next run of a goal begins with. It starts nothing."""

from __future__ import annotations

import shlex
import sys

from tidyllm.cli.agents_kept import imported
from tidyllm.cli.agents_order import folder_of, read_state
from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.errors import ConfigError

__all__ = ["run"]


def run(file: str, project: str, goal: str | None) -> None:
    """Keep the state in `file` for the next run of `goal` in `project`.

    :raises ConfigError: it is no state, or cannot be kept.
    """
    root = folder_of(project)
    state = read_state(file)
    assert state is not None
    text = (goal if goal is not None else state.goal).strip()
    if not text:
        raise ConfigError("the state names no goal.", where="--goal", hint="Say it with --goal TEXT.")
    state.goal = text
    place = imported(root, text)
    try:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        place.touch(mode=0o600)
        place.write_bytes(state.to_json())
    except OSError as error:
        raise ConfigError(f"{place} cannot be written: {error.strerror or error}.") from error
    line = f"tidyllm agents run --project {shlex.quote(str(root))} --goal {shlex.quote(text)}"
    tasks, decisions = len(state.tasks), len(state.decisions)
    with until_the_reader_leaves():
        sys.stdout.write(
            harmless(
                f"Imported: tasks {tasks}, decisions {decisions}, phase {state.phase}. It begins with:\n  {line}\n"
            )
        )
