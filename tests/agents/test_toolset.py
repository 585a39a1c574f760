"""The one table: what is offered, what may be called, how a call runs, and what a model is told when it does not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from tidyllm.agents import AgentTool, Call, Toolset, calls_of, tool
from tidyllm.agents.tool_prompt import rendered_call
from tidyllm.core import Context, Step
from tidyllm.errors import BudgetExceeded, EditConflict, LeaseLost, TimeoutExceeded, ToolError, UnknownTool
from tidyllm.models import Response, Text


@tool(reads=True)
def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    return a + b


@tool
def shout(text: str) -> str:
    """Say it loud.

    Args:
        text: What to say.
    """
    return text.upper()


TOOLS = Toolset([add, shout])


async def called(
    tools: Toolset, name: str, arguments: dict[str, Any], **options: Any
) -> tuple[bool, str, str]:
    result = await tools.call(Call("c1", name, arguments), Context.new(**options))
    assert (result.id, result.name) == ("c1", name)
    return result.ok, result.text, result.error


async def test_a_call_gives_its_answer() -> None:
    assert await called(TOOLS, "add", {"a": 1, "b": 2}) == (True, "3", "")


def test_functions_and_toolsets_join() -> None:
    def plain(x: int) -> int:
        return x

    assert Toolset([TOOLS, plain]).names == ("add", "shout", "plain")


def test_a_name_that_is_there_already_is_refused() -> None:
    with pytest.raises(ToolError, match="two tools are called 'add'"):
        Toolset([TOOLS, add])
    assert Toolset([TOOLS, add.with_(name="plus")]).names == ("add", "shout", "plus")


def test_only_keeps_the_order_asked_for_and_refuses_unknown_names() -> None:
    assert TOOLS.only("shout", "add").names == ("shout", "add")
    with pytest.raises(UnknownTool, match="'adds'"):
        TOOLS.only("adds")


async def test_an_unknown_name_is_never_guessed() -> None:
    ok, text, error = await called(TOOLS, "addd", {"a": 1})
    assert (ok, error) == (False, "UnknownTool")
    assert (
        text
        == "There is no tool 'addd'. The tools are: add, shout. Did you mean 'add'? Then call it by that name."
    )


async def test_arguments_that_do_not_fit_are_answered_with_the_reason() -> None:
    ok, text, error = await called(TOOLS, "add", {"b": 1})
    assert (ok, error) == (False, "BadToolCall")
    assert "missing required field `a`" in text


async def test_a_failing_tool_is_answered_with_the_reason_and_no_secret() -> None:
    @tool
    def fetch() -> str:
        raise OSError("http://me:password@host said Bearer abcdefghij and sk-1234567890")

    ok, text, error = await called(Toolset([fetch]), "fetch", {})
    assert (ok, error) == (False, "ToolError")
    assert text == "OSError: http://***@host said Bearer *** and ***"


def test_values_of_the_environment_that_are_named_like_secrets_are_hidden() -> None:
    code = "from tidyllm.agents.wording import hide_secrets as h; print(h('a very-secret-value, a common value'))"
    given = {**os.environ, "SOME_API_KEY": "very-secret-value", "OTHER": "a common value"}
    ran = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "a ***, a common value"


async def test_errors_of_ours_keep_their_name() -> None:
    @tool
    def edit() -> str:
        raise EditConflict("it is not there")

    assert await called(Toolset([edit]), "edit", {}) == (
        False,
        f"EditConflict: {EditConflict('it is not there')}",
        "EditConflict",
    )


def _spent() -> BudgetExceeded:
    return BudgetExceeded("b", what="w", asked_usd="1", limit_usd="1", spent_usd="1", reserved_usd="0")


@pytest.mark.parametrize("error", [_spent(), LeaseLost("gone"), asyncio.CancelledError()])
async def test_what_ends_the_run_is_raised(error: BaseException) -> None:
    @tool
    def work() -> str:
        raise error

    with pytest.raises(type(error)):
        await called(Toolset([work]), "work", {})


async def test_the_deadline_of_the_run_is_raised_and_a_clock_of_the_tool_is_not() -> None:
    @tool
    async def wait(ctx: Context, inner: float = 60) -> str:
        await asyncio.Event().wait()
        return str(inner)

    with pytest.raises(TimeoutExceeded):
        await called(Toolset([wait]), "wait", {}, deadline=0.02)

    @tool
    def slow() -> str:
        raise TimeoutExceeded("total", 3, what="the tool")

    assert (await called(Toolset([slow]), "slow", {}))[2] == "TimeoutExceeded"


async def test_a_denied_tool_is_neither_offered_nor_run() -> None:
    tools = TOOLS.with_policy("deny", "shout")
    assert [one.name for one in tools.request_tools()] == ["add"]
    assert "shout" not in tools.prompt()
    assert (await called(tools, "shout", {"text": "a"}))[2] == "ToolDenied"


@pytest.mark.parametrize(
    ("answer", "ok"), [("yes", True), (" Y ", True), ("no", False), ("", False), ("maybe", False)]
)
async def test_a_tool_that_asks_runs_when_the_answer_is_yes(answer: str, ok: bool) -> None:
    asked: list[tuple[str, str]] = []

    async def person(question: str, ctx: Context) -> str:
        asked.append((question, ctx.where))
        return answer

    said = await called(TOOLS.with_policy("ask"), "shout", {"text": "a"}, asker=person)
    assert said[0] is ok
    assert asked == [('May shout be called with {"text":"a"}? (yes/no)', "approve-shout-c1/ask")]


async def test_a_tool_that_asks_is_denied_where_nobody_is_there() -> None:
    ok, text, error = await called(TOOLS.with_policy("ask"), "add", {"a": 1})
    assert (ok, error) == (False, "ToolDenied")
    assert "nobody is there" in text


async def test_approve_decides_and_sees_only_calls_that_can_be_made() -> None:
    seen: list[Call] = []

    async def approve(call: Call, chosen: AgentTool) -> bool:
        seen.append(call)
        return chosen.reads

    tools = TOOLS.with_policy("ask").approving(approve)
    assert (await called(tools, "add", {"a": 1}))[0]
    assert not (await called(tools, "shout", {"text": "a"}))[0]
    assert (await called(tools, "add", {"x": 1}))[2] == "BadToolCall"
    assert [one.name for one in seen] == ["add", "shout"]


async def test_a_call_is_one_record_at_its_own_place() -> None:
    places: list[str] = []

    def caller(step: Step[Any, Any], x: Any, child: Context) -> Any:
        places.append(f"{child.where} {x}")
        return child.record(step, x)

    ctx = Context.new(caller=caller)
    results = await asyncio.gather(
        *(TOOLS.call(Call(f"c{n}", "add", {"a": n}), ctx) for n in range(3)),
        TOOLS.call(Call("x#2", "add", {"a": 9}), ctx),
    )
    assert [one.text for one in results] == ["0", "1", "2", "9"]
    assert places == ["add-c0 {'a': 0}", "add-c1 {'a': 1}", "add-c2 {'a': 2}", "add-x-2 {'a': 9}"]


def test_the_prompt_documents_the_format_that_is_read() -> None:
    prompt = TOOLS.prompt()
    assert "## shout\nSay it loud.\nArguments: " in prompt
    assert Toolset([]).prompt() == ""
    written = rendered_call("add", {"a": 1})
    shown = prompt[prompt.index("<tool_call>") : prompt.index("</tool_call>") + len("</tool_call>")]
    for text in (written, shown):
        parsed = calls_of(Response(content=(Text(text=text),)), TOOLS)
        assert [(one.name, one.arguments) for one in parsed.calls] == [("add", {"a": 1})]


def test_request_tools_carry_name_description_and_schema() -> None:
    first, second = TOOLS.request_tools()
    assert (first.name, first.description, first.parameters) == ("add", "Add two numbers.", add.schema)
    assert second.name == "shout"
