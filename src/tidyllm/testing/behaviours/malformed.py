"""Models whose tool calls and decisions are broken JSON, in each of the ways that were seen."""

from __future__ import annotations

from collections.abc import Mapping

from tidyllm.errors import ConfigError
from tidyllm.models.message import ToolCall
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.testing.behaviours.offer import offer
from tidyllm.testing.behaviours.roles import Behaviour, acting, is_asked_for_data, role_answer

__all__ = ["BROKEN_CALLS", "BROKEN_DECISIONS", "BROKEN_TEXTS", "invalid_decision", "malformed"]

BROKEN_CALLS: Mapping[str, str] = {
    "cut": '{"path": "calc.py", "start":',
    "prose": "please read the file calc.py",
    "array": '["calc.py"]',
    "number": "42",
    "twice": '{"path": "calc.py"}{"path": "calc.py"}',
    "wrong_types": '{"path": 17}',
    "missing": "{}",
    "extra": '{"path": "calc.py", "colour": "blue"}',
    "nested": '{"arguments": {"path": "calc.py"}}',
    "null": "null",
    "deep": "[" * 2_000,
    "control": '{"path": "calc\x00.py\n"}',
}
"""Arguments of a native call to read a file."""

BROKEN_TEXTS: Mapping[str, str] = {
    "text_cut": '```json\n{"tool": "read_file", "parameters": {"path": "cal\n```',
    "text_garbled": '```json\n{"tool": "read_file" "parameters": path = calc.py}}}}\n```',
    "text_no_name": '```json\n{"parameters": {"path": "calc.py"}}\n```',
    "text_number": '```json\n{"tool": 7, "parameters": {"path": "calc.py"}}\n```',
    "text_no_object": '```json\n{"tool": "read_file", "parameters": "calc.py"}\n```',
    "text_empty": "```json\n\n```",
    "text_tag": "<tool_call>{read_file: calc.py</tool_call>",
    "text_python": "```json\nread_file(path='calc.py')\n```",
}
"""Calls in the text of a model without native tools. None of them can be read without guessing."""

BROKEN_DECISIONS: Mapping[str, str] = {
    "prose": "I will not change_phase now; let us continue_phase, unless the user wants to finish.",
    "unknown_action": '{"action": "delete_everything", "reason": "why not"}',
    "missing_field": '{"action": "change_phase"}',
    "wrong_type": '{"action": ["finish"], "reason": 3}',
    "no_action": '{"to": "coding", "reason": "no action is named"}',
    "two": '{"action": "finish", "reason": "a"} {"action": "continue_phase"}',
    "cut": '{"action": "change_phase", "to": "cod',
    "array": '[{"action": "finish", "reason": "a list"}]',
    "unknown_phase": '{"action": "change_phase", "to": "holidays", "reason": "sun"}',
    "empty": "",
    "negated": '{"action": "do_not_finish", "reason": "the word finish is in it"}',
}
"""Answers to the question what to do next, none of which is a decision."""


def malformed(
    kind: str, *, times: int | None = None, then: Behaviour | None = None, everywhere: bool = False
) -> Behaviour:
    """A model whose every tool call is broken in the way `kind` (of `BROKEN_CALLS` or `BROKEN_TEXTS`).

    `times`: only its first turns of a conversation are; after them it is `then`, by default a sensible colleague. The
    turns are counted in the request, so that a client that comes back finds it where it was.

    :raises ConfigError: the kind is unknown.
    """
    if kind not in BROKEN_CALLS and kind not in BROKEN_TEXTS:
        known = ", ".join([*BROKEN_CALLS, *BROKEN_TEXTS])
        raise ConfigError(f"there is no broken call of the kind {kind!r}.", hint=f"There are: {known}.")

    def behave(request: Request) -> Reply | str:
        if times is not None and sum(turn.role == "assistant" for turn in request.turns) >= times:
            return (then or role_answer)(request)
        if kind in BROKEN_TEXTS:
            return BROKEN_TEXTS[kind]
        tools = offer(request)
        name = tools.name("read") or next(iter(tools.schemas), "read_file")
        raw = BROKEN_CALLS[kind]
        if tools.native:
            return Reply(tool_calls=(ToolCall.parse("", name, raw),))
        return f'```json\n{{"tool": "{name}", "parameters": {raw}}}\n```'

    return acting(behave, everywhere=everywhere)


def invalid_decision(kind: str, *, times: int | None = None, then: Behaviour | None = None) -> Behaviour:
    """A model that is asked for data and gives `BROKEN_DECISIONS[kind]`; at other work it is `then`.

    `times`: only so many of its turns in one conversation; an answer after a complaint is then right.

    :raises ConfigError: the kind is unknown.
    """
    if kind not in BROKEN_DECISIONS:
        known = ", ".join(BROKEN_DECISIONS)
        raise ConfigError(f"there is no broken decision of the kind {kind!r}.", hint=f"There are: {known}.")

    def behave(request: Request) -> Reply | str:
        said = sum(turn.role == "assistant" for turn in request.turns)
        if is_asked_for_data(request) and (times is None or said < times):
            return BROKEN_DECISIONS[kind]
        return role_answer(request) if is_asked_for_data(request) or then is None else then(request)

    return behave
