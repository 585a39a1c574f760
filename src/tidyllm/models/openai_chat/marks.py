"""What a part, message, tool or request remembers of how it was written, so that it can be written so again.

Whatever was read from this format may carry `extra["openai_chat"]`, the mark. Its keys are few and say only how, never
what: a name that was chosen among two (`max_tokens`), a null where nothing would do, a list around one text. Fields
that say something stand in `extra` themselves. Other formats leave marks out, as this one leaves out theirs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, cast

from tidyllm.models.checks import Misfit
from tidyllm.models.marks import MARKS

__all__ = ["FORMAT", "mark_of", "marked", "no_marks", "own_fields", "rest_of", "with_nulls"]

FORMAT = "openai_chat"

_NOTES = frozenset({"annotations", "citations", "logprobs", "phase", "status"})
"""What providers note on the parts of their answers; no request to this format has a place for it on a part."""


def marked(extra: dict[str, Any], **mark: Any) -> dict[str, Any]:
    """`extra` with the mark, whose empty entries are left out; no mark when nothing is left."""
    kept = {key: value for key, value in mark.items() if value not in (None, [], {})}
    return {**extra, FORMAT: kept} if kept else extra


def mark_of(extra: dict[str, Any]) -> dict[str, Any]:
    """The mark in `extra`; empty where there is none."""
    mark: object = extra.get(FORMAT) if extra else None
    return cast("dict[str, Any]", mark) if isinstance(mark, dict) else {}


def no_marks(data: dict[str, Any], at: str) -> None:
    """Refuse what would be taken for a mark: nobody but us writes one.

    :raises Misfit: `data` has a field named as a mark.
    """
    if not MARKS.isdisjoint(data):
        name = next(name for name in data if name in MARKS)
        raise Misfit(f"{at}.{name}" if at else name, "absent: the format has no such field", data[name])


def rest_of(data: dict[str, Any], at: str, known: Collection[str], **mark: Any) -> dict[str, Any]:
    """The fields besides the known ones as `extra`: those that say something, and a mark that names the nulls.

    :raises Misfit: a field is named as a mark.
    """
    no_marks(data, at)
    rest = {key: value for key, value in data.items() if key not in known}
    nulls = [key for key, value in rest.items() if value is None]
    if nulls:
        rest = {key: value for key, value in rest.items() if value is not None}
    return marked(rest, nulls=nulls, **mark)


def with_nulls(data: dict[str, Any], mark: dict[str, Any]) -> dict[str, Any]:
    """`data` with the nulls which the mark names."""
    nulls: list[str] = mark.get("nulls", [])
    return {**data, **dict.fromkeys(nulls)} if nulls else data


def own_fields(extra: dict[str, Any], *, part: bool = False) -> dict[str, Any]:
    """The fields of `extra` that go on the wire: no marks, and on a `part` no notes of a provider."""
    if not extra:
        return extra
    left_out = MARKS | _NOTES if part else MARKS
    return {key: value for key, value in extra.items() if key not in left_out}
