"""A model that repairs a program it knows, but only when it was shown what is wrong. It remembers nothing.

It has a table of rules (these broken lines become those) and must find, in the very request it is given, the current
text of the file and the output of the failing test; until it does, it asks for them with the tools at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.heard import Heard, Verdict, conversation, holds, verdict
from tidyllm.testing.behaviours.offer import Offer, offer
from tidyllm.testing.behaviours.roles import Behaviour, is_asked_for_data, role_answer, schema_of

__all__ = ["Rule", "fixer"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One repair.

    - `file`: path below the project's root. The model uses it only when the request has named it.
    - `broken`, `fixed`: whole lines, as they stand in the file; `broken` stands there once. An empty `broken` means
      that the file is missing and `fixed` is its text.
    - `symptoms`: one of them stands in the failing output, else the model does not know what to do. () asks for any
      failure.
    - `wrong`: what a hasty model writes first; it must leave the tests failing. Default: the broken lines with a
      remark at their end.
    """

    file: str
    broken: str
    fixed: str
    symptoms: tuple[str, ...] = ()
    wrong: str | None = None

    @property
    def hasty(self) -> str:
        """`wrong`, or its default."""
        return f"{self.broken}  # looked at" if self.wrong is None else self.wrong


_State = Literal["unknown", "broken", "hasty", "fixed", "edited"]


class _Seen:
    """What a conversation shows of the tests and of each rule, the latest word standing."""

    def __init__(self, rules: Sequence[Rule], heard: list[Heard], tools: Offer, *, hasty: bool) -> None:
        self.states: dict[Rule, _State] = {rule: _missing(rule) for rule in rules}
        self.tests: Verdict | None = None
        self.failures = ""
        self.unread = 0  # runs of tests that printed no summary
        self.text = "\n".join(each.text for each in heard if each.kind != "said")
        self._hasty = hasty
        for each in heard:
            if each.kind == "call":
                self._called(each, tools)
            elif each.kind in ("told", "result"):
                self._shown(each, tools)

    def _called(self, each: Heard, tools: Offer) -> None:
        if each.name not in (tools.name("edit"), tools.name("write")):
            return
        self.tests = None
        values = [value for value in each.arguments.values() if isinstance(value, str)]
        for rule in self.states:
            if rule.fixed in values:
                self.states[rule] = "edited"
            elif self._hasty and rule.hasty in values:
                self.states[rule] = "hasty"

    def _shown(self, each: Heard, tools: Offer) -> None:
        found = verdict(each.text)
        if found is not None:
            self.tests = found
            self.unread = 0
            if found == "failed":
                self.failures += each.text
        elif each.kind == "result" and each.name in (tools.name("test"), tools.name("command")):
            self.unread += 1
        for rule in self.states:
            state = _state(rule, each.text, hasty=self._hasty)
            if state is not None:
                self.states[rule] = state


def _missing(rule: Rule) -> _State:
    return "unknown" if rule.broken else "broken"


def _state(rule: Rule, text: str, *, hasty: bool) -> _State | None:
    """What `text` shows of the lines of a rule; where one contains the other, the longer one counts."""
    shown: list[tuple[int, _State]] = []
    if holds(text, rule.fixed):
        shown.append((len(rule.fixed), "fixed"))
    if rule.broken and holds(text, rule.broken):
        shown.append((len(rule.broken), "broken"))
    if hasty and holds(text, rule.hasty):
        shown.append((len(rule.hasty), "hasty"))
    return max(shown)[1] if shown else None


