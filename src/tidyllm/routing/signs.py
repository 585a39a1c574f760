"""How a question is put and what its options are like, as numbers. It learns nothing and knows no subject.

A prompt without options has zeros there: what is asked, and how, is still told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations, islice, pairwise
from math import log1p, sqrt

from tidyllm.routing.features import cut

__all__ = ["SIGNS", "signs"]

_ASKING = (
    "what",
    "which",
    "how",
    "why",
    "who",
    "when",
    "where",
    "if",
    "most",
    "best",
    "following",
    "according",
    "this",
    "suppose",
    "find",
    "calculate",
    "compute",
    "statement",
    "true",
    "would",
    "should",
    "probably",
    "likely",
)
_MARKS = {
    "negation": re.compile(r"\b(?:not|except|least|never|cannot|false|incorrect|untrue)\b", re.IGNORECASE),
    "shouted": re.compile(r"\b(?:NOT|EXCEPT|LEAST|BEST|MOST|TRUE|FALSE)\b"),
    "of_the_following": re.compile(r"which of the following", re.IGNORECASE),
    "two_statements": re.compile(r"statement [12]", re.IGNORECASE),
    "quotes": re.compile(r'["“”‘]'),  # noqa: RUF001 - quotes of print
    "passage": re.compile(r"passage|this question refers", re.IGNORECASE),
    "gap": re.compile(r"__|\.\.\."),
    "equation": re.compile(r"[=^\\$]"),
    "ends_as_question": re.compile(r"\?\s*$"),
    "ends_with_colon": re.compile(r":\s*$"),
    "ends_with_stop": re.compile(r"\.\s*$"),
    "lower_start": re.compile(r"^[^\W\d_A-Z]"),
    "blank_before_break": re.compile(r" \n"),
}
"""Looked for in the question, without its options."""
_ANYWHERE = {
    "numerals": re.compile(r"\bII\b"),
    "tex": re.compile(r"\\"),
    "money": re.compile(r"\$\d"),
    "dollar": re.compile(r"\$"),
    "per_cent": re.compile("%"),
    "year": re.compile(r"\b(?:1[5-9]|20)\d\d\b"),
    "semicolon": re.compile(";"),
    "double_blank": re.compile("  "),
    "code": re.compile(r"def |return|int |for \(|print"),
    "all_of_the": re.compile(r"\ball of the\b", re.IGNORECASE),
    "none_of": re.compile(r"\bnone of\b|\bneither\b", re.IGNORECASE),
    "both": re.compile(r"\bboth\b|\ba and b\b|\bi and ii\b", re.IGNORECASE),
    "true_and_false": re.compile(r"\bTrue, False\b"),
}
_SHARES = (
    "letters_question",
    "letters_options",
    "longest_option",
    "shortest_option",
    "uneven_options",
    "question_to_options",
    "digits_question",
    "digits_options",
    "numeric_options",
    "options_with_digits",
    "formula_signs",
    "alike_options",
    "most_alike_options",
    "options_in_question",
    "uneven_in_question",
    "names_in_question",
    "capital_options",
    "pairs_of_capitals",
    "word_length",
    "word_length_options",
    "sentences",
    "lines",
    "single_words",
    "short_options",
    "commas",
    "commas_options",
    "options_with_stop",
    "yes_or_no",
    "ascending",
    "stands_out",
    "other_letters",
)
SIGNS = (*_SHARES, *_MARKS, *_ANYWHERE, *(f"asks_{word}" for word in _ASKING))
"""What `signs` measures, in its order."""

_OPTION = re.compile(r"^[ \t]*\(?[A-J][.):] (.*(?:\n(?![ \t]*\(?[A-J][.):] ).*)*)", re.MULTILINE)
_MOST = 10
"""Further options are not looked at: each is compared with each."""
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*|\d+|[^\w\s]")
_NUMERIC = re.compile(r"[\s$\-−\d.,/%^()*+]+")  # noqa: RUF001 - minus of print
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_SYMBOL = re.compile(r"[=^\\$∀∃∈→⊃·∨≡~<>|]")  # noqa: RUF001 - signs of logic
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+")
_NAMES = re.compile(r"\b[A-Z][a-z]+ [A-Z][a-z]+")
_SENTENCE = re.compile(r"[.!?](?:\s|$)")


def signs(text: str) -> list[float]:
    """How a prompt asks: one number for each of `SIGNS`."""
    question, options = _parted(cut(text))
    everything = f"{question} {' '.join(options)}"
    words = _TOKEN.findall(question.lower())
    asked = set(words)
    return [
        *_measured(question, options, words, everything),
        *(float(mark.search(question) is not None) for mark in _MARKS.values()),
        *(float(mark.search(everything) is not None) for mark in _ANYWHERE.values()),
        *(float(word in asked) for word in _ASKING),
    ]


def _parted(text: str) -> tuple[str, list[str]]:
    """The question and its options; two at least, else it has none."""
    text = text.rstrip().removesuffix("Answer:")
    found = list(islice(_OPTION.finditer(text), _MOST))
    if len(found) < 2:
        return text, []
    return text[: found[0].start()], [one.group(1).strip() for one in found]


def _measured(question: str, options: list[str], words: list[str], everything: str) -> list[float]:
    joined = " ".join(options)
    parts = [_TOKEN.findall(option.lower()) for option in options]
    sets = [set(part) for part in parts]
    sizes = sorted(map(len, options)) or [0, 0]
    alike = [len(one & other) / max(len(one | other), 1) for one, other in combinations(sets, 2)]
    asked = set(words)
    shared = [len(each & asked) / max(len(each), 1) for each in sets]
    average = _mean(sizes)
    return [
        log1p(len(question)),
        log1p(average),
        log1p(sizes[-1]),
        log1p(sizes[0]),
        _spread(sizes) / (average + 1),
        log1p(len(question)) - log1p(average),
        sum(map(str.isdigit, question)) / (len(question) + 1),
        sum(map(str.isdigit, joined)) / (len(joined) + 1),
        float(bool(options) and all(_NUMERIC.fullmatch(option) for option in options)),
        _mean([any(map(str.isdigit, option)) for option in options]),
        len(_SYMBOL.findall(everything)) / len(everything),
        _mean(alike),
        max(alike, default=0.0),
        _mean(shared),
        _spread(shared),
        len(_NAME.findall(question)) / (len(words) + 1),
        _mean([option[:1].isupper() for option in options]),
        float(len(_NAMES.findall(everything))),
        _mean([len(word) for word in words if word.isalpha()]),
        _mean([len(word) for part in parts for word in part if word.isalpha()]),
        log1p(len(_SENTENCE.findall(question))),
        log1p(question.count("\n")),
        _mean([len(part) == 1 for part in parts]),
        float(bool(options) and max(map(len, parts)) <= 3),
        log1p(question.count(",")),
        _mean([option.count(",") for option in options]),
        _mean([option.endswith(".") for option in options]),
        _mean([option.lower().startswith(("yes", "no")) for option in options]),
        _ascending(options),
        sizes[-1] / (sizes[-2] + 1),
        float(not everything.isascii()),
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _spread(values: Sequence[float]) -> float:
    mean = _mean(values)
    return sqrt(_mean([(value - mean) ** 2 for value in values]))


def _ascending(options: list[str]) -> float:
    """1 where the numbers in the options rise, -1 where they fall, else 0."""
    found = [_NUMBER.search(option.replace(",", "")) for option in options]
    numbers = [float(one.group()) for one in found if one is not None]
    if len(numbers) < 2 or len(numbers) < len(options):
        return 0.0
    if all(one <= other for one, other in pairwise(numbers)):
        return 1.0
    return -float(all(one >= other for one, other in pairwise(numbers)))
