"""What one caller wants of the cache: the directives of an HTTP `cache-control` header. It knows words, not stores."""

from __future__ import annotations

import re

import msgspec

from tidyllm.errors import BadRequest

__all__ = ["CacheControl"]

_WORD = re.compile(r'\s*([A-Za-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,"]+)))?\s*')
_LONGEST = 1_000


class CacheControl(msgspec.Struct, frozen=True):
    """`no-store`: neither looked up nor kept. `no-cache`: the model is asked, and its answer kept. `max-age=60`: a kept
    answer of at most so many seconds. `only-if-cached`: a kept answer or none (`NotCached`).
    """

    no_store: bool = False
    no_cache: bool = False
    max_age: float | None = None
    only_if_cached: bool = False

    @classmethod
    def parse(cls, text: str) -> CacheControl:
        """From a header's value. Unknown directives are ignored, as HTTP asks.

        :raises BadRequest: it is malformed, or `max-age` is no whole number of seconds.
        """
        found: dict[str, str | None] = {}
        if len(text) > _LONGEST:
            raise _wrong(f"has {len(text):,} characters, more than {_LONGEST:,}")
        for part in text.split(","):
            if not part.strip():
                continue
            match = _WORD.fullmatch(part)
            if match is None:
                raise _wrong(f"holds {part.strip()[:60]!r}, which is no directive")
            found[match[1].lower()] = match[2] if match[2] is not None else match[3]
        age = found.get("max-age")
        if "max-age" in found and (age is None or not (age.isascii() and age.isdigit() and len(age) <= 18)):
            raise _wrong(f"says max-age={age!r}, expected whole seconds from 0 on")
        return cls(
            "no-store" in found,
            "no-cache" in found,
            None if age is None else float(age),
            "only-if-cached" in found,
        )


def _wrong(what: str) -> BadRequest:
    return BadRequest(
        f"cache-control {what}.",
        field="cache-control",
        hint="Known are no-store, no-cache, max-age=SECONDS and only-if-cached, with commas between them.",
    )
