"""Small broken programs with real suites of tests, and the scripted models that are set to repair them.

The programs lie in `broken/NAME.toml`: their files, and beside them, never in the tree, what is wrong. Nothing of them
is collected, linted or imported here; a test writes one out with `materialise`.

    materialise("cart", tmp_path)               # the broken tree; fixed=True writes the repaired one
    with ModelServer(player_for("cart", "right")) as server: ...

A server in a process of its own (from the project's root): `python -m tidyllm.testing.model_server
tests.agents.programs:player_for --args '["cart", "right"]'`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.shared_data import ROOT
from tidyllm.testing import behaviours as b
from tidyllm.testing.behaviours import Behaviour, Rule

__all__ = ["BAD", "CHECK", "GOOD", "Program", "materialise", "names", "player_for", "program"]

CHECK = ("python", "-m", "pytest", "-q", "--disable-plugin-autoload", "-p", "no:cacheprovider")
"""How the programs are checked: the plugins that lie about in our own environment cost a second each time."""

_BROKEN = ROOT / "tests" / "agents" / "broken"


class Program(msgspec.Struct, frozen=True):
    """One program. `files`: text by path; `fixes`: its repair, in the order in which they are made."""

    title: str
    files: dict[str, str]
    fixes: tuple[Rule, ...]
    check: tuple[str, ...] = CHECK

    def tree(self, state: str = "broken") -> dict[str, str]:
        """The files as they are when `broken`, when `fixed`, or after the `hasty` repair."""
        files = dict(self.files)
        for fix in self.fixes if state != "broken" else ():
            new = fix.fixed if state == "fixed" else fix.hasty
            if not fix.broken:
                files[fix.file] = new
                continue
            assert files[fix.file].count(f"{fix.broken}\n") == 1, f"{fix.file} holds its broken lines once"
            files[fix.file] = files[fix.file].replace(f"{fix.broken}\n", f"{new}\n")
        return files


def names() -> list[str]:
    """The programs, in order of the alphabet."""
    return sorted(path.stem for path in _BROKEN.glob("*.toml"))


@cache
def program(name: str) -> Program:
    """One program with its repair."""
    given: dict[str, Any] = tomllib.loads((_BROKEN / f"{name}.toml").read_text(encoding="utf-8"))
    for fix in given["fixes"]:
        if not fix["broken"]:  # a file that is still to be written: a text with an end
            fix["fixed"] += "\n"
            fix["wrong"] += "\n"
    return msgspec.convert(given, Program)


def materialise(name: str, into: Path, *, state: str = "broken") -> Path:
    """Write the tree of a program below `into`, which is made where it is not there, and return it.

    `state`: `broken`, `fixed`, or `hasty` (after a repair that does not help).
    """
    for path, text in program(name).tree(state).items():
        file = into / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return into


_Maker = Callable[[Behaviour], Behaviour]

GOOD: Mapping[str, _Maker] = {
    "right": lambda right: right,
    "malformed_once": lambda right: b.malformed("cut", times=1, then=right),
    "text_cut_once": lambda right: b.malformed("text_cut", times=1, then=right),
    "bad_decision_once": lambda right: b.invalid_decision("prose", times=1, then=right),
    "bad_decisions": lambda right: b.invalid_decision("prose", then=right),
    "unknown_action": lambda right: b.invalid_decision("unknown_action", then=right),
    "busy_once": lambda right: b.busy(429, retry_after=0, times=1, then=right),
    "overloaded_once": lambda right: b.busy(503, retry_after=None, times=1, then=right),
    "dying_once": lambda right: b.dying(2, times=1, then=right),
    "garbled_once": lambda right: b.garbled("json", times=1, then=right),
    "slow": lambda right: b.slow(0.01, then=right),
}
"""Models that get there in the end, made from the one that is right. So do `wrong_first` and `text` (without native
tools), which are made otherwise."""

BAD: Mapping[str, _Maker] = {
    "looping": lambda _: b.looping(),
    "looping_tests": lambda _: b.looping("test"),
    "ping_pong": lambda _: b.ping_pong(),
    "ping_pong_tests": lambda _: b.ping_pong(tests=True),
    "wandering": lambda _: b.wandering(),
    "prose": lambda _: b.prose(),
    "contradicting": lambda _: b.contradicting(),
    "claiming": lambda _: b.claiming(),
    "empty": lambda _: b.empty(),
    "empty_everywhere": lambda _: b.empty(everywhere=True),
    "huge": lambda _: b.huge(200_000),
    "unknown_tool": lambda _: b.unknown_tool(),
    "cheating": lambda _: b.cheating(),
    "stalling": lambda right: b.stalling(1, then=right),
    "dying": lambda right: b.dying(2, then=right),
    "busy": lambda right: b.busy(429, retry_after=0, then=right),
    "down": lambda right: b.busy(500, retry_after=None, then=right),
    "garbled": lambda right: b.garbled("json", then=right),
    "html": lambda right: b.garbled("html", then=right),
    **{
        f"malformed_{kind}": lambda _, kind=kind: b.malformed(kind)
        for kind in (*b.BROKEN_CALLS, *b.BROKEN_TEXTS)
    },
    **{f"escaping_{kind}": lambda _, kind=kind: b.escaping(kind) for kind in b.ESCAPES},
}
"""Models that never get there, by what they do instead."""


def player_for(name: str, mode: str = "right", prefer: Mapping[str, Any] | None = None) -> Behaviour:
    """A model for the program: `right`, `wrong_first`, `text`, `text_wrong_first`, or one of `GOOD` and `BAD`.

    `prefer`: words for answers that must fit a schema, such as `{"action": ["finish"]}`.
    """
    rules = program(name).fixes
    if mode in ("wrong_first", "text", "text_wrong_first"):
        native = not mode.startswith("text")
        return b.fixer(rules, wrong_first=mode.endswith("wrong_first"), native=native, prefer=prefer)
    right = b.fixer(rules, prefer=prefer)
    return (GOOD[mode] if mode in GOOD else BAD[mode])(right)
