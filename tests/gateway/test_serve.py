"""`tidyllm serve` as a real process: its words, its key, and what it does when it is signalled."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import (
    KEY,
    ONCE,
    Door,
    chunk,
    each_time,
    json_answer,
    open_request,
    parsed,
    raw_request,
    request_bytes,
    sse,
    until,
    upstream,
)
from tests.gateway.process import Serving, refused, serving, write_yaml
from tests.models.raw_server import Connection

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
ASK = msgspec.json.encode(CHAT)
STREAM = msgspec.json.encode({**CHAT, "model": "fast", "stream": True})
ANSWER = {"id": "c1", "choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}
OFFLINE: dict[str, Any] = {
    "providers": {"offline": {"kind": "offline"}},
    "models": {"sim": {"route": ["offline/simulated"]}},
}


async def statuses(door: Door, count: int = 10) -> list[int]:
    return [(await raw_request(door, ASK))[0] for _ in range(count)]


async def test_a_key_is_generated_into_a_file_for_its_owner_only_and_its_path_is_shown(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, OFFLINE, TIDYLLM_MASTER_KEY="") as server:
        file = Path(re.findall(r"key +in (\S+)", server.words)[0])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        key = file.read_text().strip()
        assert key not in server.words
        server.headers["authorization"] = f"Bearer {key}"
        assert (await raw_request(server, ASK))[0] == 200
    async with serving(tmp_path, OFFLINE, TIDYLLM_MASTER_KEY="") as again:
        again.headers = server.headers
        assert (await raw_request(again, ASK))[0] == 200


async def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    write_yaml(tmp_path, OFFLINE)
    file = tmp_path / "config" / "tidyllm" / "master.key"
    file.parent.mkdir(parents=True)
    file.write_text("tidy-abcdefghijklmnopqrstuvwxyz\n")
    file.chmod(0o644)
    status, said = await refused(tmp_path, "--port", "0")
    assert status == 2
    assert f"chmod 600 {file}" in said


async def test_a_given_key_opens_and_no_file_is_made(tmp_path: Path) -> None:
    async with serving(tmp_path, OFFLINE) as server:
        assert "as given" in server.words
        assert KEY not in server.words
        assert (await raw_request(server, ASK))[0] == 200
        assert not (tmp_path / "config").exists()


@pytest.mark.parametrize("key", ["short", "with some spaces in it", "schlüssel-schlüssel"])
async def test_a_weak_key_is_refused(tmp_path: Path, key: str) -> None:
    write_yaml(tmp_path, OFFLINE)
    status, said = await refused(tmp_path, "--port", "0", TIDYLLM_MASTER_KEY=key)
    assert status == 2
    assert "at least 16 printable ASCII characters" in said
    assert key not in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_beyond_loopback_it_starts_only_with_a_key_given_explicitly(tmp_path: Path, host: str) -> None:
    write_yaml(tmp_path, OFFLINE)
    status, said = await refused(tmp_path, "--host", host, "--port", "0")
    assert status == 2
    assert "without a key of yours" in said
    async with serving(tmp_path, OFFLINE, "--host", host) as server:
        assert (await raw_request(server, ASK))[0] == 200
        without = Door(server.port, headers={})
        assert (await raw_request(without, b"", method="GET", path="/metrics"))[0] == 401
        assert (await raw_request(server, b"", method="GET", path="/metrics"))[0] == 200
        assert (await raw_request(without, b"", method="GET", path="/readyz"))[0] == 200


async def test_a_port_in_use_and_an_address_that_is_none_are_named(tmp_path: Path) -> None:
    write_yaml(tmp_path, OFFLINE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, said = await refused(tmp_path, "--port", str(port), TIDYLLM_MASTER_KEY=KEY)
    assert status == 2
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "Traceback" not in said
    status, said = await refused(tmp_path, "--host", "no such host", "--port", "0", TIDYLLM_MASTER_KEY=KEY)
    assert status == 2
    assert "no such host" in said


async def test_more_workers_than_can_be_of_use_are_refused(tmp_path: Path) -> None:
    write_yaml(tmp_path, OFFLINE)
    status, said = await refused(tmp_path, "--port", "0", "--workers", "100000", TIDYLLM_MASTER_KEY=KEY)
    assert status == 2
    assert "100,000 workers are too many" in said


async def test_without_a_file_and_without_keys_the_simulation_says_so(tmp_path: Path) -> None:
    async with serving(tmp_path, None, "--host", "localhost") as server:
        assert "SIMULATED" in server.words or "ollama" in server.words
        if "SIMULATED" in server.words:
            asked = ASK.replace(b'"sim"', b'"offline/simulated"')
            assert (await raw_request(server, asked))[0] == 200


async def test_providers_found_in_the_environment_are_named_and_not_called(tmp_path: Path) -> None:
    environment = {"OPENAI_API_KEY": "sk-none", "ANTHROPIC_API_KEY": "sk-none-either"}
    async with serving(tmp_path, None, **environment) as server:
        assert "openai/*" in server.words
        assert "anthropic/*" in server.words
        assert "SIMULATED" not in server.words
        assert "sk-none" not in server.words
        assert (await raw_request(server, b"", method="GET", path="/readyz"))[0] == 200


async def test_an_address_in_the_environment_is_used_and_shown(tmp_path: Path) -> None:
    async with upstream(each_time(json_answer(ANSWER))) as provider:
        url = f"http://127.0.0.1:{provider.port}/v1"
        environment = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-none", "OLLAMA_HOST": "127.0.0.1:9"}
        async with serving(tmp_path, None, **environment) as server:
            assert f"openai at {url} (OPENAI_BASE_URL)" in server.words
            assert "Nothing listens at http://127.0.0.1:9 (OLLAMA_HOST)" in server.words
            body = msgspec.json.encode({**CHAT, "model": "gpt-5-mini"})
            assert (await raw_request(server, body))[0] == 200
    assert provider.requests[0].headers["authorization"] == "Bearer sk-none"


async def test_a_server_that_would_call_itself_does_not_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    url = f"http://localhost:{port}"
    status, said = await refused(tmp_path, "--port", port, ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="k")
    assert status == 2
    assert "ANTHROPIC_BASE_URL" in said
    assert "call itself" in said
    provider = {"kind": "openai", "base_url": f"{url}/v1"}
    write_yaml(tmp_path, {"providers": {"me": provider}, "models": {"m": {"route": ["me/m"]}}})
    status, said = await refused(tmp_path, "--port", port)
    assert status == 2
    assert "providers.me.base_url" in said


async def test_an_overlay_is_laid_over_the_file(tmp_path: Path) -> None:
    write_yaml(tmp_path, {"models": {"staged": {"route": ["offline/echo"]}}}, "tidyllm.staging.yaml")
    async with serving(tmp_path, OFFLINE, "--env", "staging") as server:
        body = msgspec.json.encode({**CHAT, "model": "staged"})
        status, _, answer = await raw_request(server, body)
        assert status == 200
        assert msgspec.json.decode(answer)["choices"][0]["message"]["content"] == "Hi"


# -- streams that run while something happens


class Slow:
    """An upstream whose stream goes on when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.streams = 0
        self.left = 0

    async def __call__(self, connection: Connection) -> None:
        await connection.request()
        self.streams += 1
        await connection.write(sse(chunk("first"), end=False))
        going = asyncio.create_task(self.go_on.wait())
        leaving = asyncio.create_task(connection.left())
        await asyncio.wait([going, leaving], return_when=asyncio.FIRST_COMPLETED)
        going.cancel()
        leaving.cancel()
        if self.go_on.is_set():
            rest = (chunk("second"), chunk(finish="stop"), b"data: [DONE]\n\n")
            await connection.write(sse(*rest).partition(b"\r\n\r\n")[2])
        else:
            self.left += 1


