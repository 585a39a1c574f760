"""`tidyllm check`: what is wrong in a configuration file, without a network and without the secrets it names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from tidyllm.cli.output import until_the_reader_leaves
from tidyllm.config import Settings, inspect
from tidyllm.errors import ConfigError

if TYPE_CHECKING:
    from tidyllm.routing import LearnedPolicy

__all__ = ["run"]


def run(file: str, env: str | None) -> None:
    """Print every problem, or what the file configures. Exit status 2 when there is a problem; warnings are none."""
    found = inspect(file, env=env)
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    if found.settings is None:
        sys.stderr.write(f"tidyllm: {_count(len(found.problems), 'problem')} in {file}\n")
        raise typer.Exit(2)
    warnings = [*map(str, found.warnings), *_load_policies(file, found.settings)]
    for warning in warnings:
        sys.stderr.write(f"{warning} (warning)\n")
    with until_the_reader_leaves():
        sys.stdout.write(_summary(file, found.settings))


def _load_policies(file: str, settings: Settings) -> list[str]:
    """What those that routes choose by would like, and may not. :raises ConfigError: one cannot be used."""
    warnings: list[str] = []
    for name, model in settings.models.items():
        if model.choose is not None and model.choose.policy is not None:
            from tidyllm.routing import LearnedPolicy

            where = f"{file}: models.{name}.choose.policy"
            try:
                policy = LearnedPolicy.load(model.choose.policy)
            except ConfigError as error:
                raise ConfigError(str(error), where=where) from error
            warnings += [f"{where}: {one}" for one in _outside(policy, model.choose.among)]
    return warnings


def _outside(policy: LearnedPolicy, among: tuple[str, ...]) -> Iterator[str]:
    """What the policy prefers where it is free to choose, and is not among what may be chosen."""
    told = f"which is not among {', '.join(among)}."
    shares = policy.point.shares
    for at, route in enumerate(policy.routes):
        if route in among:
            continue
        if route == policy.safe:
            yield f"for prompts unlike those it learned from it prefers {route!r}, {told}"
        elif shares[at] > 0:
            yield f"it prefers {route!r} for {shares[at]:.0%} of prompts, {told}"


def _summary(file: str, settings: Settings) -> str:
    providers, models = _count(len(settings.providers), "provider"), _count(len(settings.models), "model")
    lines = [f"{file} is fine: {providers}, {models}."]
    for name, model in settings.models.items():
        if model.choose is not None:
            lines.append(f"  {name}: chooses among {', '.join(model.choose.among)} by {model.choose.by}")
            continue
        attempts = _count(model.retry.attempts, "attempt")
        deadline = "no deadline" if model.deadline is None else f"{model.deadline:g} s in all"
        lines.append(f"  {name}: {' → '.join(model.route)}; {attempts} each, {deadline}")
    return "\n".join(lines) + "\n"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
