"""Takes the secrets of one provider out of its errors: services quote keys and headers back. It knows no patterns.

What looks like a key, whoever it belongs to, is `observe.redact`'s business; here the exact values are known.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

if TYPE_CHECKING:
    from tidyllm.models.provider import Provider

__all__ = ["Secrets"]

_HIDDEN = "***"
_SHORTEST = 4
"""Characters of a secret: shorter ones would blot out words, and protect nobody."""
_BEGINNING = 12
"""Characters from which the beginning of a longer secret is hidden, too: quotes are cut anywhere."""
_OPEN = frozenset(
    {
        "accept", "anthropic-beta", "anthropic-version", "content-type", "http-referer", "openai-beta",
        "openai-organization", "openai-project", "user-agent", "x-title",
    }
)  # fmt: skip
"""Headers that services have no secrets in. Under any other name people may have put one."""


class Secrets:
    """The key of a provider, the values of its headers and of the query in its address, as they may be quoted."""

    def __init__(self, provider: Provider, more: Iterable[str] = ()) -> None:
        """`more`: other secrets that may be quoted, such as a signature."""
        values = {provider.api_key or "", *more}
        for name, value in provider.headers.items():
            if name.lower() not in _OPEN:
                values.add(value.strip())
                values.add(value.strip().rpartition(" ")[2])  # Bearer abc
        query = urlsplit(provider.base_url).query
        values.update(value for name, value in parse_qsl(query) if name != "api-version")
        forms = {form for value in values for form in _forms(value)}
        self._forms = tuple(sorted(forms, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """`text` with `***` in the place of every secret."""
        for form in self._forms:
            text = _without(text, form)
        return text

    def clean(self, error: BaseException) -> None:
        """Hide the secrets in all that `error` says and in what it came from, in place."""
        seen: set[int] = set()
        open_ones: list[BaseException | None] = [error]
        while open_ones:
            one = open_ones.pop()
            if one is None or id(one) in seen or not self._forms:
                continue
            seen.add(id(one))
            one.args = tuple(self._hidden(one.args))
            for name, value in list(vars(one).items()):
                if isinstance(value, str):
                    setattr(one, name, self.hide(value))
            notes: object = getattr(one, "__notes__", None)
            if isinstance(notes, list):
                cast("list[object]", notes)[:] = self._hidden(cast("list[object]", notes))
            open_ones += (one.__cause__, one.__context__)

    def _hidden(self, values: Iterable[object]) -> list[object]:
        return [self.hide(value) if isinstance(value, str) else value for value in values]


def _forms(secret: str) -> set[str]:
    if len(secret) < _SHORTEST:
        return set()
    raw = secret.encode(errors="surrogateescape")
    coded = {quote(raw, safe=""), quote_plus(raw)}
    packed = {encode(raw).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode)}
    return {secret, *coded, *packed}


def _without(text: str, form: str) -> str:
    if len(form) < _BEGINNING:  # as a word of its own: a key named `test` must not make a riddle of `latest`
        return re.sub(
            rf"(?<![A-Za-z0-9]){re.escape(form)}(?![A-Za-z0-9])", _HIDDEN, text, flags=re.IGNORECASE
        )
    low, known = text.lower(), form.lower()
    if len(low) != len(text) or len(known) != len(form):  # letters that grow: then only as they are
        return text.replace(form, _HIDDEN)
    kept: list[str] = []
    done = 0
    while (start := low.find(known[:_BEGINNING], done)) >= 0:
        end = start + _BEGINNING
        while end < len(low) and end - start < len(known) and low[end] == known[end - start]:
            end += 1
        kept += (text[done:start], _HIDDEN)
        done = end
    return "".join((*kept, text[done:])) if kept else text
