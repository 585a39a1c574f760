"""The command line from outside: what it prints, its exit status, and that nothing ever shows a traceback."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.command import COMMAND, Ended, environment, run, start
from tests.models.raw_server import Connection, Handler, Server, answer, serve
from tests.models.upstreams import CHAT_STREAM, chat_chunk, frames, json_body, play, stream_head

GOOD = """
providers:
  main: {kind: offline}
  paid: {kind: openai, api_key: "env:TIDY_TEST_KEY"}
models:
  fast: {route: [main/echo, paid/gpt-5-mini], retry: {attempts: 2}}
  "any/*": {route: ["main/*"], deadline: null}
"""


def folder(path: Path, text: str = GOOD, name: str = "tidyllm.yaml") -> Path:
    (path / name).write_text(text)
    return path


# -- help and usage


async def test_help_tells_every_command(tmp_path: Path) -> None:
    for arguments in (("--help",), ("-h",)):
        ended = await run(tmp_path, *arguments)
        assert ended.status == 0
        assert all(word in ended.out for word in ("serve", "ask", "models", "check", "The production layer"))
    for command in ("serve", "ask", "models", "check"):
        ended = await run(tmp_path, command, "--help")
        assert ended.status == 0
        assert "Usage: tidyllm" in ended.out.replace("python -m tidyllm", "tidyllm")


async def test_help_loads_neither_models_nor_network(tmp_path: Path) -> None:
    script = "import sys, tidyllm.cli.app as a\ntry: a.main()\nexcept SystemExit: pass\nprint(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        COMMAND[0], "-c", script, "--help", cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    loaded = set(out.decode().split())
    heavy = {
        "aiohttp",
        "asyncio",
        "yaml",
        "tidyllm.config",
        "tidyllm.models",
        "tidyllm.core",
        "uvicorn",
        "msgspec",
    }
    assert not loaded & heavy


async def test_version(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--version")
    assert (ended.status, ended.out.startswith("tidyllm 0.")) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("check", "--oops"),
        ("ask",),
        ("ask", "a", "b"),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
        ("models", "--catalogue"),
    ],
)
async def test_wrong_usage_is_status_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = await run(tmp_path, *arguments)
    assert ended.status == 2
    assert not ended.traceback
    assert "Usage:" in ended.err + ended.out


# -- check


async def test_check_says_what_is_fine(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path), "check", TIDY_TEST_KEY="k")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "tidyllm.yaml is fine: 2 providers, 2 models.",
        "  fast: main/echo → paid/gpt-5-mini; 2 attempts each, 600 s in all",
        "  any/*: main/*; 3 attempts each, no deadline",
    ]


async def test_check_needs_no_secret_but_warns(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path), "check", "tidyllm.yaml")
    assert ended.status == 0
    warning = "tidyllm.yaml:4: providers.paid.api_key: environment variable TIDY_TEST_KEY is not set here. (warning)"
    assert ended.err.splitlines() == [warning]


async def test_check_tells_every_problem(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path, "modles: {}\nserver: {prot: 1}\n", "x.yaml"), "check", "x.yaml")
    assert ended.status == 2
    assert ended.out == ""
    assert ended.err.splitlines() == [
        "x.yaml:1: modles: unknown key. Did you mean 'models'?",
        "x.yaml:2: server.prot: unknown key. Did you mean 'port'?",
        "tidyllm: 2 problems in x.yaml",
    ]


async def test_check_with_an_overlay(tmp_path: Path) -> None:
    folder(tmp_path)
    folder(tmp_path, "server: {prot: 1}", "tidyllm.staging.yaml")
    ended = await run(tmp_path, "check", "--env", "staging")
    assert ended.status == 2
    assert ended.err.startswith("tidyllm.staging.yaml:1: server.prot")


@pytest.mark.parametrize(
    "command", [("check",), ("models", "--config"), ("ask", "Hi", "--config"), ("serve", "--config")]
)
async def test_a_file_that_is_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\x7fELF\xff\x00")
    (tmp_path / "broken.yaml").write_text("a: [")
    expected = {
        "missing.yaml": "there is no file missing.yaml.",
        ".": "Is a directory",
        "binary.yaml": "not text in UTF-8",
        "broken.yaml": "not YAML",
        "/dev/zero": "more than 524,288 bytes",
    }
    for said, ended in zip(
        expected.values(),
        await asyncio.gather(*(run(tmp_path, *command, name) for name in expected)),
        strict=True,
    ):
        assert ended.status == 2, ended
        assert said in ended.err
        assert not ended.traceback


# -- models


async def test_models_shows_routes_without_any_secret(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path), "models")
    assert (ended.status, ended.err) == (0, "")
    lines = [line.split() for line in ended.out.splitlines()]
    assert lines[0] == ["model", "target", "window", "$/M", "in", "$/M", "out"]
    assert lines[1] == ["fast", "main/echo", "?", "0", "0"]
    assert lines[2][0] == "paid/gpt-5-mini"
    assert lines[3] == ["any/*", "main/*", "?", "?", "?"]


async def test_models_as_json(tmp_path: Path) -> None:
    rows = msgspec.json.decode((await run(folder(tmp_path), "models", "--json")).out)
    assert [row["model"] for row in rows] == ["fast", "fast", "any/*"]
    assert rows[0]["input_usd_per_million"] == "0"
    assert rows[2]["input_usd_per_million"] is None


async def test_models_without_a_file_shows_the_environment(tmp_path: Path) -> None:
    assert "offline/simulated" in (await run(tmp_path, "models")).out
    assert "groq/*" in (await run(tmp_path, "models", GROQ_API_KEY="k")).out


async def test_no_models_is_said(tmp_path: Path) -> None:
    assert (await run(folder(tmp_path, ""), "models")).out == "No models are configured.\n"


async def test_the_catalogue_is_whole_in_a_pipe(tmp_path: Path) -> None:
    ended = await run(tmp_path, "models", "--catalog", COLUMNS="40")
    assert "…" not in ended.out
    assert any(line.startswith("openai/gpt-5-mini ") for line in ended.out.splitlines())
    rows = msgspec.json.decode((await run(tmp_path, "models", "--catalog", "--json")).out)
    assert len(rows) == len(ended.out.splitlines()) - 1
    assert all(row["as_of"] for row in rows)


@pytest.mark.parametrize("arguments", [("models", "--catalog"), ("ask", "Hi", "-m", "offline/slow")])
async def test_a_reader_who_leaves_early_ends_it_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, cwd=tmp_path, env=environment(), stdout=theirs, stderr=asyncio.subprocess.PIPE
    )
    os.close(theirs)
    assert await asyncio.to_thread(os.read, ours, 1)
    os.close(ours)
    _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err


# -- ask


async def test_ask_streams_the_answer_and_ends_with_tokens_and_cost(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path), "ask", "Hello there", TIDY_TEST_KEY="k")
    assert (ended.status, ended.out) == (0, "Hello there\n")
    assert ended.err.startswith("main/echo · 3 tokens in, 3 out · $0 · ")


async def test_ask_a_route_a_pattern_and_a_kind(tmp_path: Path) -> None:
    for model, out in (("any/echo", "Hi\n"), ("offline/echo", "Hi\n")):
        ended = await run(folder(tmp_path), "ask", "Hi", "-m", model, TIDY_TEST_KEY="k")
        assert (ended.status, ended.out) == (0, out)


async def test_ask_without_any_configuration(tmp_path: Path) -> None:
    ended = await run(tmp_path, "ask", "Hi")
    assert ended.status == 0
    assert "simulated answer" in ended.out
    assert (await run(tmp_path, "ask", "Hi", "--model", "offline/echo")).out == "Hi\n"


async def test_ask_goes_where_the_environment_says(tmp_path: Path) -> None:
    async with serve(play(stream_head() + frames(*CHAT_STREAM))) as server:
        url = f"http://127.0.0.1:{server.port}/v1"
        for name in ("openai/gpt-5-mini", "gpt-5-mini"):
            ask = ("ask", "Hi", "-m", name)
            ended = await run(tmp_path, *ask, OPENAI_BASE_URL=url, OPENAI_API_KEY="sk-none")
            assert ended.status == 0, ended.err
        assert [one.headers["authorization"] for one in server.requests] == ["Bearer sk-none"] * 2


async def test_ask_reads_the_question_from_standard_input(tmp_path: Path) -> None:
    ended = await run(
        tmp_path, "ask", "-", "-m", "offline/echo", "--system", "Be brief", input="größer\n".encode()
    )
    assert (ended.status, ended.out) == (0, "größer\n\n")


async def test_ask_shows_calls_and_how_it_ended(tmp_path: Path) -> None:
    stream = (chat_chunk("Hi"), chat_chunk(finish="length"), b"data: [DONE]\n\n")
    async with serve(play(stream_head() + frames(*stream))) as server:
        ended = await run(to(tmp_path, server), "ask", "Hi")
    assert ended.out == "Hi\n"
    assert ended.err.rstrip().endswith("s · ended by length")
    assert "tokens unknown · cost unknown" in ended.err


def to(path: Path, server: Server) -> Path:
    provider = f'{{kind: openai, base_url: "http://127.0.0.1:{server.port}/v1", api_key: sk-test}}'
    return folder(
        path, f"providers: {{up: {provider}}}\nmodels: {{m: {{route: [up/m], retry: {{attempts: 1}}}}}}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "env", "status", "said"),
    [
        (("ask", ""), {}, 2, "the question is empty"),
        (("ask", "-"), {}, 2, "the question is empty"),
        (("ask", b"\xff\xfe"), {}, 2, "not text in UTF-8"),
        (("ask", "Hi", "-m", "openai/gpt-5-mini"), {}, 2, "Set the OPENAI_API_KEY environment variable"),
        (("ask", "Hi", "-m", "openai/"), {"OPENAI_API_KEY": "k"}, 2, "does not say which model"),
        (("ask", "Hi"), {"OPENAI_API_KEY": "k"}, 2, "say which model to ask; here are"),
        (("ask", "Hi", "-m", "nonsense"), {"OPENAI_API_KEY": "k"}, 1, "there is no model 'nonsense' here."),
        (("ask", "Hi", "-m", "opnai/gpt-5"), {}, 2, "Did you mean 'openai'?"),
        (("ask", "Hi", "-m", "offline/fail"), {}, 1, "simulated failure"),
        (("ask", "Hi", "-m", "offline/garbage"), {}, 1, "garbage"),
        (("ask", "Hi", "-m", "offline/unreachable"), {}, 1, "the connection was refused"),
        (("ask", "Hi", "--env", "x"), {}, 2, "--env x needs a tidyllm.yaml to lie over"),
    ],
)  # fmt: skip
async def test_what_goes_wrong_is_said_in_a_line(
    tmp_path: Path, arguments: tuple[str | bytes, ...], env: dict[str, Any], status: int, said: str
) -> None:
    ended = await run(tmp_path, *arguments, **env)
    assert ended.status == status, ended
    assert said in ended.err
    assert ended.err.startswith("tidyllm: ")
    assert not ended.traceback


async def test_a_broken_configuration_is_not_passed_over(tmp_path: Path) -> None:
    ended = await run(folder(tmp_path, "modles: {}"), "ask", "Hi", "-m", "offline/echo")
    assert (ended.status, ended.out) == (2, "")


async def test_question_that_is_no_text_from_standard_input(tmp_path: Path) -> None:
    ended = await run(tmp_path, "ask", "-", input=b"\xff\xfe")
    assert ended.status == 2
    assert "not text in UTF-8" in ended.err


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (answer(b"<html>\x1b[31mno\x1b[0m</html>", status="502 Bad Gateway"), "no"),
        (json_body({"error": {"message": "bad key"}}, status="401 Unauthorized"), "bad key"),
        (answer(b"hello"), "hello"),
    ],
)
async def test_a_provider_that_fails(tmp_path: Path, raw: bytes, said: str) -> None:
    async with serve(play(raw)) as server:
        ended = await run(to(tmp_path, server), "ask", "Hi")
    assert ended.status == 1
    assert said in ended.err
    assert "\x1b" not in ended.err
    assert not ended.traceback


async def test_a_provider_that_is_not_there(tmp_path: Path) -> None:
    async with serve(play(b"")) as server:
        pass
    ended = await run(to(tmp_path, server), "ask", "Hi")
    assert ended.status == 1
    assert "up/m: cannot connect to 127.0.0.1" in ended.err


async def test_a_stream_that_is_cut(tmp_path: Path) -> None:
    async with serve(play(stream_head() + frames(*CHAT_STREAM[:2], end=False))) as server:
        ended = await run(to(tmp_path, server), "ask", "Hi")
    assert (ended.status, ended.out) == (1, "Hello.\n")
    assert "tokens unknown" in ended.err
    assert "the stream broke" in ended.err
    assert not ended.traceback


async def _interrupted(path: Path, handler: Handler, ready: str) -> Ended:
    async with serve(handler) as server:
        process = await start(to(path, server), "ask", "Hi")
        assert process.stdout is not None
        if ready:
            assert await process.stdout.readexactly(len(ready)) == ready.encode()
        while not server.requests:
            await asyncio.sleep(0.01)
        try:
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
            while not server.left:
                await asyncio.sleep(0.01)
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.mark.parametrize("begun", [True, False])
async def test_an_interrupt_hangs_up_and_is_status_130(tmp_path: Path, begun: bool) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        if begun:
            await connection.write(stream_head() + frames(CHAT_STREAM[0], end=False))
        await connection.left()

    ended = await _interrupted(tmp_path, handler, "Hel" if begun else "")
    assert ended.status == 130
    assert ended.out == ("\n" if begun else "")
    assert not ended.traceback


OFFLINE = "providers: {main: {kind: offline}}\nmodels: {echo: {route: [main/echo]}}\n"


async def into(folder: Path, redirection: str, *arguments: str) -> Ended:
    """Run `tidyllm` with its output where a shell sends it."""
    command = shlex.join([*COMMAND, *arguments])
    process = await asyncio.create_subprocess_shell(
        f"{command} {redirection}",
        cwd=folder,
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [
        ("ask", "Hi", "-m", "offline/echo"),
        ("models",),
        ("models", "--catalog"),
        ("check",),
        ("--help",),
        ("--version",),
    ],
)
async def test_an_output_that_is_full_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = await into(folder(tmp_path, OFFLINE), "> /dev/full", *arguments)
    assert ended.status == 1
    assert ended.err == "tidyllm: writing failed: No space left on device.\n"


async def test_whoever_closes_the_output_wants_none(tmp_path: Path) -> None:
    ended = await into(folder(tmp_path, OFFLINE), ">&-", "ask", "Hi")
    assert (ended.status, ended.traceback) == (0, False)
    ended = await into(folder(tmp_path, OFFLINE), "<&-", "ask", "-")
    assert (ended.status, ended.traceback) == (2, False)


async def test_letters_that_the_terminal_lacks_are_shown_as_question_marks(tmp_path: Path) -> None:
    ended = await run(
        tmp_path,
        "ask",
        "grün",
        "-m",
        "offline/echo",
        PYTHONIOENCODING="ascii:strict",
        PYTHONUTF8="0",
        LC_ALL="C.UTF-8",
    )
    assert (ended.status, ended.out) == (0, "gr?n\n")


async def _at_a_terminal(path: Path, *arguments: str) -> str:
    terminal, theirs = os.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, cwd=path, env=environment(COLUMNS="30"), stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        assert await process.wait() == 0
        return os.read(terminal, 100_000).decode()
    finally:
        os.close(terminal)


async def test_an_answer_cannot_command_the_terminal(tmp_path: Path) -> None:
    shown = await _at_a_terminal(tmp_path, "ask", "\x1b[31mred\x07 and\tplain", "-m", "offline/echo")
    assert shown.startswith("[31mred and\tplain\r\n")
    piped = await run(tmp_path, "ask", "\x1b[31mred", "-m", "offline/echo")
    assert piped.out == "\x1b[31mred\n", "a program in a pipe gets what the model wrote"


async def test_a_table_is_as_wide_as_the_terminal(tmp_path: Path) -> None:
    shown = await _at_a_terminal(folder(tmp_path), "models")
    assert max(map(len, shown.splitlines())) <= 30
    assert "…" not in shown


async def test_the_installed_command_is_the_same() -> None:
    command = Path(COMMAND[0]).with_name("tidyllm")
    process = await asyncio.create_subprocess_exec(
        command, "--version", env=environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.startswith(b"tidyllm ")
    assert os.access(command, os.X_OK)
