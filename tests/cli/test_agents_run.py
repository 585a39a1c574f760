"""`tidyllm agents run` from outside: real processes, a scripted model behind a socket, real test suites."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from pathlib import Path

import msgspec
import pytest

from tests.agents.programs import player_for
from tests.agents.test_programs import repaired
from tests.cli.agents_playing import Ground, bytes_of, events
from tidyllm.models import Request
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing.behaviours.heard import conversation
from tidyllm.testing.behaviours.offer import offer
from tidyllm.testing.behaviours.roles import is_asked_for_data, role_answer


async def test_a_program_is_repaired_and_undone_to_the_byte(tmp_path: Path) -> None:
    async with ModelServer(player_for("cart", "right")) as server:
        ground = Ground.of(tmp_path, "cart", server)
        before = bytes_of(ground.project)
        ended = await ground.run("--json")
        assert (ended.status, ended.err.count("Traceback")) == (0, 0), ended.err
        told = events(ended.out)
        assert {"phase_changed", "task_changed", "tool_finished", "decided", "checked"} <= {
            one["event"] for one in told
        }
        result = told[-1]
        assert (result["event"], result["stop"], result["checked"], result["exit_code"]) == (
            "result",
            "finished",
            True,
            0,
        )
        assert result["changes"] == ["cart.py"]
        assert result["tokens"] > 0
        assert repaired(ground.project, "cart")
        undone = await ground.tidyllm(*result["undo"].split()[1:])
        assert (undone.status, "restored cart.py" in undone.out) == (0, True)
        assert bytes_of(ground.project) == before


async def test_after_a_crash_the_same_command_goes_on_and_asks_for_nothing_twice(tmp_path: Path) -> None:
    async with ModelServer(player_for("roman", "slow")) as server:
        ground = Ground.of(tmp_path, "roman", server)
        first = await ground.begin()
        await ground.asked(6)
        first.kill()
        await first.communicate()
        second = await ground.begin()
        await ground.asked(12)
        second.send_signal(signal.SIGINT)
        out, _ = await second.communicate()
        assert (second.returncode, b"The same command goes on with run project-" in out) == (130, True), out
        ended = await ground.run()
        assert (ended.status, ended.err) == (0, ""), ended.out + ended.err
        assert ended.out.startswith("goes on with run project-")
        assert " calls recorded" in ended.out.splitlines()[0]
        assert repaired(ground.project, "roman")
        questions = [msgspec.json.encode(asked.body, order="sorted") for asked in server.requests]
        assert len(questions) - len(set(questions)) <= 2  # what was in flight, each time


@pytest.mark.proof
async def test_a_model_that_gets_nowhere_ends_with_the_reason(tmp_path: Path) -> None:
    async with ModelServer(player_for("cart", "looping")) as server:
        ground = Ground.of(tmp_path, "cart", server)
        before = bytes_of(ground.project)
        ended = await ground.run("--json", "--max-turns", "60")
        assert (ended.status, ended.traceback) == (1, False)
        assert events(ended.out)[-1]["stop"] == "repeated"
        assert bytes_of(ground.project) == before


def taking_notes(request: Request) -> Reply:
    """A model that writes one file and is content."""
    tools = offer(request)
    writes = tools.name("write")
    if is_asked_for_data(request) or not writes or any(one.kind == "call" for one in conversation(request)):
        return role_answer(request)
    return tools.calling(writes, {"path": "NOTES.md", "text": "All is well."})


async def test_without_a_check_nobody_knows_and_the_status_is_3(tmp_path: Path) -> None:
    async with ModelServer(taking_notes) as server:
        ended = await Ground.of(tmp_path, "cart", server).run("--traditional", checked=False)
    assert ended.status == 3, ended.out + ended.err
    assert "there was no check" in ended.out
    assert "will be removed" in ended.out
    assert "changed: NOTES.md" in ended.out


async def test_one_team_at_a_time_and_no_other_options_in_the_middle(tmp_path: Path) -> None:
    async with ModelServer(player_for("cart", "stalling")) as server:
        ground = Ground.of(tmp_path, "cart", server)
        first = await ground.begin()
        await ground.asked(1)
        beside = await ground.run("--new")
        assert (beside.status, "is used by process" in beside.err) == (1, True)
        first.kill()
        await first.communicate()
        ended = await ground.run("--max-turns", "7")
        assert (ended.status, "--max-turns" in ended.err, "--new" in ended.err) == (2, True, True)


async def test_what_was_undone_is_not_gone_on_with(tmp_path: Path) -> None:
    async with ModelServer(player_for("cart", "stalling")) as server:
        ground = Ground.of(tmp_path, "cart", server)
        first = await ground.begin()
        await ground.asked(1)
        first.kill()
        await first.communicate()
        [_, line] = (await ground.tidyllm("agents", "list")).out.splitlines()
        assert (await ground.tidyllm("agents", "undo", line.split()[0])).status == 0
        with sqlite3.connect(tmp_path / "data" / "tidyllm" / "runs.db") as runs:
            assert runs.execute("SELECT status FROM workflow_status").fetchall() == [("CANCELLED",)]
        assert "undone" in (await ground.tidyllm("agents", "list")).out


async def test_what_cannot_be_done_is_said_before_anything_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "tidyllm.yaml").write_text(
        "providers: {main: {kind: openai, base_url: 'http://127.0.0.1:9/v1', api_key: 'file:key'}}\n"
        "models: {fast: {route: [main/any]}}\n"
    )
    (tmp_path / "key").write_text("k" * 20)
    async with ModelServer("never asked") as server:
        ground = Ground.of(tmp_path, "cart", server)
        line = ("agents", "run", "--goal", "g", "--project")
        there = (*line, str(ground.project))
        cases = {
            (*line, str(tmp_path / "none")): "there is no folder",
            (*line, str(tmp_path / "file")): "is a file",
            (*there, "--model", "nosuch"): "there is no model 'nosuch'",
            (*there, "--model", "fast", "--max-usd", "1"): "--max-usd none",
            (*there, "--model", "fast", "--max-usd", "many"): "no amount of dollars",
            (*there, "--check", "curl x | sh"): "cannot be the check",
            (*there, "--yes", "--ask"): "cannot both hold",
            (*there, "--state", str(tmp_path / "file")): "no state of a project",
            ("agents", "undo", "nobody"): "there is no run",
        }
        found = await asyncio.gather(*(ground.tidyllm(*arguments) for arguments in cases))
        for (arguments, words), ended in zip(cases.items(), found, strict=True):
            assert ended.status == (1 if arguments[1] == "undo" else 2), (arguments, ended)
            assert words in ended.err, (arguments, ended.err)
            assert not ended.traceback
        assert server.requests == []


async def test_a_prompt_is_printed_and_fitted(tmp_path: Path) -> None:
    async with ModelServer("never asked") as server:
        ground = Ground.of(tmp_path, "cart", server)
        whole, short, wrong = await asyncio.gather(
            ground.tidyllm("agents", "prompt", "debugging", "--kind", "coding"),
            ground.tidyllm("agents", "prompt", "debugging", "--kind", "coding", "--tokens", "200"),
            ground.tidyllm("agents", "prompt", "sleeping"),
        )
    assert (whole.status, short.status, wrong.status) == (0, 0, 2)
    assert len(short.out) < len(whole.out)
    assert "left out:" in short.err
    assert "there are: planning" in wrong.err


def emptying(request: Request) -> Reply:
    """A model that empties a file, and is content."""
    tools = offer(request)
    if is_asked_for_data(request) or not tools.name("write"):
        return role_answer(request)
    if any(one.kind == "call" for one in conversation(request)):
        return role_answer(request)
    return tools.calling("write_file", {"path": "cart.py", "text": "mine = 1\n"})


async def test_a_run_that_brings_nothing_is_put_back_and_what_was_written_is_kept(tmp_path: Path) -> None:
    async with ModelServer(emptying) as server:
        ground = Ground.of(tmp_path, "cart", server)
        before = bytes_of(ground.project)
        ended = await ground.run("--json")
        assert ended.status == 1, ended.out + ended.err
        result = events(ended.out)[-1]
        assert (result["put_back"], result["changes"]) == (["cart.py"], [])
        assert bytes_of(ground.project) == before
        [left] = (tmp_path / "data" / "tidyllm" / "agents").glob("*.left/cart.py")
        assert left.read_text() == "mine = 1\n"


@pytest.mark.proof
async def test_with_keep_the_tree_stays_as_a_failed_run_left_it(tmp_path: Path) -> None:
    async with ModelServer(emptying) as server:
        ground = Ground.of(tmp_path, "cart", server)
        kept = await ground.run("--keep")
    assert (kept.status, "changed: cart.py" in kept.out) == (1, True)
    assert (ground.project / "cart.py").read_text() == "mine = 1\n"
