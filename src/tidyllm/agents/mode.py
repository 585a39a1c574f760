"""In which mode a team works: what the command line says over the environment over the file. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from tidyllm.errors import ConfigError

__all__ = ["VARIABLE", "Mode", "chosen_mode"]

Mode: TypeAlias = Literal["orchestrated", "traditional"]

VARIABLE = "USE_ORCHESTRATION"
_YES = ("1", "true", "yes", "on", "orchestrated")
_NO = ("0", "false", "no", "off", "traditional")


def chosen_mode(
    flag: bool | str | None = None,
    environ: Mapping[str, str] | None = None,
    file_value: bool | str | None = None,
) -> Mode:
    """`flag` (True or "orchestrated", False or "traditional") over `USE_ORCHESTRATION` in `environ` over
    `orchestration:` of the file; orchestrated where nobody says anything. An empty variable says nothing.

    :raises ConfigError: one of those that count, or one that is overruled, makes no sense.
    """
    said = (
        ("the flag", flag),
        (VARIABLE, (environ or {}).get(VARIABLE) or None),
        ("orchestration", file_value),
    )
    read: list[Mode] = [_read(where, value) for where, value in said if value is not None]
    return read[0] if read else "orchestrated"


def _read(where: str, value: object) -> Mode:
    word = (
        value.strip().lower()
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else None
    )
    if word in _YES:
        return "orchestrated"
    if word in _NO:
        return "traditional"
    raise ConfigError(
        f"{value!r} does not say whether to orchestrate.", where=where, hint="Say true or false."
    )
