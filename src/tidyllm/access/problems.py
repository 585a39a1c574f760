"""What can be wrong with an administrative act, or with a call under a key. It knows no HTTP."""

from __future__ import annotations

from tidyllm.errors import AuthError, ConfigError, Refused

__all__ = ["Conflict", "Forbidden", "Missing", "SignOnDown"]


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


class SignOnDown(Refused):
    """The identity provider cannot be reached, or does not answer as OpenID Connect has it."""

    default_hint = "Try again later, or use an admin key."
