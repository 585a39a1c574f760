"""The errors of codemods. They know nothing of the rest of the package: codemods run where it is absent."""

from __future__ import annotations

__all__ = ["CannotConvert", "MigrateError", "RulesError"]


class MigrateError(Exception):
    """The command cannot go on. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message} {hint}".strip())

    def __reduce__(self) -> tuple[type[MigrateError], tuple[str, str]]:
        return type(self), (self.message, self.hint)


class RulesError(MigrateError):
    """A file of rules cannot be used: it names what there is not, or is no TOML."""


class CannotConvert(Exception):
    """One use of a legacy name stays as it is: `reason` says why, `by_hand` what to do."""

    def __init__(self, reason: str, by_hand: str = "") -> None:
        self.reason = reason
        self.by_hand = by_hand
        super().__init__(reason)
