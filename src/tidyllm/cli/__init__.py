"""The command line."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The `tidyllm` command."""
    from tidyllm.cli.app import main as run

    run()
