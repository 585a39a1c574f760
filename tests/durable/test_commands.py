"""`tidyllm runs` as its user sees it, and the copy of runs beside that of their store."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from tests.cli.command import run as command
from tests.durable.crash import Gate, crash_at
from tests.store.servers import databases, store_url
from tidyllm import clock
from tidyllm.core import Context, step
from tidyllm.durable import Runtime, workflow
from tidyllm.durable.acts import prune
from tidyllm.durable.blobs import keep
from tidyllm.durable.database import connect, prepare
from tidyllm.durable.place import runs_location
from tidyllm.durable.views import tree
from tidyllm.models import Response, Text, Usage
from tidyllm.store import Store
from tidyllm.store.backup import backup, restore, runs_copy


@step(name="model")
async def model(x: int) -> Response:
    return Response(
        content=(Text("hello"),), usage=Usage(input_tokens=10 * x, output_tokens=x), cost_usd=Decimal("0.25")
    )


@workflow
async def agent(x: int, ctx: Context) -> int:
    for n in (1, 2):
        await ctx.call(model, n)
    return x


@workflow
async def team(x: int, ctx: Context) -> int:
    await ctx.call(agent, x, "left")
    answer = await ctx.ask("Go on?")
    return len(answer)


async def filled(folder: Path) -> None:
    """A run that waits for an answer, one that is done, and one in doubt."""
    gate = Gate()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    @workflow
    async def stuck(x: int, ctx: Context) -> int:
        return await ctx.call(hold, x)

    async with Runtime(folder / "runs.db") as runtime:
        await (await runtime.start(agent, 1, id="done")).result()
        run = await runtime.start(team, 1, id="asks")
        while not await run.questions():
            pass
    await crash_at(gate, folder / "runs.db", stuck, 1, "stuck")


async def test_runs_are_listed_shown_answered_and_cancelled(tmp_path: Path) -> None:
    await filled(tmp_path)
    store = ("--store", "store.db")
    listed = await command(tmp_path, "runs", "list", *store)
    assert (listed.status, [line.split()[:3] for line in listed.out.splitlines()[1:]]) == (
        0,
        [["stuck", "stuck", "running"], ["asks", "team", "running"], ["done", "agent", "done"]],
    )
    shown = await command(tmp_path, "runs", "show", "asks", *store)
    assert shown.status == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert any(line.startswith("model#2 done") and line.endswith("22 0.250000") for line in lines)
    assert any(line.startswith("left done") for line in lines)
    assert lines[-1] == "in all 33 0.500000"
    assert "Go on?" in shown.out
    doubt = await command(tmp_path, "runs", "show", "stuck", *store)
    assert "In doubt: in flight when their process died.\n  stuck/hold\n" in doubt.out
    doctor = await command(tmp_path, "runs", "doctor", *store, "--json")
    assert doctor.status == 1
    found = {(one["id"], one["why"].partition(":")[0]) for one in json.loads(doctor.out)}
    assert found == {
        ("asks", "it asks at team/ask"),
        ("asks", "the process that ran it is dead"),
        ("stuck", "the process that ran it is dead"),
    }
    answered = await command(tmp_path, "runs", "approve", "asks", "--answer", "yes", *store)
    assert answered.out == "asks: answered team/ask.\n"
    cancelled = await command(tmp_path, "runs", "cancel", "stuck", *store)
    assert cancelled.out == "stuck is cancelled.\n"
    forked = await command(tmp_path, "runs", "fork", "asks", "--id", "branch", *store)
    assert forked.out == "branch is queued for a worker of its flow.\n"
    tailed = await command(tmp_path, "runs", "tail", "done", *store)
    assert tailed.out.splitlines()[-1] == "done"
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.resume("asks", team)).result() == 3
        await runtime.serve([team])
        branch = await runtime.get("branch")
        while not await branch.questions():
            pass
        await branch.approve(answer="no")
        assert await branch.result() == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "no run was ever started here"),
        (["show", "one"], "no run was ever started here"),
        (["prune", "--older-than", "soon"], "'soon' is no time"),
        (["doctor", "nothing"], "'nothing' is not MODULE:FLOW"),
        (["signal", "one", "name", "{"], "is no JSON"),
    ],
)
async def test_what_goes_wrong_is_said_without_a_traceback(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    ended = await command(tmp_path, "runs", *arguments, "--store", "store.db")
    assert (ended.status in (1, 2), ended.traceback) == (True, False)
    assert said in ended.err


async def test_a_file_that_is_no_database_is_said_to_be_none_though_runs_lie_beside_it(
    tmp_path: Path,
) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(agent, 1, id="done")).result()
    (tmp_path / "corrupt.db").write_bytes(b"no database at all" * 1_000)
    ended = await command(tmp_path, "runs", "list", "--store", "corrupt.db")
    assert (ended.status, ended.out, ended.traceback) == (2, "", False)
    assert "corrupt.db is no SQLite database" in ended.err


async def test_old_runs_are_pruned_after_a_look_at_what_would_go(tmp_path: Path) -> None:
    @step
    async def large(x: int) -> str:
        return "x" * 50_000

    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(large, 1, id="large")).result()
        await (await runtime.start(agent, 1, id="agent")).result()
    at = connect(runs_location(tmp_path / "runs.db"))
    at.run("UPDATE workflow_status SET completed_at = completed_at - 86400000")
    assert prune(at, 2 * 86_400).runs == 0
    look = prune(at, 3600, dry_run=True)
    assert (look.runs, look.steps) == (2, 2)
    at.run("UPDATE tidyllm_blobs SET created = created - 86400")
    gone = prune(at, 3600)
    assert (gone.runs, gone.steps, gone.blobs) == (2, 2, 1)
    for table in ("tidyllm_runs", "tidyllm_steps", "tidyllm_blobs", "workflow_status", "workflow_output"):
        assert at.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
    at.close()


@pytest.mark.parametrize("dialect", databases())
async def test_pruning_leaves_large_values_that_are_young_or_referred_to(
    tmp_path: Path, dialect: str
) -> None:
    """The outcome of a run that ends just now is written after the value that it refers to."""

    @step
    async def large(x: int) -> str:
        return str(x) * 50_000

    where = tmp_path / "runs.db" if dialect == "sqlite" else store_url(dialect, tmp_path)
    async with Runtime(where) as runtime:
        for n in (1, 2):
            await (await runtime.start(large, n, id=f"large{n}")).result()
        at = connect(runs_location(where))
        at.run("ALTER TABLE {s}tidyllm_blobs DROP COLUMN created")  # as an older program has made it
        prepare(at)
        keep(at, "young" * 5_000)
        past = "UPDATE {e}workflow_status SET completed_at = completed_at - 86400000 WHERE workflow_uuid = ?"
        at.run(past, ("large1",))
        assert prune(at, 3600).blobs == 1
        assert at.rows("SELECT count(*) FROM {s}tidyllm_blobs") == [(2,)]
        at.close()
        assert await (await runtime.start(large, 2, id="large2")).result() == "2" * 50_000


async def test_a_call_whose_question_is_open_or_answered_is_in_doubt_until_it_runs(tmp_path: Path) -> None:
    gate = Gate()

    @step(in_doubt="ask")
    async def pay(x: int) -> int:
        await gate.wait()
        return x

    @workflow
    async def order(x: int, ctx: Context) -> int:
        return await ctx.call(pay, x)

    await crash_at(gate, tmp_path / "runs.db", order, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(order, 1, id="one")
        while not await run.questions():
            await clock.sleep(0.01)
        for path in ("live", "dead"):
            at = connect(runs_location(tmp_path / "runs.db"))
            if path == "dead":
                await runtime.close()
            shown = tree(at, "one")
            assert (shown.steps[0].state, shown.in_doubt) == ("", ["order/pay"])
            assert [one.state for one in shown.steps[0].children] == ["in doubt"]
            at.close()


async def test_a_backup_of_the_store_takes_its_runs_along(tmp_path: Path) -> None:
    Store.open(tmp_path / "store.db").close()
    async with Runtime(tmp_path / "store.db") as runtime:
        await (await runtime.start(agent, 1, id="one")).result()
        backup(tmp_path / "copy.db", tmp_path / "store.db")
    assert runs_copy(tmp_path / "copy.db") == tmp_path / "copy.runs.db"
    (tmp_path / "new").mkdir()
    restore(tmp_path / "copy.db", tmp_path / "new" / "store.db")
    at = connect(runs_location(tmp_path / "new" / "store.db"))
    assert tree(at, "one").tokens == 33
    at.close()
    with sqlite3.connect(tmp_path / "copy.runs.db") as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
