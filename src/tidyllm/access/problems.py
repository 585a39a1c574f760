"""What can be wrong with an administrative act, or with a call under a key. It knows no HTTP."""

from __future__ import annotations

from tidyllm.errors import AuthError, ConfigError

__all__ = ["Conflict", "Forbidden", "Missing"]


class Missing(ConfigError):
    """What an act names is not there: a key, a team, an organisation."""


class Conflict(ConfigError):
    """The act does not fit what is there, or its values do not fit together. Nothing was changed."""


class Forbidden(AuthError):
    """The caller is known, but may not do this. `what` names the rule: `model`, `endpoint`, `ip`, `tags`, `role`."""

    default_hint = "Ask whoever gave out the key for one that may."

    def __init__(self, message: str, *, what: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.what = what
