"""Durable runs: what became of one, or why it may not go on."""

from __future__ import annotations

from tidyllm.errors.base import TidyllmError

__all__ = [
    "AnotherRuntime",
    "LeaseLost",
    "RunCancelled",
    "RunDiverged",
    "RunError",
    "RunFailed",
    "RunInDoubt",
    "RunNotFound",
    "StepFailed",
    "UnregisteredType",
]


class RunError(TidyllmError):
    """A durable run cannot go on, or cannot be made. `run_id` names it, where there is one."""

    def __init__(self, message: str, *, run_id: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.run_id = run_id


class RunNotFound(RunError):
    """No run of that id is in this database."""

    default_hint = "`tidyllm runs list` shows those that are."


class RunDiverged(RunError):
    """A replay asks for another step than the one that was recorded: the program has changed since."""

    def __init__(
        self,
        message: str,
        *,
        step: str,
        recorded_version: str,
        version: str,
        run_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, run_id=run_id, hint=hint)
        self.step = step
        self.recorded_version = recorded_version
        self.version = version


class RunInDoubt(RunError):
    """A call was in flight when its process died, and its policy is not to make it again. `step` is its path."""

    def __init__(
        self, message: str, *, step: str, run_id: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, run_id=run_id, hint=hint)
        self.step = step


class RunCancelled(RunError):
    """The run was cancelled."""


class RunFailed(RunError):
    """The run ended with an error that is not one of ours; its class and words are in the message."""


class StepFailed(RunError):
    """A step failed with an error that is not ours. `step` is its path, `kind` the error's class by name."""

    def __init__(
        self, message: str, *, step: str, kind: str, run_id: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, run_id=run_id, hint=hint)
        self.step = step
        self.kind = kind


class LeaseLost(RunError):
    """Another worker has taken over the run; this one has stopped before its next recorded step."""


class UnregisteredType(RunError):
    """A value of this type cannot be saved and read back as it was."""


class AnotherRuntime(RunError):
    """This process has a runtime on another database already."""
