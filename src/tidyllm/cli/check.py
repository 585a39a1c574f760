"""`tidyllm check`: what is wrong in a configuration file, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from tidyllm.config import problems, read

__all__ = ["run"]


def run(file: str, env: str | None) -> None:
    """Print every problem, or what the file configures. Exit status 2 when there is a problem."""
    path = Path(file)
    found = problems(path, env=env)
    if found:
        for one in found:
            sys.stderr.write(f"{one}\n")
        sys.stderr.write(f"tidyllm: {len(found)} problem{'s' if len(found) > 1 else ''} in {file}\n")
        raise typer.Exit(2)
    settings = read(path, env=env)
    typer.echo(f"{file} is fine: {len(settings.providers)} providers, {len(settings.models)} models.")
    for name, model in settings.models.items():
        typer.echo(f"  {name}: {' → '.join(model.route)}, {model.retry.attempts} attempts each")
