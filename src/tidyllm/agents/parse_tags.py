"""Calls written with tags: `<function=name>…</function>` and `<invoke name="…">…</invoke>`. Pure.

Within a tag stands either one JSON object or parameters, each in a tag of its own. A parameter's text is taken byte for
byte where its schema says text, and is read as JSON where it says something else. Entities such as `&lt;` are left as
they are: models write code there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NoReturn, cast

import msgspec

from tidyllm.agents.parse_json import Unreadable, read_json
from tidyllm.agents.parse_shape import Ask
from tidyllm.agents.schema import takes_text

__all__ = ["TagReader"]

_OPENS = re.compile(
    r"<(?:(?P<ns>antml:)?invoke\s++name=[\"'](?P<invoke>[^\"'<>\n]{1,200})[\"']\s*+>|function=[\"']?(?P<function>[^\"'<>\s]{1,200})[\"']?\s*+>)"
)
_PARAMETER = re.compile(
    r"\s*+<(?:(?:antml:)?parameter\s++name=[\"'](?P<name>[^\"'<>\n]{1,200})[\"'][^<>\n]{0,200}>|parameter=[\"']?(?P<short>[^\"'<>\s]{1,200})[\"']?\s*+>)"
)
_PARAMETER_END = re.compile(r"</(?:antml:)?parameter>")
_END = re.compile(r"\s*+</(?:antml:)?(?:invoke|function)(?:=[^<>\s]{1,200})?>")
_OPEN_END = re.compile(r"\s*+(?:\Z|```|</|<(?=(?:antml:)?(?:invoke|function)))")


class TagReader:
    """Reads the call that begins at a tag. It remembers what is missing in the text, so as not to look for it again."""

    def __init__(self, text: str, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._text = text
        self._schemas = schemas
        self._unended = False

    def read(self, at: int) -> tuple[Ask, int, bool]:
        """The call, where it ends, and whether its end was missing.

        :raises Unreadable: it is none; `at` is where to go on. Right behind the start: it is no such tag at all.
        """
        opened = _OPENS.match(self._text, at)
        if opened is None:
            raise Unreadable("no tag", at)
        name = opened["invoke"] or opened["function"]
        inner = opened.end()
        while inner < len(self._text) and self._text[inner].isspace():
            inner += 1
        if self._text[inner : inner + 1] == "{":
            found = read_json(self._text, inner)
            end, closed = self._end(found.end)
            return Ask(name, cast("dict[str, Any]", found.value)), end, closed or found.closed
        arguments: dict[str, Any] = {}
        place = opened.end()
        while parameter := _PARAMETER.match(self._text, place):
            key = parameter["name"] or parameter["short"]
            if key in arguments:
                self._fail(f"{name[:100]} has the parameter {key[:100]!r} twice", parameter.end())
            ended = None if self._unended else _PARAMETER_END.search(self._text, parameter.end())
            if ended is None:
                self._unended = True
                self._fail(f"the parameter {key[:100]!r} of {name[:100]} does not end", parameter.end())
            written = self._text[parameter.end() : ended.start()]
            if parameter["short"] and written[:1] == "\n" == written[-1:] and len(written) > 1:
                written = written[1:-1]  # on lines of its own: that is how this way of writing puts it
            arguments[key] = self._value(name, key, written)
            place = ended.end()
        if not arguments and not _END.match(self._text, place):
            raise Unreadable("no tag", at)  # a mention of one
        end, closed = self._end(place)
        return Ask(name, arguments), end, closed

    def _end(self, place: int) -> tuple[int, bool]:
        if ended := _END.match(self._text, place):
            return ended.end(), False
        if _OPEN_END.match(self._text, place):
            return place, True
        return self._fail(
            f"a parameter or the end of the call was expected at {self._text[place : place + 30]!r}", place
        )

    def _value(self, name: str, key: str, written: str) -> Any:
        schema = self._schemas.get(name) or {}
        properties = cast("dict[str, Any]", schema.get("properties") or {})
        if key not in properties or takes_text(properties[key], schema):
            return written
        stripped = written.strip()
        try:
            return msgspec.json.decode(stripped)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            pass
        if stripped in ("True", "False", "None"):
            return {"True": True, "False": False, "None": None}[stripped]
        try:
            found = read_json(stripped) if stripped[:1] in ("{", "[") else None
        except Unreadable:
            found = None
        return written if found is None or stripped[found.end :].strip() else found.value

    @staticmethod
    def _fail(reason: str, at: int) -> NoReturn:
        raise Unreadable(reason, at)
