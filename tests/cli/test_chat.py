"""`tidyllm chat` from outside: through a pipe, and in a terminal."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.cli.command import run
from tests.cli.terminal import Terminal
from tidyllm.models import Request
from tidyllm.testing import ModelServer, Reply
from tidyllm.testing.behaviours import stalling


def parrot(request: Request) -> str:
    """It says how many messages it heard, and the last one."""
    return f"{len(request.turns)}: {request.turns[-1].text}"


def environment(folder: Path, server: ModelServer) -> dict[str, str]:
    return {"OLLAMA_HOST": server.url, "XDG_DATA_HOME": str(folder / "data")}


LINE = ("chat", "--model", "ollama/any")


async def test_a_chat_through_a_pipe_is_saved_for_its_owner_and_goes_on(tmp_path: Path) -> None:
    async with ModelServer(parrot) as server:
        env = environment(tmp_path, server)
        host, data = env["OLLAMA_HOST"], env["XDG_DATA_HOME"]
        first = await run(
            tmp_path, *LINE, input=b"one\ntwo\n/undo\nthree\n", OLLAMA_HOST=host, XDG_DATA_HOME=data
        )
        assert (first.status, first.out) == (0, "1: one\n3: two\n3: three\n")
        assert "tokens in" in first.err
        assert "in all" in first.err
        [saved] = (tmp_path / "data" / "tidyllm" / "chats").iterdir()
        assert (stat.S_IMODE(saved.stat().st_mode), stat.S_IMODE(saved.parent.stat().st_mode)) == (
            0o600,
            0o700,
        )
        again = await run(
            tmp_path, "chat", "--resume", saved.stem, input=b"four", OLLAMA_HOST=host, XDG_DATA_HOME=data
        )
        assert (again.status, again.out) == (0, "5: four\n")
        assert server.requests[-1].request.turns[0].text == "one"
        listed = await run(tmp_path, "chat", "--list", OLLAMA_HOST=host, XDG_DATA_HOME=data)
        assert saved.stem in listed.out
        assert "ollama/any" in listed.out


async def test_a_question_without_an_answer_is_taken_back_and_the_status_says_so(tmp_path: Path) -> None:
    def refusing(request: Request) -> Reply | str:
        return Reply(status=400) if request.turns[-1].text == "bad" else parrot(request)

    async with ModelServer(refusing) as server:
        env = environment(tmp_path, server)
        ended = await run(
            tmp_path,
            *LINE,
            input=b"bad\n/model nosuch/x\n/what\ngood\n",
            OLLAMA_HOST=env["OLLAMA_HOST"],
            XDG_DATA_HOME=env["XDG_DATA_HOME"],
        )
    assert (ended.status, ended.out, ended.traceback) == (1, "1: good\n", False)
    assert "nosuch" in ended.err
    assert "/what is no command" in ended.err


async def test_ctrl_c_stops_an_answer_and_not_the_chat(tmp_path: Path) -> None:
    async with ModelServer(stalling(1, then=lambda _: "A very long answer that never ends.")) as server:
        env = environment(tmp_path, server)
        terminal = Terminal(
            tmp_path, *LINE, OLLAMA_HOST=env["OLLAMA_HOST"], XDG_DATA_HOME=env["XDG_DATA_HOME"]
        )
        async with terminal:
            await terminal.until("> ")
            terminal.type("tell me")
            await terminal.until("A")
            terminal.press("c")
            await terminal.until("stopped")
            await terminal.until("> ")
            terminal.press("c")
            await terminal.until("Ctrl-D or /quit ends the chat")
            terminal.type("/model offline/echo")
            await terminal.until("The model is offline/echo")
            terminal.type("parrot")
            await terminal.until("\nparrot\n")
            terminal.press("d")
            assert await terminal.end() == 0
            await terminal.until("tidyllm chat --resume")


async def test_no_chat_of_that_name_is_said_in_one_line(tmp_path: Path) -> None:
    for name, words in (
        ("nosuch", "there is no chat"),
        ("../../etc", "is no id"),
        ("last", "no chat was saved"),
    ):
        ended = await run(tmp_path, "chat", "--resume", name, XDG_DATA_HOME=str(tmp_path))
        assert (ended.status, words in ended.err, ended.traceback) == (2, True, False)
