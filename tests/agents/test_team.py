"""Agents side by side: all of them, the first good one, or what most of them say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents import Agent, AgentLimits, MessageLog, Team, tool
from tidyllm.durable import Runtime
from tidyllm.errors import ConfigError
from tidyllm.models import Request
from tidyllm.testing import Reply, call, scripted


class Count(msgspec.Struct):
    number: int
    why: str = ""


def says(name: str, number: int, *, delay: float = 0.0, why: str = "") -> Agent[Count]:
    def reply(request: Request) -> Reply:
        return Reply(tool_calls=(call("final_answer", number=number, why=why),), delay=delay)

    return Agent(scripted(reply), output=Count, name=name)


def breaks(name: str) -> Agent[Count]:
    def reply(request: Request) -> Reply:
        return Reply(status=500)

    return Agent(scripted(reply), output=Count, name=name)


async def test_all_give_their_results_in_order() -> None:
    result = await Team([says("a", 1, delay=0.02), breaks("b"), says("c", 3)])("How many?")
    assert list(result.results) == ["a", "b", "c"]
    assert (result.done, result.chosen, result.output) == (["a", "c"], None, None)
    assert result.results["b"].stop == "model_error"
    assert result.usage.turns == 3


async def test_no_more_work_at_once_than_the_limit() -> None:
    now, most = 0, 0

    def agent(name: str) -> Agent[str]:
        @tool
        async def work() -> str:
            """Work."""
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0.005)
            now -= 1
            return "worked"

        def reply(request: Request) -> Reply:
            return (
                Reply(text="done") if request.turns[-1].role == "tool" else Reply(tool_calls=(call("work"),))
            )

        return Agent(scripted(reply), [work], name=name)

    result = await Team([agent(str(at)) for at in range(6)], limit=2)("Go.")
    assert (len(result.done), most) == (6, 2)


async def test_the_first_good_one_is_taken_and_the_others_are_cancelled() -> None:
    cancelled: list[str] = []

    @tool
    async def forever() -> str:
        """Never ends."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("slow")
            raise
        return ""

    slow = Agent(
        scripted(lambda _: Reply(tool_calls=(call("forever"),))), [forever], output=Count, name="slow"
    )
    team = Team(
        [slow, breaks("broken"), says("small", 1), says("large", 9, delay=0.02)],
        policy="first_good",
        good=lambda result: result.output is not None and result.output.number > 5,
    )
    result = await team("How many?")
    assert (result.chosen, result.output) == ("large", Count(9))
    assert cancelled == ["slow"]


async def test_when_nobody_is_good_nobody_is_chosen() -> None:
    result = await Team([breaks("a"), breaks("b")], policy="first_good")("How many?")
    assert (result.chosen, result.output, result.why) == (None, None, "Nobody gave a good result.")


async def test_a_vote_is_by_value() -> None:
    team = Team(
        [says("a", 7, why="x"), says("b", 8), says("c", 8, why="y"), breaks("d")],
        policy="vote",
        value=lambda count: count.number,
    )
    result = await team("How many?")
    assert (result.chosen, result.output) == ("b", Count(8))
    assert (result.votes, result.agreement) == ({"8": 2, "7": 1}, 0.5)
    assert [one.sender for one in result.log.where(kind="result")] == ["a", "b", "c", "d"]


async def test_a_vote_without_enough_agreement_chooses_nobody() -> None:
    result = await Team([says("a", 1), says("b", 2), says("c", 3)], policy="vote", quorum=0.5)("How many?")
    assert (result.chosen, result.output) == (None, None)
    assert "1 of 3 agree" in result.why


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_the_most_common_value_wins_and_of_equals_the_first(numbers: list[int]) -> None:
    agents = [says(f"a{at}", number) for at, number in enumerate(numbers)]
    result = asyncio.run(Team(agents, policy="vote")("How many?"))
    counts = Counter(numbers)
    best = max(counts.values())
    first = next(number for number in numbers if counts[number] == best)
    assert result.output == Count(first)
    assert result.chosen == f"a{numbers.index(first)}"


async def test_caps_hold_for_all_together() -> None:
    limits = AgentLimits(turns=2)
    result = await Team([says(name, 1) for name in "abcd"], limits=limits, limit=1)("How many?")
    assert (result.usage.turns, len(result.done)) == (2, 2)
    priced = await Team([says("a", 1)], limits=AgentLimits(usd=Decimal(1)))("How many?")
    assert priced.results["a"].stop == "budget"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Team(cast("list[Agent[str]]", [])),
        lambda: Team([says("a", 1), says("a", 2)]),
        lambda: Team([says("a", 1)], limit=0),
        lambda: Team([says("a", 1)], quorum=2),
        lambda: Team([says("a", 1)], policy=cast("Any", "loudest")),
    ],
)
def test_a_team_that_makes_no_sense_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigError):
        make()


async def test_a_replay_chooses_as_before(tmp_path: Path) -> None:
    slow, fast = says("slow", 1, delay=0.05), says("fast", 2)
    async with Runtime(f"sqlite:///{tmp_path}/runs.db") as runtime:
        run = await runtime.start(Team([slow, fast], policy="first_good"), "How many?", id="vote")
        assert (await run.result()).chosen == "fast"
        again = await (await run.fork(from_step="team/choice")).result()
    assert again.output in (Count(1), Count(2))


# -- the log


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["a", "everybody"]), st.text(max_size=5))))
def test_messages_are_kept_in_order_and_found_again(said: list[tuple[str, str, str]]) -> None:
    log = MessageLog()
    for sender, to, words in said:
        log.say(sender, words, "note", to=to)
    assert [one.number for one in log] == list(range(1, len(said) + 1))
    assert [one.text for one in log.where(sender="b")] == [
        words for sender, _, words in said if sender == "b"
    ]
    assert all(one.sender != "a" for one in log.heard_by("a"))
    assert len(log.where(after=2)) == max(len(said) - 2, 0)
    assert msgspec.json.decode(log.to_json(), type=MessageLog) == log
