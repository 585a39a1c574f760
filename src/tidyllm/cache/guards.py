"""Whether two questions that look alike may have one answer. Pure functions on text; they know nothing of vectors.

Vectors of "5 mg" and "50 mg", of "to Rome" and "to Oslo", of "is safe" and "is not safe" lie close together. So the
numbers, the names and the words that turn a sentence around must be the same, in the same order. This refuses some
questions that do mean the same: that costs one call, while a wrong answer costs trust.

Names are found by their capital letters, digits and signs; a name in small letters is seen only where the other text
writes it large. Scripts without capitals (Chinese, Japanese, Arabic, Hebrew, Thai, …) count as names altogether.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from tidyllm.cache.words import NUMBERS, OPENERS, TURNS

__all__ = ["Signature", "difference"]

_NUMBER = re.compile(
    r"(?<![\w.,])[-+]?\d[\d,.\u00a0']*(?:/\d+)?(?:\s?[^\W\d_]{1,3}(?![\w])|\s?[%°€$£¥])?|\d+(?:[.,:/-]\d+)*"
)
_WORD = re.compile(r"[^\W_](?:[\w@./:+#&-]*\w)?(?:'[^\W\d_]+)?|[_@#]\w+")
_SENTENCE_END = re.compile(r"[.!?:;\n\"“”(\[]\s*$")
_GROUPS = re.compile(r"(?<=\d)[,\u00a0'](?=\d{3}(?!\d))")


class Signature(msgspec.Struct, frozen=True, gc=False):
    """What of a text must not differ."""

    numbers: tuple[str, ...]
    """With sign and unit, in order."""
    names: frozenset[str]
    words: tuple[str, ...]
    """All words in order, in small letters."""
    turns: tuple[str, ...]
    """Negations and words of direction and degree, in order."""

    @classmethod
    def of(cls, text: str) -> Signature:
        """The signature of a text."""
        plain = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2212", "-")
        words: list[str] = []
        names: set[str] = set()
        turns: list[str] = []
        spelled: list[str] = []
        for match in _WORD.finditer(plain):
            word, before = match[0], plain[: match.start()]
            low = word.casefold()
            if low.endswith("n't") or low == "cannot":
                turns.append("not")
            stem = low.removesuffix("'s")
            words.append(stem)
            if stem in TURNS:
                turns.append(stem)
            if stem in NUMBERS:
                spelled.append(stem)
            elif _is_name(word, stem, before):
                names.add(stem)
        numbers = [_GROUPS.sub("", one[0]).casefold() for one in _NUMBER.finditer(plain)]
        tidy = ["".join(one.split()).rstrip(".,'") for one in numbers]
        return cls((*tidy, *spelled), frozenset(names), tuple(words), tuple(turns))


def difference(one: Signature, other: Signature) -> str | None:
    """Why the two may not have one answer: `numbers`, `names` or `negation`; None when nothing was found."""
    if one.numbers != other.numbers:
        return "numbers"
    names = one.names | other.names
    if [word for word in one.words if word in names] != [word for word in other.words if word in names]:
        return "names"
    if one.turns != other.turns or _reversed(one.words, other.words):
        return "negation"
    return None


def _is_name(word: str, stem: str, before: str) -> bool:
    if any(unicodedata.category(letter) == "Lo" for letter in word):
        return True
    if not any(map(str.isalpha, word)):
        return False  # numbers are looked at for themselves
    if any(letter.isdigit() or letter in "_@/#" for letter in word) or "." in word:
        return True
    if not any(letter.isupper() for letter in word):
        return False
    if any(letter.isupper() for letter in word[1:]):
        return True  # NASA, iPhone, McCarthy
    starts = not before.strip() or _SENTENCE_END.search(before) is not None
    return not (stem in OPENERS and (starts or stem == "i"))


def _reversed(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a word of one stands in the other with a prefix that turns it around."""
    mine, theirs = set(one) - set(other), set(other) - set(one)
    return any(
        long in (prefix + short, f"{prefix}-{short}")
        for short, long in [*((a, b) for a in mine for b in theirs), *((b, a) for a in mine for b in theirs)]
        for prefix in _PREFIXES
        if len(long) > len(short) > 2
    )


_PREFIXES = ("un", "in", "im", "ir", "il", "dis", "non", "anti", "de", "mis", "a", "counter")
