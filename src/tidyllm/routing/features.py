"""Numbers that describe a prompt: hashed words and letters, and its shape. It knows no model and learns nothing.

CRC-32 is linear: the checksum of a short run of letters is the exclusive or of one table entry for each place. All runs
of a prompt are therefore hashed at once by a few look-ups, and runs of three letters hardly ever collide.
"""

from __future__ import annotations

import re
import zlib
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints: TypeAlias = NDArray[Any]
    Floats: TypeAlias = NDArray[Any]

__all__ = ["BITS", "FAMILIES", "MAX_CHARACTERS", "SHAPES", "Hashed", "hashed", "shape", "words_of"]

BITS = 14
"""Each family has 16,384 places. Four times as many chose no better."""
FAMILIES = 2
"""Words with their neighbours; words with runs of three to five letters."""
MAX_CHARACTERS = 6_000
"""Of longer prompts the first and the last half of this is read: instructions stand at either end."""
_RUNS = (3, 4, 5)

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\w\s]|_")


class Hashed:
    """One prompt as places with weights, per family, each family of length one once it is weighed by rarity."""

    __slots__ = ("counts", "places")

    def __init__(self, places: tuple[Ints, ...], counts: tuple[Floats, ...]) -> None:
        self.places = places
        self.counts = counts


def cut(text: str) -> str:
    """What of a prompt is read."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[:half]} {text[-half:]}"


def words_of(text: str) -> list[str]:
    """The words and signs of a prompt in lower case; of a number only how long it is, up to four digits."""
    found: list[str] = _WORD.findall(cut(text).lower())
    return ["0" * min(len(word), 4) if word[0].isdigit() else word for word in found]


@lru_cache(65_536)
def _word(word: str) -> int:
    return zlib.crc32(b"w" + word.encode(errors="replace"))


@lru_cache(65_536)
def _pair(first: str, second: str) -> int:
    return zlib.crc32(b"b" + f"{first} {second}".encode(errors="replace"))


@cache
def _tables() -> dict[int, tuple[int, list[NDArray[np.uint32]]]]:
    """For each length of a run: its checksum when all letters are zero, and what each letter at each place changes."""
    import numpy as np

    found: dict[int, tuple[int, list[NDArray[np.uint32]]]] = {}
    for length in _RUNS:
        zeros = b"c" + bytes(length)
        base = zlib.crc32(zeros)
        tables = [
            np.array(
                [zlib.crc32(zeros[: 1 + at] + bytes([byte]) + zeros[2 + at :]) ^ base for byte in range(256)],
                np.uint32,
            )
            for at in range(length)
        ]
        found[length] = base, tables
    return found


def _runs(text: str) -> list[NDArray[np.uint32]]:
    import numpy as np

    letters = np.frombuffer(text.encode(errors="replace"), np.uint8)
    found: list[NDArray[np.uint32]] = []
    for length, (base, tables) in _tables().items():
        count = len(letters) - length + 1
        if count > 0:
            sums = np.full(count, base, np.uint32)
            for at, table in enumerate(tables):
                sums ^= table[letters[at : at + count]]
            found.append(sums)
    return found


def hashed(words: list[str], bits: int = BITS) -> Hashed:
    """The words of a prompt as places below `2**bits` in each family, with `1 + log(count)` as weight."""
    import numpy as np

    mask = (1 << bits) - 1
    single = np.fromiter(map(_word, words), np.uint32, len(words))
    pairs = np.fromiter(map(_pair, words, words[1:]), np.uint32, max(len(words) - 1, 0))
    families = ((single, pairs), (single, *_runs(" ".join(words))))
    places: list[Ints] = []
    counts: list[Floats] = []
    for parts in families:
        found, times = np.unique(np.concatenate(parts) & np.uint32(mask), return_counts=True)
        places.append(found.astype(np.int64))
        counts.append((1 + np.log(times)).astype(np.float32))
    return Hashed(tuple(places), tuple(counts))


SHAPES = (
    "characters",
    "lines",
    "longest_line",
    "digits",
    "digit_share",
    "sign_share",
    "capital_share",
    "word_length",
    "distinct_words",
    "questions",
    "commas",
    "sentences",
    "blanks",
    "negation",
    "formula",
    "code",
    "options",
    "small_start",
)
"""What `shape` measures, in its order; counts are logarithms."""

_NEGATION = re.compile(r"\b(?:not|except|never|least|false)\b", re.IGNORECASE)
_FORMULA = re.compile(r"[=^\\$]|\d\s*[-+*/]\s*\d")
_CODE = re.compile(r"\bdef \w+\(|\breturn\b|[{};]\s*$|```|\bclass \w+|#include", re.MULTILINE)
_OPTION = re.compile(r"^\s*\(?[A-Ea-e][.):]\s", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")


def shape(text: str) -> list[float]:
    """How a prompt is built, whatever it says: one number for each of `SHAPES`."""
    from math import log1p

    text = cut(text)
    size = max(len(text), 1)
    words = text.split()
    count = max(len(words), 1)
    digits = sum(map(str.isdigit, text))
    letters = sum(map(str.isalnum, text))
    return [
        log1p(len(text)),
        log1p(text.count("\n")),
        log1p(max(map(len, text.split("\n")))),
        log1p(digits),
        digits / size,
        (size - letters - sum(map(str.isspace, text))) / size,
        sum(map(str.isupper, text)) / size,
        sum(map(len, words)) / count,
        len(set(words)) / count,
        log1p(text.count("?")),
        log1p(text.count(",")),
        log1p(len(_SENTENCE.findall(text))),
        log1p(text.count("_")),
        float(_NEGATION.search(text) is not None),
        log1p(len(_FORMULA.findall(text))),
        float(_CODE.search(text) is not None),
        log1p(len(_OPTION.findall(text))),
        float(text[:1].islower()),
    ]
