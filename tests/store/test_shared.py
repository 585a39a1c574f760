"""What workers share in Redis: commands that travel together, scripts by their hash, and a server that goes away."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.servers import Server, redis, redis_url
from tidyllm.errors import StoreDown, StoreError
from tidyllm.store import Script, SharedState

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A Redis of the test's own."""
    one = redis(tmp_path / "redis")
    one.start()
    try:
        yield one
    finally:
        one.close()


SLOW = Script("""
local function now() local t = redis.call('TIME'); return t[1] * 1000000 + t[2] end
local ends = now() + 100000
repeat until now() > ends
return redis.call('INCRBY', KEYS[1], ARGV[1])
""")


async def test_values_are_set_and_got() -> None:
    shared = SharedState.open(redis_url())
    assert await shared.get("a") is None
    assert await shared.set("a", "1") is True
    assert await shared.set("a", "2", only_new=True) is False
    assert await shared.set("b", b"\x00\xff", ttl_seconds=50) is True
    assert (await shared.get("a"), await shared.get(b"b")) == (b"1", b"\x00\xff")
    assert 0 < await shared.command("PTTL", "b") <= 50_000
    assert await shared.delete("a", "b", "c") == 2
    assert await shared.delete() == 0
    await shared.aclose()


async def test_a_script_runs_also_where_nobody_has_loaded_it() -> None:
    shared = SharedState.open(redis_url())
    await shared.command("SCRIPT", "FLUSH")
    sums = await asyncio.gather(*(shared.run(ADD, ["sum"], [2]) for _ in range(50)))
    assert sorted(sums) == list(range(2, 101, 2))
    await shared.aclose()


async def test_commands_of_one_turn_travel_together(server: Server) -> None:
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0")

    async def reads() -> int:
        info: bytes = await shared.command("INFO", "stats")
        return int(info.partition(b"total_reads_processed:")[2].split(b"\r\n")[0])

    await reads()
    before = await reads()
    await asyncio.gather(*(shared.set(f"k{i}", i) for i in range(300)))
    assert await reads() - before <= 152  # two by two
    await shared.aclose()


async def test_answers_belong_to_their_commands_whoever_gives_up() -> None:
    shared = SharedState.open(redis_url())

    async def echo(number: int) -> int:
        return int(await shared.command("ECHO", number))

    tasks = [asyncio.create_task(echo(i)) for i in range(200)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one for one in ended if isinstance(one, int)] == [i for i in range(200) if i % 3]
    await shared.aclose()


async def test_an_error_hits_only_its_own_command() -> None:
    shared = SharedState.open(redis_url())
    values: tuple[Any, ...] = await asyncio.gather(
        shared.set("text", "abc"),
        shared.command("INCR", "text"),
        shared.command("SET", "x", {"not": "a value"}),  # pyright: ignore[reportArgumentType] - on purpose
        shared.run(Script("return nonsense("), [], []),
        shared.get("text"),
        return_exceptions=True,
    )
    assert (values[0], values[4]) == (True, b"abc")
    for said, error in zip(("INCR", "no type", "a script"), values[1:4], strict=True):
        assert type(error) is StoreError
        assert said in str(error)
    await shared.aclose()


async def test_several_event_loops_use_one_shared_state() -> None:
    shared = SharedState.open(redis_url())

    async def some() -> None:
        await asyncio.gather(*(shared.run(ADD, ["sum"], [1]) for _ in range(50)))
        await shared.aclose()

    threads = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(3)]
    for thread in threads:
        thread.start()
    await asyncio.gather(*(asyncio.to_thread(thread.join) for thread in threads))
    assert await shared.get("sum") == b"150"
    await shared.aclose()


async def test_a_server_that_was_restarted_is_used_again(server: Server) -> None:
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0", patience=1)
    assert await shared.run(ADD, ["sum"], [1]) == 1
    server.stop()
    for _ in range(2):
        with pytest.raises(StoreDown, match="cannot be used now"):
            await asyncio.gather(shared.get("a"), shared.run(ADD, ["sum"], [1]))
    server.start()
    assert await asyncio.gather(*(shared.run(ADD, ["sum"], [1]) for _ in range(3))) == [1, 2, 3]
    await shared.aclose()


