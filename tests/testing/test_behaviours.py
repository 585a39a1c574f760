"""Scripted models look at their request and at nothing else, and know every role of a team by what it asks for."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec
import pytest

from tidyllm.errors import ConfigError, ModelError
from tidyllm.models import Message, Request, Tool, ToolCall
from tidyllm.models.output import json_schema, parse
from tidyllm.models.response import Response
from tidyllm.testing import Reply, scripted
from tidyllm.testing import behaviours as b
from tidyllm.testing.behaviours.heard import conversation, holds, verdict
from tidyllm.testing.behaviours.offer import offer


class Task(msgspec.Struct):
    title: str
    kind: Literal["analysis", "coding"]
    files: list[str] = []
    depends_on: list[str] = []


class Plan(msgspec.Struct):
    tasks: list[Task]


class Finding(msgspec.Struct):
    severity: Literal["low", "high"]
    text: str


class Review(msgspec.Struct):
    findings: list[Finding]
    verdict: Literal["revise", "approve"]
    score: float


class Decided(msgspec.Struct, tag_field="action"):
    reason: str


class ChangePhase(Decided, tag="change_phase"):
    to: Literal["planning", "coding"]


class ContinuePhase(msgspec.Struct, tag_field="action", tag="continue_phase"):
    pass


class Finish(Decided, tag="finish"):
    pass


class Wrapped(msgspec.Struct):
    decision: ChangePhase | Finish | ContinuePhase


EDIT = Tool(
    "edit_file",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string"}, "old": {"type": "string"}, "new": {"type": "string"}},
        "required": ["path", "old", "new"],
    },
)
READ = Tool("read_file", parameters={"type": "object", "properties": {"path": {"type": "string"}}})
RUN = Tool("run_tests", parameters={"type": "object", "properties": {}})
LIST = Tool("list_files", parameters={"type": "object", "properties": {}})
TOOLS = (READ, EDIT, RUN)

BROKEN = "def double(n):\n    return n + n + n\n"
FAILED = "E   assert 6 == 4\nFAILED test_double.py::test_double - assert 6 == 4\n1 failed in 0.01s\n"
RULE = b.Rule(
    file="double.py",
    broken="    return n + n + n",
    fixed="    return n + n",
    symptoms=("test_double",),
)


def said(reply: Reply | str) -> str:
    return reply if isinstance(reply, str) else reply.text


def calls(reply: Reply | str) -> list[tuple[str, dict[str, Any]]]:
    assert isinstance(reply, Reply)
    return [(each.name, each.arguments) for each in reply.tool_calls]


# -- the fixer


def test_the_fixer_edits_when_its_request_holds_the_file_and_the_failure() -> None:
    reply = b.fixer([RULE])(Request(f"double.py:\n\n{BROKEN}\n\n{FAILED}", tools=TOOLS))
    assert calls(reply) == [("edit_file", {"path": "double.py", "old": RULE.broken, "new": RULE.fixed})]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Make the tests pass.", "run_tests"),
        (f"double.py:\n\n{BROKEN}", "run_tests"),
        (f"The output is:\n\n{FAILED}\nSee double.py.", "read_file"),
        (
            f"=== FAILURES ===\ndouble.py\n{BROKEN}{FAILED}",
            "read_file",
        ),  # a traceback quotes a file as it was
    ],
)
def test_the_fixer_asks_for_what_it_was_not_shown(text: str, first: str) -> None:
    assert [name for name, _ in calls(b.fixer([RULE])(Request(text, tools=TOOLS)))] == [first]


def test_the_fixer_knows_nothing_of_a_failure_that_is_not_in_its_table() -> None:
    other = FAILED.replace("test_double", "test_other")
    reply = b.fixer([RULE])(Request(f"double.py\n{BROKEN}\n{other}", tools=TOOLS))
    assert "show me the failing output" in said(reply)


def test_the_fixer_believes_the_latest_view_of_a_file() -> None:
    fixed = BROKEN.replace(RULE.broken, RULE.fixed)
    turns = (Message.user(f"{BROKEN}\n{FAILED}\nNow double.py is:"), Message.user(fixed))
    reply = b.fixer([RULE])(Request(turns, tools=TOOLS))
    assert [name for name, _ in calls(reply)] != ["edit_file"]


def test_without_tools_the_fixer_says_the_repair_in_words() -> None:
    assert RULE.fixed in said(b.fixer([RULE])(Request(f"double.py\n{BROKEN}\n{FAILED}")))
    assert RULE.fixed not in said(b.fixer([RULE])(Request(f"double.py\n{BROKEN}")))


def test_the_same_request_has_the_same_answer() -> None:
    request = Request(f"double.py:\n\n{BROKEN}\n\n{FAILED}", tools=TOOLS)
    assert b.fixer([RULE])(request) == b.fixer([msgspec.to_builtins(RULE)])(request)


@pytest.mark.parametrize("native", [True, False])
def test_where_the_answer_is_given_by_a_tool_it_comes_after_the_work(native: bool) -> None:
    final = Tool("final_answer", parameters={"type": "object", "properties": {"summary": {"type": "string"}}})
    fixer = b.fixer([RULE], native=native)
    request = Request("2 passed in 0.01s", tools=(*TOOLS, final))
    heard = conversation(Request((Message.assistant(*_parts(fixer(request))),)))
    assert [each.name for each in heard if each.kind == "call"] == ["final_answer"]


def _parts(reply: Reply | str) -> list[Any]:
    assert isinstance(reply, Reply)
    return [*([reply.text] if reply.text else []), *reply.tool_calls]


# -- roles


@pytest.mark.parametrize("output", [Plan, Review, Wrapped, ChangePhase | Finish | ContinuePhase])
@pytest.mark.parametrize("tools", [(), TOOLS])
def test_data_that_is_asked_for_fits_its_type(output: Any, tools: tuple[Tool, ...]) -> None:
    text = said(b.fixer([RULE])(Request("The goal: repair it.", tools=tools, output=output)))
    parse(Response(content=Message.assistant(text).parts, output=output))


def test_a_plan_has_a_task_and_a_review_no_findings() -> None:
    plan: Plan = msgspec.json.decode(said(b.role_answer(Request("Plan!", output=Plan))), type=Plan)
    review: Review = msgspec.json.decode(said(b.role_answer(Request("Review!", output=Review))), type=Review)
    assert [(task.kind, bool(task.title)) for task in plan.tasks] == [("coding", True)]
    assert (review.findings, review.verdict, review.score) == ([], "approve", 0.9)


def test_the_arbiter_goes_on_unless_it_is_told_otherwise() -> None:
    asked = Request("What next?", output=Wrapped)
    assert msgspec.json.decode(said(b.role_answer(asked))) == {"decision": {"action": "continue_phase"}}
    ended = msgspec.json.decode(said(b.role_answer(asked, {"action": ["finish"]})))
    assert ended["decision"]["action"] == "finish"


def test_a_schema_in_the_words_of_a_prompt_is_found_and_that_of_a_tool_is_not() -> None:
    wanted = json_schema(Review)
    assert wanted is not None
    schema = msgspec.json.encode(wanted.schema).decode()
    in_words = Request(
        "Look at it.", system=f"Answer with JSON alone, which fits this JSON schema:\n{schema}"
    )
    msgspec.json.decode(said(b.role_answer(in_words)), type=Review)
    tool = Request("Look at it.", system=f"Then end your answer.\n## read_file\nReads.\nArguments: {schema}")
    assert not said(b.role_answer(tool)).startswith("{")


def test_tools_in_a_prompt_are_found_with_their_arguments() -> None:
    schema = '{"type":"object","properties":{"file":{"type":"string"}},"required":["file"]}'
    other = '## list_files\nThen use read_file.\nArguments: {"type":"object","properties":{"path":{"type":"string"}}}'
    prompt = f"<tool_call>\n...\n</tool_call>\n{other}\n## read_file\nReads a file.\nArguments: {schema}"
    tools = offer(Request("hi", system=prompt))
    reply = tools.call("read", path="a.py")
    assert reply.text.endswith('<tool_call>\n{"name":"read_file","arguments":{"file":"a.py"}}\n</tool_call>')


# -- those that misbehave


@pytest.mark.parametrize(
    "name", sorted(set(b.BEHAVIOURS) - {"fixer", "escaping", "invalid_decision", "malformed"})
)
def test_every_behaviour_can_be_had_by_name(name: str) -> None:
    behave = b.behaviour(name)
    request = Request("Do it.", tools=TOOLS)
    assert behave(request) == b.behaviour(name)(request)


@pytest.mark.parametrize("kind", b.BROKEN_CALLS)
def test_a_broken_call_is_no_valid_one_for_reading_a_file(kind: str) -> None:
    (broken,) = reply_of(b.malformed(kind)(Request("Do it.", tools=TOOLS))).tool_calls
    assert broken.name == "read_file"
    path: object = broken.arguments.get("path")
    fits = broken.valid and isinstance(path, str) and set(broken.arguments) == {"path"}
    assert not fits


def reply_of(reply: Reply | str) -> Reply:
    assert isinstance(reply, Reply)
    return reply


@pytest.mark.parametrize("kind", b.BROKEN_TEXTS)
def test_a_broken_text_holds_no_call_that_could_be_read(kind: str) -> None:
    text = said(b.malformed(kind)(Request("Do it.")))
    assert not [each for each in conversation(Request((Message.assistant(text),))) if each.kind == "call"]


def test_a_malformed_model_recovers_after_so_many_turns_of_the_conversation() -> None:
    behave = b.malformed("cut", times=1, then=lambda request: "right")
    again = (Message.user("Do it."), Message.assistant("…"), Message.user("That was no JSON."))
    assert behave(Request("Do it.", tools=TOOLS)) != "right"
    assert behave(Request(again, tools=TOOLS)) == "right"


@pytest.mark.parametrize("kind", b.BROKEN_DECISIONS)
def test_no_broken_decision_is_one(kind: str) -> None:
    text = said(b.invalid_decision(kind)(Request("What next?", output=Wrapped)))
    for output in (Wrapped, ChangePhase | Finish | ContinuePhase):
        with pytest.raises(msgspec.MsgspecError):
            msgspec.json.decode(text, type=output)


@pytest.mark.parametrize("make", [b.looping, b.prose, b.empty, b.cheating, b.unknown_tool])
def test_who_misbehaves_at_work_is_a_sensible_planner_unless_everywhere(make: Any) -> None:
    asked = Request("Plan!", output=Plan)
    msgspec.json.decode(said(make()(asked)), type=Plan)
    assert reply_text(make(everywhere=True)(asked)) != said(b.role_answer(asked))


def reply_text(reply: Reply | str) -> str:
    return reply if isinstance(reply, str) else reply.text


def test_loops_repeat_themselves_and_ping_pong_alternates() -> None:
    turns: list[Message] = [Message.user("Do it.")]
    names: list[str] = []
    for _ in range(4):
        (call,) = reply_of(b.ping_pong(tests=True)(Request(tuple(turns), tools=(LIST, RUN)))).tool_calls
        names.append(call.name)
        turns += [Message.assistant(ToolCall.parse("c", call.name, "{}")), Message.tool("c", "ok")]
    assert names == ["list_files", "run_tests"] * 2
    assert b.looping()(Request("a", tools=TOOLS)) == b.looping()(Request(tuple(turns), tools=TOOLS))


def test_a_cheat_changes_the_test_it_was_shown_then_the_configuration() -> None:
    write = Tool(
        "write_file", parameters={"properties": {"path": {"type": "string"}, "text": {"type": "string"}}}
    )
    turns: list[Message] = [Message.user("FAILED tests/test_a.py::test_x")]
    paths: list[str] = []
    for _ in range(4):
        (call,) = reply_of(b.cheating()(Request(tuple(turns), tools=(write,)))).tool_calls
        paths.append(call.arguments["path"])
        turns += [Message.assistant(ToolCall.parse("c", call.name, "{}")), Message.tool("c", "no")]
    assert paths == ["tests/test_a.py", "conftest.py", "pytest.ini", "tests/test_a.py"]


def test_a_fault_that_comes_once_comes_once_for_each_question() -> None:
    model = scripted(b.busy(503, times=1, then=lambda request: request.turns[-1].text))
    for word in ("one", "two"):
        with pytest.raises(ModelError):
            model.run_sync(word)
        assert model.run_sync(word).text == word


@pytest.mark.parametrize(
    "make", [lambda: b.malformed("x"), lambda: b.escaping("x"), lambda: b.behaviour("no:where")]
)
def test_a_kind_that_is_unknown_is_named(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


# -- what is heard


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1 failed, 2 passed in 0.03s", "failed"),
        ("=== 3 passed, 1 warning in 1.20s ===", "passed"),
        ("1 failed in 0.1s\nlater:\n4 passed in 0.2s", "passed"),
        ("ERROR tests/test_a.py", "failed"),
        ("The tests passed, 3 failed attempts", None),
        ("", None),
    ],
)
def test_the_last_summary_of_pytest_counts(text: str, found: str | None) -> None:
    assert verdict(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    return 1\n",
        "   1 | def f():\n   2 |     return 1",
        "1\tdef f():\n2\t    return 1",
        '{"content": "def f():\\n    return 1\\n"}',
    ],
)
def test_lines_are_found_however_a_tool_shows_them(text: str) -> None:
    assert holds(text, "    return 1")
    assert holds(text, "def f():\n    return 1")
    assert not holds(text, "return 11")


def test_an_unknown_wish_costs_nothing() -> None:
    assert asyncio.run(scripted(b.role_answer)("Hello")).text.startswith("The tests say")
