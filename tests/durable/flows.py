"""Flows of workers that are processes of their own: `tidyllm worker tests.durable.flows:slow`."""

from __future__ import annotations

import os

from tidyllm import clock
from tidyllm.core import Context, step
from tidyllm.durable import workflow


@step
async def note(x: int, ctx: Context) -> int:
    path = os.environ["FLOWS_LOG"]
    handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(handle, f"{ctx.tags['run']} {x} {os.getpid()}\n".encode())
    os.close(handle)
    await clock.sleep(0.05)
    return x + 1


@workflow
async def slow(x: int, ctx: Context) -> int:
    """Ten steps, each of which is noted outside."""
    for _ in range(10):
        x = await ctx.call(note, x)
    return x
