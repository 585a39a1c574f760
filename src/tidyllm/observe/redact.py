"""Takes everything that looks like a key out of text that is to be written down. It knows no provider and no log.

It errs on the side of taking too much: a log with a hole can be read, a key in a log must be revoked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

__all__ = ["HIDDEN", "redact", "redact_value", "short"]

HIDDEN = "***"

_SECRET_FIELDS = frozenset(
    {
        "access-token", "api-key", "apikey", "auth", "authorization", "client-secret", "cookie", "master-key",
        "passwd", "password", "private-key", "proxy-authorization", "secret", "set-cookie", "token", "x-api-key",
    }
)  # fmt: skip

# Names of services' keys begin with these; the longer the rest must be, the more often the beginning is a plain word.
_LONG = "csk|fw|gh[opsu]|github_pat|glpat|gsk|hf|lsv2|nvapi|pplx|tidy|xai"

# In this order: what a header's name and scheme give away first, then what looks like a key wherever it stands. Most
# text has none of a rule's needles (in lower case), and looking for those costs a tenth of looking for the pattern.
_RULES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (("cookie",), re.compile(r"\b((?:set-)?cookie[\"']?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    # Bearer abc, Basic abc: the scheme stays, for it says what kind of key was there
    (
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)(\s+|%20)[^\s\"',;)}\]]+", re.IGNORECASE),
        rf"\1\2{HIDDEN}",
    ),
    # x-api-key: abc   api_key=abc   "apiKey": "abc"   ?key=abc
    (
        (":", "="),
        re.compile(
            r"(\b(?:[\w-]*api[-_]?key|authorization|[\w-]*(?:password|passwd|secret)|(?:\w+[-_])?token)"
            r"[\"']?\s*[:=]\s*[\"']?|[?&](?:key|sig|signature)=)"
            r"(?!(?:bearer|basic)\b)[^\s\"',;&)}\]]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
    # https://user:password@host
    (("://",), re.compile(r"(://)[^\s/@:]*:[^\s/@]+@"), rf"\1{HIDDEN}@"),
    # sk-ant-api03-…, a provider's own shortened sk-ab***yz, and what other services use
    (
        ("-", "_"),
        re.compile(rf"\b(?:[rsp]k[-_][\w*.…-]{{4,}}|(?:{_LONG})[-_][\w*.…-]{{12,}})"),
        HIDDEN,
    ),
    (("akia", "asia", "aiza", "ya29."), re.compile(r"\b(?:AKIA|ASIA|AIza|ya29\.)[\w-]{12,}"), HIDDEN),
    # JSON web tokens
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), HIDDEN),
)


def redact(text: str) -> str:
    """`text` with every key replaced by `***`. Doing it twice changes nothing more."""
    low = text.lower()
    for needles, pattern, instead in _RULES:
        for needle in needles:
            if needle in low:
                text = pattern.sub(instead, text)
                break
    return text


def redact_value(name: str, value: object) -> object:
    """The value of a field, clean: hidden when the field's name says that it is a secret, nested ones too."""
    if name.lower().replace("_", "-") in _SECRET_FIELDS:
        return HIDDEN
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {str(key): redact_value(str(key), inner) for key, inner in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_value("", inner) for inner in cast("list[object]", value)]
    return redact(str(value))


def short(error: BaseException, *, most: int = 500) -> str:
    """What an error says, clean, and of at most `most` characters.

    A provider's complaint can quote a whole request; what is needed stands at its beginning.
    """
    # Cut before looking for keys, so that a page costs no more than a line; far enough that no half of a key is left.
    text = redact(str(error)[: 8 * most])
    return text if len(text) <= most else text[:most] + "…"
