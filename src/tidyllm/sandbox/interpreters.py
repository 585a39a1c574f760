"""How programs that run programs are called: which of their words would carry code, and which name a file.

Pure tables and one reader of options. What is allowed at all is `commands.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tidyllm.errors import CommandRefused


@dataclass(frozen=True)
class Interpreter:
    """Letters of short options: `inline` carry code or load it, `values` take a value, all others are switches."""

    inline: str
    values: str = ""
    long_inline: frozenset[str] = frozenset()
    long_values: frozenset[str] = frozenset()
    module: str = ""
    """The letter that takes a module's name instead of a file."""


PYTHON = Interpreter("c", "WX", frozenset(), frozenset({"--check-hash-based-pycs"}), "m")
_SHELL = Interpreter("ci", "oO", frozenset({"--command", "--init-file", "--rcfile", "--init-command"}))
_NODE = Interpreter(
    "epri",
    "C",
    frozenset(
        {"--eval", "--print", "--require", "--import", "--loader", "--experimental-loader", "--interactive"}
    ),
)
_RUBY = Interpreter("enpsrI", "CEWx")
_OTHERS = {
    "perl": Interpreter("eEnpsMmIid", ""),
    "ruby": _RUBY,
    "php": Interpreter("rRBEFad", "cz"),
    "lua": Interpreter("ei", "l"),
    "luajit": Interpreter("ei", "lj"),
    "node": _NODE,
    "nodejs": _NODE,
    "Rscript": Interpreter("e", "", frozenset({"--eval"})),
    "julia": Interpreter("eEiL", "JCp", frozenset({"--eval", "--print", "--load"})),
    "sh": _SHELL,
    "bash": _SHELL,
    "dash": _SHELL,
    "zsh": _SHELL,
    "ksh": _SHELL,
    "mksh": _SHELL,
    "ash": _SHELL,
    "fish": _SHELL,
    "csh": _SHELL,
    "tcsh": _SHELL,
    "tclsh": Interpreter("", ""),
    "awk": Interpreter("e", "vF"),
    "gawk": Interpreter("e", "vF"),
    "mawk": Interpreter("e", "vF"),
}


def family(name: str) -> str:
    """`python3.11`, `python3`, `pypy3` -> `python`; `perl5.36.0` -> `perl`; others as they are."""
    if re.fullmatch(r"(python|pypy)[\d.]*[a-z]?(-dbg)?", name):
        return "python"
    match = re.fullmatch(r"([A-Za-z]+?)[\d.]+", name)
    return match[1] if match and match[1] in _OTHERS else name


def interpreter(name: str) -> Interpreter | None:
    """The table of an interpreter, or nothing for other programs."""
    return PYTHON if name == "python" else _OTHERS.get(name)


@dataclass(frozen=True)
class Call:
    """What an interpreter was told to run: a file, or a module, and what follows it."""

    script: str = ""
    module: str = ""
    rest: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Values of Python's `-X`."""


def read_call(name: str, words: Sequence[str]) -> Call:
    """`CommandRefused` for inline code, standard input, or an option that could carry code."""
    table = interpreter(name)
    assert table is not None
    settings: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            break
        if word == "-":
            raise CommandRefused(
                f"{name} -: code from standard input is not run; write it to a file and run that"
            )
        if word.startswith("--"):
            option, _, value = word.partition("=")
            if any(one.startswith(option) or option.startswith(one + "-") for one in table.long_inline):
                raise CommandRefused(
                    f"{name} {option}: inline code is not run; write it to a file and run that"
                )
            if option in table.long_values and not value:
                at += 1
            continue
        if not word.startswith("-"):
            return Call(script=word, rest=tuple(words[at:]), settings=tuple(settings))
        for place, letter in enumerate(word[1:], 2):
            if letter in table.inline:
                raise CommandRefused(
                    f"{name} -{letter}: inline code is not run; write it to a file and run that"
                )
            if letter == table.module or letter in table.values:
                value = word[place:]
                if not value and at < len(words):
                    value, at = words[at], at + 1
                if letter == table.module:
                    return Call(module=value, rest=tuple(words[at:]), settings=tuple(settings))
                settings += [value] if letter == "X" else []
                break
    if at < len(words):
        return Call(script=words[at], rest=tuple(words[at + 1 :]), settings=tuple(settings))
    return Call(settings=tuple(settings))
