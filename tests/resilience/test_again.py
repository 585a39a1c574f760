"""Steps that run once more within one call: where they do, and that they leave the place as it was."""

from __future__ import annotations

from contextlib import aclosing

from tests.resilience.doubles import Script
from tidyllm.core import Context
from tidyllm.resilience.again import run_again, stream_again


async def test_each_further_run_has_a_numbered_place_that_is_free_again_afterwards() -> None:
    script, ctx = Script("answer", name="again"), Context.new(hooks=())
    await run_again(ctx, script, "x", "again")
    async with aclosing(stream_again(ctx, script, "x", "again")) as pieces:
        assert [piece async for piece in pieces] == ["answer"]
    await ctx.call(script, "x")  # refused while another call of that name runs
    assert [at.path for at in script.contexts] == [("again",), ("again#2",), ("again#3",)]


async def test_it_is_no_call_of_its_own() -> None:
    """What happens there belongs to the record of the call around it."""
    script, ctx = Script("answer"), Context.new(hooks=())
    await run_again(ctx, script, "x", "retry")
    [at] = script.contexts
    assert (at.span_id, at.scope) == (ctx.span_id, ctx.scope)