async def test_a_server_that_hangs_is_given_up_after_the_patience(server: Server) -> None:
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0", patience=0.2)
    await shared.set("a", 1)
    server.send(signal.SIGSTOP)
    with pytest.raises(StoreDown, match=r"did not answer within 0\.2 s"):
        await shared.get("a")
    server.send(signal.SIGCONT)
    assert await shared.get("a") == b"1"
    await shared.aclose()


async def test_a_server_that_hangs_from_the_beginning_is_given_up_as_well(server: Server) -> None:
    shared = SharedState.open(f"redis://127.0.0.1:{server.port}/0", patience=0.2)
    server.send(signal.SIGSTOP)
    with pytest.raises(StoreDown, match=r"did not answer within 0\.2 s"):
        await shared.get("a")
    server.send(signal.SIGCONT)
    await shared.set("a", 1)
    assert await shared.get("a") == b"1"
    await shared.aclose()


async def test_what_a_script_did_for_someone_who_left_is_told() -> None:
    shared = SharedState.open(redis_url())
    add = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    await shared.run(add, ["other"], [1])
    told: list[int] = []
    asking = asyncio.create_task(shared.run(add, ["k"], [3], late=told.append))
    await asyncio.sleep(0)
    asking.cancel()
    assert await shared.get("k") == b"3"
    assert told == [3]
    assert await shared.run(add, ["k"], [1], late=told.append) == 4
    assert told == [3]
    await shared.aclose()


async def test_who_is_cancelled_in_the_turn_of_his_answer_is_told_as_late() -> None:
    shared = SharedState.open(redis_url())
    for script in (ADD, SLOW):
        await shared.run(script, ["other"], [1])
    told: list[int] = []
    asking = asyncio.create_task(shared.run(ADD, ["k"], [3], late=told.append))
    await asyncio.sleep(0)
    shared.post(ADD, ["k"], [1], answered=lambda _: asking.cancel())  # both answers come together
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert told == [3]
    await shared.aclose()


async def test_who_left_can_give_back_while_the_connection_closes() -> None:
    shared = SharedState.open(redis_url())
    await shared.run(SLOW, ["k"], [1])
    asking = asyncio.create_task(shared.run(SLOW, ["k"], [5], late=lambda _: shared.post(ADD, ["k"], [-5])))
    await asyncio.sleep(0.02)
    asking.cancel()
    await shared.aclose()
    assert await shared.get("k") == b"1"
    await shared.aclose()


async def test_a_wrong_password_is_no_matter_of_waiting_and_is_not_shown(server: Server) -> None:
    with_one = SharedState.open(f"redis://127.0.0.1:{server.port}/0")
    await with_one.command("CONFIG", "SET", "requirepass", "right")
    await with_one.aclose()
    shared = SharedState.open(f"redis://:hush-hush@127.0.0.1:{server.port}/0")
    with pytest.raises(StoreError, match="refused us") as caught:
        await shared.get("a")
    assert not isinstance(caught.value, StoreDown)
    assert "hush-hush" not in str(caught.value) + repr(shared) + repr(caught.value.__cause__)
    await shared.aclose()


async def test_a_closed_connection_waits_for_answers_and_opens_again() -> None:
    shared = SharedState.open(redis_url())
    sent = asyncio.create_task(shared.set("a", 1))
    await asyncio.sleep(0)
    await shared.aclose()
    assert await sent is True
    assert await shared.get("a") == b"1"
    await shared.aclose()
    await shared.aclose()


async def test_a_script_that_is_posted_runs_before_what_comes_next_also_after_scripts_were_flushed() -> None:
    shared = SharedState.open(redis_url())
    add = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    shared.post(add, ["n"], [1])
    assert await shared.get("n") == b"1"
    shared.post(add, ["n"], [2])
    assert await shared.get("n") == b"3"
    await shared.command("SCRIPT", "FLUSH")
    shared.post(add, ["n"], [4])
    await shared.get("n")
    assert await shared.get("n") == b"7"
    await shared.aclose()
