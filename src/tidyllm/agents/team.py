"""Several agents at one task at the same time, and one answer of theirs. It knows results, not what they are about.

Who was first is a matter of time, so the choice is a recorded call: a run that is replayed chooses as it did.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_events import Observer
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners
from tidyllm.agents.message_log import MessageLog
from tidyllm.agents.result import AgentResult, AgentTask, TreeUsage
from tidyllm.agents.tree_run import TreeRun, root_agent
from tidyllm.agents.wording import bounded, text_of
from tidyllm.core import Context, Step
from tidyllm.core.group import finish
from tidyllm.errors import ConfigError

__all__ = ["Team", "TeamPolicy", "TeamResult"]

T = TypeVar("T")
TeamPolicy: TypeAlias = Literal["all", "first_good", "vote"]


class TeamResult(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """What a team gives.

    - `output`: of the agent called `chosen`; None when nobody was chosen, as with the policy "all".
    - `results`: of those that ended, by name, in the order of the team. `votes`: how many gave each value, as text.
    - `agreement`: the part of all votes that the winner has. `why`: why nobody was chosen.
    """

    output: T | None = None
    chosen: str | None = None
    results: dict[str, AgentResult[T]] = {}
    votes: dict[str, int] = {}
    agreement: float = 0.0
    why: str = ""
    log: MessageLog = msgspec.field(default_factory=MessageLog)
    usage: TreeUsage = TreeUsage()
    cost_usd: Decimal | None = None

    @property
    def done(self) -> list[str]:
        """Agents that finished."""
        return [name for name, one in self.results.items() if one.done]


class Team(Step["str | AgentTask", TeamResult[T]], Generic[T]):
    """`await Team([a, b, c], policy="vote")("How many …?")` gives a `TeamResult`.

    - `agents`: with names of their own. `limit`: how many work at once; default: all.
    - `policy`: "all" waits for everybody and chooses nobody; "first_good" takes the first that is done and `good`, and
      cancels the others; "vote" takes the value that most give, of equals that of the agent who stands first.
    - `good`: of a result, for "first_good" and "vote"; default: it is done.
    - `value`: what is counted in a vote; default: the output as JSON. `quorum`: the part of all agents that must agree,
      0 to 1.
    - `limits`: caps of all of them together.

    :raises ConfigError: no agents, two of one name, or a number that makes no sense.
    """

    reports_partial = True

    def __init__(
        self,
        agents: Iterable[Agent[T]],
        *,
        limit: int | None = None,
        policy: TeamPolicy = "all",
        good: Callable[[AgentResult[T]], bool] | None = None,
        value: Callable[[T], Any] | None = None,
        quorum: float = 0.0,
        limits: AgentLimits | None = None,
        observe: Observer | None = None,
        name: str = "team",
    ) -> None:
        super().__init__(name)
        self.agents = tuple(agents)
        names = [one.name for one in self.agents]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"a team needs agents with names of their own, and these are called {names}.")
        if policy not in ("all", "first_good", "vote"):
            raise ConfigError(f"{policy!r} is no policy; there are: all, first_good, vote.", where="policy")
        if (limit is not None and limit < 1) or not 0 <= quorum <= 1:
            raise ConfigError(f"limit={limit} and quorum={quorum}: at least 1, and from 0 to 1.")
        self.limit, self.policy, self.quorum = limit, policy, quorum
        self.good: Callable[[AgentResult[T]], bool] = good or (lambda result: result.done)
        self.value: Callable[[T], Any] = value or (lambda output: output)
        self.observe = observe
        kinds = {repr(one.output): one.output for one in self.agents}
        first: Any = next(iter(kinds.values()))
        if len(kinds) == 1:
            self.output_type: Any = TeamResult[first]
        self._root = root_agent(name, limits or AgentLimits(turns=None, tool_calls=None, seconds=None))

    async def invoke(self, x: str | AgentTask, ctx: Context) -> TeamResult[T]:
        task = AgentTask(task=x) if isinstance(x, str) else x
        async with TreeRun(self._root, ctx, Listeners(self.observe)) as tree:
            results = await self._results(task, tree)
            made = self._chosen(results)
            if self.policy == "first_good":
                told = await tree.run.ctx.call(_Choice(made.chosen), None)
                chosen = msgspec.json.decode(told, type=str | None)
                output = None if chosen is None else results[chosen].output
                made = msgspec.structs.replace(made, chosen=chosen, output=output)
            return msgspec.structs.replace(
                made, log=_log(task, made), usage=tree.usage, cost_usd=tree.cost_usd
            )

    async def _results(self, task: AgentTask, tree: TreeRun) -> dict[str, AgentResult[T]]:
        """Of all agents, or of those that ended until the first good one; a replay waits for what was recorded."""
        slots = asyncio.Semaphore(self.limit or len(self.agents))
        found: dict[str, AgentResult[T]] = {}
        won = asyncio.Event()

        async def one(agent: Agent[T]) -> None:
            async with slots:
                if won.is_set():
                    return
                result = await tree.call(agent, task, agent.name)
                found[agent.name] = result
                if self.policy == "first_good" and self.good(result):
                    won.set()

        tasks = [asyncio.ensure_future(one(agent)) for agent in self.agents]
        if self.policy != "first_good":
            await finish(tasks, fail_fast=True)
            return {agent.name: found[agent.name] for agent in self.agents}
        winner = asyncio.ensure_future(won.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {winner, *tasks}
            while not winner.done() and waiting - {winner}:
                over, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in over:
                    each.result()
        finally:
            for each in (winner, *tasks):
                each.cancel()
            await asyncio.wait([winner, *tasks])
        return dict(found)

    def _chosen(self, results: dict[str, AgentResult[T]]) -> TeamResult[T]:
        ordered = {one.name: results[one.name] for one in self.agents if one.name in results}
        if self.policy == "all":
            return TeamResult(results=ordered)
        good = {name: one for name, one in results.items() if one.output is not None and self.good(one)}
        if self.policy == "first_good":
            first = next(iter(good), None)
            output = None if first is None else good[first].output
            why = "" if first else "Nobody gave a good result."
            return TeamResult(results=ordered, chosen=first, output=output, why=why)
        return self._voted(ordered, {name: good[name] for name in ordered if name in good})

    def _voted(self, ordered: dict[str, AgentResult[T]], good: dict[str, AgentResult[T]]) -> TeamResult[T]:
        ballots = {
            name: text_of(self.value(one.output)) for name, one in good.items() if one.output is not None
        }
        votes = Counter(ballots.values())
        if not votes:
            return TeamResult(results=ordered, why="Nobody gave a result to vote on.")
        value, most = votes.most_common(1)[0]  # of equals the one that was counted first
        agreement = most / len(self.agents)
        told = dict(votes.most_common())
        if agreement < self.quorum:
            why = f"{most} of {len(self.agents)} agree, and {self.quorum:.0%} were wanted."
            return TeamResult(results=ordered, votes=told, agreement=agreement, why=why)
        name = next(one for one, ballot in ballots.items() if ballot == value)
        return TeamResult(
            results=ordered, votes=told, agreement=agreement, chosen=name, output=good[name].output
        )


def _log(task: AgentTask, made: TeamResult[Any]) -> MessageLog:
    log = MessageLog()
    log.say("user", task.task, "task")
    for name, result in made.results.items():
        words = (
            text_of(result.output) if result.output is not None else f"{result.stop.value}. {result.detail}"
        )
        log.say(name, bounded(words, 4_000), "result")
    if made.chosen is not None:
        log.say("team", f"{made.chosen} was chosen.", "decision")
    elif made.why:
        log.say("team", made.why, "decision")
    return log


class _Choice(Step[None, str]):
    """Who was first, as JSON: chosen once, and from then on given from the record."""

    def __init__(self, live: str | None) -> None:
        super().__init__("choice")
        self._live = live

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Choice)

    def __hash__(self) -> int:
        return hash(_Choice)

    async def invoke(self, x: None, ctx: Context) -> str:
        return msgspec.json.encode(self._live).decode()