def through(port: int, **server: Any) -> dict[str, Any]:
    provider = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "file:key.txt"}
    return {
        "server": server,
        "providers": {"main": provider, **OFFLINE["providers"]},
        "models": {"fast": {"route": ["main/m"], "retry": ONCE}, **OFFLINE["models"]},
    }


async def begun(server: Serving) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream whose first piece has come."""
    reader, writer = await open_request(server, STREAM)
    await reader.readuntil(b"first")
    return reader, writer


async def drains(server: Serving) -> None:
    """Wait until every worker that still listens refuses new calls."""
    row = 0
    while row < 5:
        status, _, _ = await raw_request(server, b"", method="GET", path="/readyz")
        row = row + 1 if status == 503 else 0
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sigterm_lets_running_streams_finish_and_refuses_new_calls(
    tmp_path: Path, workers: str
) -> None:
    (tmp_path / "key.txt").write_text("k")
    slow = Slow()
    async with (
        upstream(slow) as provider,
        serving(tmp_path, through(provider.port), "--workers", workers) as server,
    ):
        reader, writer = await begun(server)
        server.tell(signal.SIGTERM)
        await drains(server)
        status, headers, answer = await raw_request(server, ASK)
        assert (status, headers["connection"]) == (503, "close")
        assert "stopping" in msgspec.json.decode(answer)["error"]["message"]
        slow.go_on.set()
        assert b"[DONE]" in await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        assert await server.ends() == 0
    assert "Traceback" not in server.words


async def test_a_kept_alive_connection_gets_503_while_the_server_drains(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("k")
    slow = Slow()
    async with upstream(slow) as provider, serving(tmp_path, through(provider.port)) as server:
        _, stream = await begun(server)
        reader, writer = await open_request(server, ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        _, headers, _ = parsed(head)
        await reader.readexactly(int(headers["content-length"]))
        server.tell(signal.SIGTERM)
        await drains(server)
        writer.write(request_bytes(server, ASK, "/v1/messages"))
        status, headers, answer = parsed(await reader.read())
        assert status == 503
        assert msgspec.json.decode(answer)["error"]["type"] == "overloaded_error"
        writer.close()
        stream.close()
        assert await server.ends() == 0


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("k")
    slow = Slow()
    async with upstream(slow) as provider, serving(tmp_path, through(provider.port)) as server:
        reader, writer = await begun(server)
        server.tell(signal.SIGINT)
        await drains(server)
        server.tell(signal.SIGINT)
        assert await server.ends() == 0
        assert b"[DONE]" not in await reader.read()
        writer.close()
        await until(lambda: slow.left == 1)
    assert "Traceback" not in server.words


async def test_a_stream_that_outlasts_the_drain_ends_with_an_error_event(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("k")
    slow = Slow()
    async with upstream(slow) as provider, serving(tmp_path, through(provider.port, drain=0.2)) as server:
        reader, writer = await begun(server)
        server.tell(signal.SIGTERM)
        rest = await reader.read()
        assert b"this server is stopping" in rest
        assert b"[DONE]" not in rest
        writer.close()
        assert await server.ends() == 0
        assert "did not finish within the drain" in server.words
    assert "Traceback" not in server.words


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sighup_reads_the_file_again_and_drops_no_stream(tmp_path: Path, workers: str) -> None:
    (tmp_path / "key.txt").write_text("k")
    slow = Slow()
    async with upstream(slow) as provider:
        before = through(provider.port)
        async with serving(tmp_path, before, "--workers", workers) as server:
            reader, writer = await begun(server)
            after = through(provider.port)
            after["models"]["new"] = {"route": ["offline/echo"]}
            del after["models"]["fast"]
            write_yaml(tmp_path, after)
            server.tell(signal.SIGHUP)
            new = msgspec.json.encode({**CHAT, "model": "new"})
            row = 0
            while row < 10:  # every worker has it
                row = row + 1 if (await raw_request(server, new))[0] == 200 else 0
            assert (await raw_request(server, STREAM))[0] == 404
            slow.go_on.set()
            assert b"[DONE]" in await reader.readuntil(b"0\r\n\r\n")
            writer.close()


async def test_a_sighup_during_a_reload_is_heard_when_that_one_is_done(tmp_path: Path) -> None:
    async with serving(tmp_path, OFFLINE) as server:
        file, pipe = tmp_path / "tidyllm.yaml", tmp_path / "pipe"
        last = write_yaml(tmp_path, with_model("last"), "last.yaml")
        os.mkfifo(pipe)
        pipe.replace(file)
        server.tell(signal.SIGHUP)
        with await asyncio.to_thread(file.open, "wb") as held:  # opens when the server reads
            server.tell(signal.SIGHUP)
            assert set(await statuses(server)) == {200}
            held.write(msgspec.json.encode(with_model("first")))
            last.replace(file)
        await server.says("models sim, last")


async def test_a_sighup_before_the_server_is_ready_does_not_end_it(tmp_path: Path) -> None:
    pipe = tmp_path / "tidyllm.yaml"
    os.mkfifo(pipe)

    async def feed() -> None:
        with await asyncio.to_thread(pipe.open, "wb") as held:  # opens when the server reads
            [process] = children(os.getpid(), b"tidyllm")
            os.kill(process, signal.SIGHUP)
            pipe.unlink()
            write_yaml(tmp_path, with_model("last"))
            held.write(msgspec.json.encode(OFFLINE))

    feeding = asyncio.create_task(feed())
    async with serving(tmp_path, None) as server:
        await feeding
        await server.says("models sim, last")
        assert set(await statuses(server)) == {200}


def with_model(name: str) -> dict[str, Any]:
    """The settings with one model more."""
    return {**OFFLINE, "models": {**OFFLINE["models"], name: {"route": ["offline/echo"]}}}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_bad_new_file_keeps_the_old_one_and_says_so(tmp_path: Path, workers: str) -> None:
    async with serving(tmp_path, OFFLINE, "--workers", workers) as server:
        assert await statuses(server, 1) == [200]
        write_yaml(tmp_path, {**OFFLINE, "modles": {}})
        server.tell(signal.SIGHUP)
        await server.says("was not reloaded")
        await server.says("modles")
        assert set(await statuses(server)) == {200}


async def test_what_cannot_change_while_it_runs_is_named_and_a_new_key_is_taken(tmp_path: Path) -> None:
    (tmp_path / "gateway.key").write_text(KEY)
    guarded = {**OFFLINE, "server": {"master_key": "file:gateway.key"}}
    async with serving(tmp_path, guarded, TIDYLLM_MASTER_KEY="") as server:
        assert await statuses(server, 1) == [200]
        (tmp_path / "gateway.key").write_text("another-key-of-the-gateway")
        write_yaml(tmp_path, {**guarded, "server": {**guarded["server"], "workers": 3}})
        server.tell(signal.SIGHUP)
        await server.says("server.workers has changed")
        assert await statuses(server, 1) == [401]
        server.headers["authorization"] = "Bearer another-key-of-the-gateway"
        assert await statuses(server, 1) == [200]


# -- several workers


def children(process: int, named: bytes = b"spawn_main") -> list[int]:
    """The processes it has started with this word in their command; as a rule those that answer requests."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (OSError, ProcessLookupError):
            continue
        if parent == process and named in command:
            found.append(int(entry.name))
    return found


