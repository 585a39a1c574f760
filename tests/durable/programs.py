"""Programs that are killed: each step says in a log of its own what it did: nobody need believe the database."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from secrets import token_hex

import msgspec

from tidyllm import clock
from tidyllm.core import Context, Parallel, Sequence, step
from tidyllm.durable import workflow
from tidyllm.resilience import Retry

_log = -1


def log_to(path: str) -> None:
    """From now on, what steps do is written there, a line at once: a kill cannot tear it."""
    global _log  # noqa: PLW0603 - one a process
    _log = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)


def say(what: str, path: str, ctx: Context, more: str = "") -> None:
    if _log >= 0:
        os.write(_log, f"{ctx.tags.get('run', '?')} {what} {path} {more}\n".encode())


class Mark(msgspec.Struct, frozen=True):
    """What a step gives: where it was made, and a number that no other execution has."""

    path: str
    token: str
    of: str


async def work(of: str, ctx: Context) -> Mark:
    # A further attempt of a retry has a place of its own below the call's.
    path = "/".join(ctx.path[: ctx.path.index("flaky") + 1] if "flaky" in ctx.path else ctx.path)
    say("begin", path, ctx)
    await clock.sleep(random.random() * 0.008)
    mark = Mark(path, token_hex(6), of)
    say("end", path, ctx, mark.token)
    return mark


think = step(name="think")(work)
tool = step(name="tool")(work)


@step
async def flaky(of: str, ctx: Context) -> Mark:
    if random.random() < 0.4:
        raise ConnectionError("not this time")
    return await work(of, ctx)


@step
async def words(of: str, ctx: Context) -> AsyncIterator[str]:
    say("begin", "mixed/words", ctx)
    token = token_hex(6)
    for part in (token[:4], token[4:8], token[8:]):
        await clock.sleep(0.0005)
        yield part
    say("end", "mixed/words", ctx, token)


@step
async def always(of: str, ctx: Context) -> Mark:
    say("begin", "mixed/always", ctx)
    raise ValueError("/".join(ctx.path))


def seen(mark: Mark, path: str, ctx: Context) -> str:
    """The body has this answer in hand: from now on it may never be made again, nor be another one."""
    assert mark.path == path, f"{path} was given the answer of {mark.path}"
    say("seen", path, ctx, mark.token)
    return mark.of


@workflow(name="agent")
async def agent(of: str, ctx: Context) -> list[str]:
    """Two of these run side by side, and call the same steps."""
    at = "/".join(ctx.path)
    done: list[str] = []
    for turn in range(1, 4):
        number = "" if turn == 1 else f"#{turn}"
        done.append(seen(await ctx.call(think, f"{of}-{turn}"), f"{at}/think{number}", ctx))
        both = Parallel(a=tool, b=tool, name="tools")
        for name, mark in (await ctx.call(both, f"{of}-{turn}")).items():
            done.append(seen(mark, f"{at}/tools{number}/{name}", ctx))
    return done


@workflow(name="mixed")
async def mixed(of: str, ctx: Context) -> list[str]:
    """A sequence, parallel agents as sub-runs, retries, a stream, a failure."""
    first = await ctx.call(Sequence(think, _name_of, name="s"), of)
    done = [first]
    team = Parallel(left=agent, right=agent, name="team")
    for answers in (await ctx.call(team, first)).values():
        done += answers
    again = Retry(flaky, attempts=50, base=0.0001, cap=0.0005)
    done.append(seen(await ctx.call(again, "flaky"), "mixed/flaky", ctx))
    async with aclosing(ctx.stream(words, "w")) as pieces:
        token = "".join([piece async for piece in pieces])
    seen(Mark("mixed/words", token, ""), "mixed/words", ctx)
    try:
        await ctx.call(always, "x")
    except ValueError as error:
        done.append(str(error))
    return done


@step(name="name")
async def _name_of(mark: Mark) -> str:
    return mark.of


EXPECTED: list[str] = [
    "go",
    *(of for _ in ("left", "right") for turn in ("go-1", "go-2", "go-3") for of in (turn, turn, turn)),
    "flaky",
    "mixed/always",
]