def fixer(
    rules: Sequence[Rule | Mapping[str, Any]],
    *,
    wrong_first: bool = False,
    native: bool = True,
    prefer: Mapping[str, Any] | None = None,
) -> Behaviour:
    """A model that is right when its request holds the current file and the failing output, and asks otherwise.

    - `wrong_first`: it edits before it looks at a failure, wrongly, and is right after seeing that the test still
      fails.
    - `native`: False writes its calls as JSON in its text, also where native tools are offered.
    - `prefer`: words for answers that must fit a schema, before those of `PREFERRED`: `{"action": ["finish"]}`.

    Asked for a plan, findings or a decision it answers as a sensible colleague (`role_answer`).
    """
    known = [rule if isinstance(rule, Rule) else msgspec.convert(rule, Rule) for rule in rules]

    def behave(request: Request) -> Reply:
        if is_asked_for_data(request):
            return role_answer(request, prefer, native=native)
        tools = offer(request, native=native)
        seen = _Seen(known, conversation(request), tools, hasty=wrong_first)
        if not tools.edits:
            return _advice(request, seen, prefer, native=native)
        step = _next(seen, tools, hasty=wrong_first)
        if step is not None:
            return step
        return _done(seen) if schema_of(request) is None else role_answer(request, prefer, native=native)

    return behave


def _next(seen: _Seen, tools: Offer, *, hasty: bool) -> Reply | None:
    """The next call; None when there is no more to do."""
    if seen.tests == "passed":
        return None
    if not seen.failures and not hasty:
        return _run(seen, tools)
    for rule, state in seen.states.items():
        step = _repair(rule, state, seen, tools, hasty=hasty)
        if step is not None:
            return step
    if seen.tests is None:
        return _run(seen, tools)
    for rule, state in seen.states.items():
        if state == "edited" and tools.name("read"):
            return tools.call("read", path=rule.file)  # the edit was perhaps refused
    return None


def _repair(rule: Rule, state: _State, seen: _Seen, tools: Offer, *, hasty: bool) -> Reply | None:
    if state == "unknown":
        if rule.file not in seen.text and tools.name("list"):
            return tools.call("list", path=".")
        return tools.call("read", path=rule.file) if tools.name("read") else None
    shown = seen.tests == "failed" and (
        not rule.symptoms or any(each in seen.failures for each in rule.symptoms)
    )
    if state == "hasty":
        return _write(rule, rule.hasty, rule.fixed, tools) if shown else None
    if state == "broken" and hasty:
        return _write(rule, rule.broken, rule.hasty, tools)
    known = any(each in seen.failures for each in rule.symptoms) or (
        not rule.symptoms and bool(seen.failures)
    )
    return _write(rule, rule.broken, rule.fixed, tools) if state == "broken" and known else None


def _write(rule: Rule, old: str, new: str, tools: Offer) -> Reply | None:
    if rule.broken and tools.name("edit"):
        return tools.call("edit", path=rule.file, old=old, new=new)
    return tools.call("write", path=rule.file, text=new) if not rule.broken and tools.name("write") else None


def _run(seen: _Seen, tools: Offer) -> Reply | None:
    if seen.unread >= 2:
        return None
    if tools.name("test"):
        return tools.call("test")
    return tools.call("command", argv=["pytest", "-q"]) if tools.name("command") else None


def _done(seen: _Seen) -> Reply:
    if seen.tests == "passed":
        return Reply(text="The tests pass now. I changed only what the failing test showed to be wrong.")
    edited = [rule.file for rule, state in seen.states.items() if state in ("edited", "fixed")]
    if seen.tests is None and edited:
        return Reply(text=f"I have changed {', '.join(edited)}. Run the tests to see whether that was all.")
    return Reply(text="I do not know what else is wrong: show me the failing output and the file it names.")


def _advice(request: Request, seen: _Seen, prefer: Mapping[str, Any] | None, *, native: bool) -> Reply:
    """Without tools: the repair in words, where both the file and the failure stand in the request."""
    for rule, state in seen.states.items():
        if state == "broken" and seen.failures:
            instead = f"replace\n\n```python\n{rule.broken}\n```\n\nby" if rule.broken else "write"
            return Reply(text=f"In `{rule.file}` {instead}\n\n```python\n{rule.fixed}\n```\n")
    return role_answer(request, prefer, native=native)