async def counted(server: Door) -> int:
    """How many calls the metrics count."""
    _, _, page = await raw_request(server, b"", method="GET", path="/metrics")
    name = r'tidyllm_gateway_request_duration_seconds_count\{path="/v1/chat/completions",status="200"\} (\S+)'
    found = re.search(name, page.decode())
    return int(float(found[1])) if found else 0


async def test_two_workers_count_together_and_one_that_is_killed_is_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path, OFFLINE, "--workers", "2") as server:
        assert set(await statuses(server, 20)) == {200}
        assert await counted(server) == 20
        first, second = children(server.process.pid)
        os.kill(first, signal.SIGKILL)
        await server.says("another one takes its place")
        assert set(await statuses(server, 20)) == {200}
        await until(lambda: len(children(server.process.pid)) == 2)
        assert second in children(server.process.pid)
        assert await counted(server) == 40
        server.tell(signal.SIGTERM)
        assert await server.ends() == 0
    assert "Traceback" not in server.words


async def test_a_worker_that_takes_a_dead_ones_place_has_the_key_of_the_last_reload(tmp_path: Path) -> None:
    key = tmp_path / "gateway.key"
    key.write_text(KEY)
    guarded = {**OFFLINE, "server": {"master_key": "file:gateway.key"}}
    async with serving(tmp_path, guarded, "--workers", "2", TIDYLLM_MASTER_KEY="") as server:
        await statuses(server, 1)
        key.write_text("another-key-of-the-gateway")
        server.tell(signal.SIGHUP)
        server.headers["authorization"] = "Bearer another-key-of-the-gateway"
        row = 0
        while row < 10:  # every worker has it
            row = row + 1 if await statuses(server, 1) == [200] else 0
        before = children(server.process.pid)
        for worker in before:  # one after the other: a new one answers before the last old one is gone
            os.kill(worker, signal.SIGKILL)
            await until(lambda worker=worker: len(set(children(server.process.pid)) - {worker}) == 2)
        assert not set(before) & set(children(server.process.pid))
        assert set(await statuses(server, 20)) == {200}
        server.headers["authorization"] = f"Bearer {KEY}"
        assert set(await statuses(server, 20)) == {401}


async def test_the_next_start_removes_what_a_killed_supervisor_left_in_the_temporary_directory(
    tmp_path: Path,
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    two = (OFFLINE, "--workers", "2")
    async with serving(tmp_path, *two, TMPDIR=str(temporary)) as killed:
        await statuses(killed, 1)
        workers = children(killed.process.pid)
        killed.process.kill()
        await killed.ends()
        await until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert len(list(temporary.glob("tidyllm-metrics-*"))) == 1
    async with serving(tmp_path, *two, TMPDIR=str(temporary)) as server:
        await statuses(server, 1)
        [mine] = temporary.glob("tidyllm-metrics-*")
        assert mine.name.startswith(f"tidyllm-metrics-{server.process.pid}-")


async def test_workers_do_not_outlive_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async with serving(tmp_path, OFFLINE, "--workers", "2") as server:
        await statuses(server, 1)
        workers = children(server.process.pid)
        server.process.kill()
        await server.ends()
        await until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
