"""A tool call that was in flight at a crash: what the model hears of it."""

from __future__ import annotations

import pytest

from tidyllm.agents import Call, Toolset, tool
from tidyllm.core import Context
from tidyllm.errors import RunInDoubt


@tool(in_doubt="ask")
def deploy() -> str:
    """Deploy."""
    raise RunInDoubt("it was in flight.", step="deploy")


@tool(in_doubt="fail")
def pay() -> str:
    """Pay."""
    raise RunInDoubt("it was in flight.", step="pay")


async def test_the_model_hears_that_nobody_knows_and_a_tool_may_forbid_to_go_on() -> None:
    tools = Toolset([deploy, pay])
    said = await tools.call(Call("1", "deploy", {}), Context.new())
    assert (said.ok, said.error, "nobody can say how far it got" in said.text) == (False, "RunInDoubt", True)
    with pytest.raises(RunInDoubt):
        await tools.call(Call("2", "pay", {}), Context.new())
