"""The tags of a request: what its caller says it is for (`x-tidyllm-tags: team=search,feature=chat`). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidyllm.core.tags import OURS
from tidyllm.errors import BadRequest

__all__ = ["HEADER", "missing_tag", "read_tags", "user_of"]

HEADER = "x-tidyllm-tags"
_MOST = 20
_LONGEST = 200
_EXPECTED = "Write name=value pairs with commas between them, such as team=search,feature=chat."


def read_tags(text: str | None) -> dict[str, str]:
    """Names and values. Names that begin with `tidyllm.` are the gateway's own: they say who calls.

    :raises BadRequest: it is no such list, or too long.
    """
    if not text:
        return {}
    found: dict[str, str] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name or len(name) > _LONGEST or not name.isprintable():
            raise _wrong(f"{part.strip()[:60]!r} is no pair of a name and a value")
        if name.startswith(OURS):
            raise _wrong(f"the name {name[:60]!r} is the gateway's own")
        if len(value) > _LONGEST or not value.isprintable():
            raise _wrong(f"the value of {name[:60]!r} is not printable text of at most {_LONGEST} characters")
        found[name] = value
    if len(found) > _MOST:
        raise _wrong(f"there are {len(found)} tags, more than {_MOST}")
    return found


def user_of(fields: Mapping[str, msgspec.Raw]) -> str:
    """For which user a request is, as OpenAI's `user` or Anthropic's `metadata.user_id` say; "" for none."""
    for name in ("user", "metadata", "safety_identifier"):
        raw = fields.get(name)
        if raw is None:
            continue
        try:
            value: object = msgspec.json.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            continue
        if name == "metadata" and isinstance(value, dict):
            value = value.get("user_id")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if isinstance(value, str) and value:
            return value[:_LONGEST]
    return ""


def missing_tag(required: Iterable[str], tags: Mapping[str, str]) -> BadRequest | None:
    """What to say when a tag that every request must have is not there."""
    for name in required:
        if not tags.get(name):
            return _wrong(f"the tag {name!r} is missing, and every request here must have it")
    return None


def _wrong(what: str) -> BadRequest:
    return BadRequest(f"{what}.", field=HEADER, hint=_EXPECTED)
