"""What a plan changes, in numbers. It knows plans, not prices: dollars come from whoever calls."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass

from tidyllm.migrate.errors import MigrateError
from tidyllm.migrate.plan import Plan
from tidyllm.migrate.source import Source

__all__ = ["Counts", "count"]

_RETRYING = {"num_retries", "max_retries", "max_attempts", "attempts"}
_OWN_RETRIES = 2  # what the clients of OpenAI and Anthropic do unless told otherwise


@dataclass(frozen=True)
class Counts:
    """Before and after."""

    files: int
    changed: int
    lines_before: int
    lines_after: int
    wrappers_before: int
    """Calls that make a wrapper, a configuration of one, or a primitive."""
    wrappers_after: int
    call_sites_before: int
    """Uses of legacy names."""
    call_sites_after: int
    by_pattern: tuple[tuple[str, int, int], ...]
    """Pattern, converted, could not."""
    attempts_worst_before: int
    """Attempts on the wire that a call can come to when retries inside retries multiply, summed over such calls."""
    attempts_worst_after: int


def count(plan: Plan) -> Counts:
    """The numbers of a plan."""
    before = after = worst_before = worst_after = 0
    wrappers = Counter[str]()
    for one in plan.results:
        old = _text(one.before)
        new = _text(one.after) if one.after is not None else old
        before, after = before + old.count("\n"), after + new.count("\n")
        worst_before += _worst(old, multiplied=True)
        worst_after += _worst(new, multiplied=False)
        for finding in one.findings:
            if finding.name.rpartition(".")[2][:1].isupper():
                wrappers[finding.kind] += 1
    converted = Counter(one.pattern for _, one in plan.converted)
    left = Counter(one.pattern for _, one in plan.could_not)
    return Counts(
        len(plan.results),
        len(plan.changed),
        before,
        after,
        wrappers["converted"] + wrappers["could_not"],
        wrappers["could_not"],
        sum(converted.values()) + sum(left.values()),
        sum(left.values()),
        tuple((name, converted[name], left[name]) for name in plan.patterns if converted[name] or left[name]),
        worst_before,
        worst_after,
    )


def _text(data: bytes) -> str:
    try:
        return Source.decode(data).text
    except MigrateError:
        return ""


def _worst(text: str, *, multiplied: bool) -> int:
    """Sums, over calls and decorators that retry, the attempts that one call can come to.

    Legacy retries stand around clients that retry themselves, so they multiply; ours turn those off.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return 0
    whole = 0
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for one in node.keywords:
            if (
                one.arg in _RETRYING
                and isinstance(one.value, ast.Constant)
                and isinstance(one.value.value, int)
            ):
                tries = one.value.value + (0 if one.arg in {"attempts", "max_attempts"} else 1)
                whole += tries * (1 + _OWN_RETRIES if multiplied else 1)
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name == "stop_after_attempt" and node.args and isinstance(node.args[0], ast.Constant):
            value = node.args[0].value
            whole += value * (1 + _OWN_RETRIES) if isinstance(value, int) else 0
    return whole
