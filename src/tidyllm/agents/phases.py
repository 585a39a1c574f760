"""The phases of a project and their order. It knows names, not what is done in a phase."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["PHASE_ORDER", "Phase"]


class Phase(StrEnum):
    """What a team is busy with. There are no others."""

    planning = "planning"
    """The goal becomes tasks."""
    coding = "coding"
    """Tasks are done one after the other."""
    review = "review"
    """What was done is read by somebody else."""
    testing = "testing"
    """The check is run, by the coordinator itself."""
    debugging = "debugging"
    """The check failed: its cause is found and repaired."""
    documentation = "documentation"
    """What the program does now is described."""


PHASE_ORDER = tuple(Phase)
"""As the traditional mode goes through them; debugging only after a check that failed."""
