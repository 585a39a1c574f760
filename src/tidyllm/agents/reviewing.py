"""Generate, review, revise: until a reviewer has nothing serious left, or there is a reason to stop. It always ends.

It knows findings and how many of them are new, not what is written. A finding that comes back after it was revised is a
dispute: an arbiter rules on it, or it ends the loop; nobody revises the same thing for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar, cast

from tidyllm.agents.agent import Agent
from tidyllm.agents.agent_events import Observer
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.listeners import Listeners
from tidyllm.agents.message_log import MessageLog
from tidyllm.agents.result import AgentResult
from tidyllm.agents.review_types import SEVERITIES, Draft, ReviewResult, ReviewRound, ReviewStop, Ruling
from tidyllm.agents.specialist import Analysis, Finding, Severity
from tidyllm.agents.stop import Stop
from tidyllm.agents.tree_run import TreeRun, root_agent
from tidyllm.agents.wording import bounded, text_of
from tidyllm.core import Context, Step, as_step
from tidyllm.errors import BudgetExceeded, ConfigError, PriceUnknown, StepError

__all__ = ["ReviewLoop", "review_loop"]

T = TypeVar("T")
Part: TypeAlias = Step[Any, Any] | Callable[..., Any]

_WORDS = re.compile(r"\W+")


def review_loop(
    generate: Part,
    review: Part,
    revise: Part | None = None,
    *,
    floor: Severity = "major",
    rounds: int = 5,
    patience: int = 2,
    arbiter: Part | None = None,
    limits: AgentLimits | None = None,
    observe: Observer | None = None,
    name: str = "review_loop",
) -> ReviewLoop:
    """A step from a task to a `ReviewResult`.

    - `generate`: from the task to a value. `review`: gives an `Analysis`, or findings. `revise`: gives a new value;
      default: the agent `generate`, told what is wrong. An agent is asked in words; any other step gets a `Draft`.
    - `floor`: the least severity that is revised; what lies below it never keeps the loop going.
    - `rounds`: reviews at most. `patience`: reviews in a row with no fewer new findings than before, until it ends.
    - `arbiter`: rules on findings that came back (an agent with `output=Ruling`, or a step that gives a `Ruling`).
    - `limits`: caps of all of it together; `usd` is the ceiling on what is spent.

    :raises ConfigError: a number or a severity makes no sense.
    """
    return ReviewLoop(
        generate,
        review,
        revise,
        floor=floor,
        rounds=rounds,
        patience=patience,
        arbiter=arbiter,
        limits=limits,
        observe=observe,
        name=name,
    )


class ReviewLoop(Step[str, ReviewResult[Any]]):
    """See `review_loop`."""

    reports_partial = True

    def __init__(
        self,
        generate: Part,
        review: Part,
        revise: Part | None = None,
        *,
        floor: Severity = "major",
        rounds: int = 5,
        patience: int = 2,
        arbiter: Part | None = None,
        limits: AgentLimits | None = None,
        observe: Observer | None = None,
        name: str = "review_loop",
    ) -> None:
        super().__init__(name)
        if floor not in SEVERITIES:
            raise ConfigError(f"{floor!r} is no severity; there are: {', '.join(SEVERITIES)}.", where="floor")
        if rounds < 1 or patience < 1:
            raise ConfigError(f"rounds={rounds} and patience={patience}: each is 1 or more.")
        if revise is None and not isinstance(generate, Agent):
            raise ConfigError("only an agent can revise what it generated; give revise=.", where="revise")
        self.generate = as_step(generate)
        self.review = as_step(review)
        self.revise = as_step(revise or generate)
        self.arbiter = None if arbiter is None else as_step(arbiter)
        self.floor, self.rounds, self.patience = floor, rounds, patience
        self.observe = observe
        self._root = root_agent(name, limits or AgentLimits(turns=None, tool_calls=None))

    def serious(self, finding: Finding) -> bool:
        """Whether it is at or above the floor."""
        return SEVERITIES.index(finding.severity) >= SEVERITIES.index(self.floor)

    async def invoke(self, x: str, ctx: Context) -> ReviewResult[Any]:
        async with TreeRun(self._root, ctx, Listeners(self.observe)) as tree:
            loop = _Loop(self, x, tree)
            stop, detail = await loop.run()
            return loop.result(stop, detail)


class _Ended(Exception):
    def __init__(self, stop: ReviewStop, detail: str = "") -> None:
        super().__init__(detail)
        self.stop, self.detail = stop, detail


class _Loop:
    def __init__(self, owner: ReviewLoop, task: str, tree: TreeRun) -> None:
        self.owner, self.task, self.tree = owner, task, tree
        self.log = MessageLog()
        self.value: Any = None
        self.best: tuple[int, Any, list[Finding]] | None = None
        self.rounds: list[ReviewRound] = []
        self.seen: set[str] = set()
        self.disputed: set[str] = set()
        self.dismissed: list[Finding] = []

    async def run(self) -> tuple[ReviewStop, str]:
        try:
            self.log.say("user", self.task, "task")
            self.value = await self._ask("generate", self.owner.generate, self.task, self.task)
            self.log.say("generate", _shown(self.value), "result")
            for number in range(1, self.owner.rounds + 1):
                serious = await self._review(number)
                if not serious:
                    return ReviewStop.clean, ""
                if number == self.owner.rounds:
                    return (
                        ReviewStop.rounds,
                        f"{number} reviews, and {len(serious)} serious findings are left.",
                    )
                self._converges()
                serious = await self._ruled(number, serious)
                if not serious:
                    self.best = (0, self.value, [])
                    return ReviewStop.clean, "What was left was dismissed."
                await self._revise(number, serious)
        except _Ended as ended:
            return ended.stop, ended.detail
        return ReviewStop.rounds, ""

    async def _review(self, number: int) -> list[Finding]:
        dismissed = tuple(self.dismissed)
        draft = Draft(task=self.task, value=self.value, round=number, findings=dismissed)
        words = f"Task:\n{self.task}\n\nReview this:\n{_shown(self.value)}"
        if dismissed:
            words += f"\n\nThese were dismissed; do not name them again:\n{_listed(dismissed)}"
        found = _findings(await self._ask(f"review-{number}", self.owner.review, words, draft))
        gone = {_key(one) for one in self.dismissed}
        serious = [one for one in found if self.owner.serious(one) and _key(one) not in gone]
        new = [one for one in serious if _key(one) not in self.seen]
        for one in found:
            self.log.say("review", f"{one.severity}: {one.place}: {one.what}", "finding")
        self.rounds.append(
            ReviewRound(
                number=number, findings=found, serious=len(serious), new=len({_key(one) for one in new})
            )
        )
        if self.best is None or len(serious) <= self.best[0]:
            self.best = (len(serious), self.value, serious)
        return serious

    def _converges(self) -> None:
        curve = [one.new for one in self.rounds]
        last = curve[-(self.owner.patience + 1) :]
        if len(last) > self.owner.patience and all(b >= a > 0 for a, b in pairwise(last)):
            raise _Ended(ReviewStop.not_converging, f"New findings by round: {', '.join(map(str, curve))}.")

    async def _ruled(self, number: int, serious: list[Finding]) -> list[Finding]:
        """What is to be revised: of findings that came back only what is upheld, and only once."""
        back = [one for one in serious if _key(one) in self.seen]
        self.seen |= {_key(one) for one in serious}
        if not back:
            return serious
        again = [one for one in back if _key(one) in self.disputed]
        if self.owner.arbiter is None or again:
            raise _Ended(ReviewStop.disputed, f"Found again after a revision: {_listed((again or back)[:5])}")
        draft = Draft(task=self.task, value=self.value, round=number, findings=tuple(back))
        words = (
            f"Task:\n{self.task}\n\nThis was written:\n{_shown(self.value)}\n\nA reviewer finds again, after it was"
            f" revised:\n{_listed(back)}\n\nWhich of these findings, by number, are right and must be revised?"
        )
        given = await self._ask(f"arbiter-{number}", self.owner.arbiter, words, draft)
        if not isinstance(given, Ruling):
            raise StepError(f"the arbiter of {self.owner.name!r} gave {type(given).__name__}, and no Ruling.")
        upheld = [one for at, one in enumerate(back, 1) if at in given.upheld]
        self.disputed |= {_key(one) for one in upheld}
        self.dismissed += [one for one in back if one not in upheld]
        self.log.say("arbiter", given.reason or f"upheld: {given.upheld}", "decision")
        return [one for one in serious if one not in back or one in upheld]

    async def _revise(self, number: int, serious: list[Finding]) -> None:
        draft = Draft(task=self.task, value=self.value, round=number, findings=tuple(serious))
        words = (
            f"Task:\n{self.task}\n\nThis was written:\n{_shown(self.value)}\n\nRevise it. What is wrong with it:"
            f"\n{_listed(serious)}"
        )
        self.value = await self._ask(f"revise-{number}", self.owner.revise, words, draft)
        self.log.say("revise", _shown(self.value), "result")

    async def _ask(self, name: str, step: Step[Any, Any], words: str, draft: Draft | str) -> Any:
        full = self.tree.full()
        if full is not None:
            raise _stopped(full)
        given = words if isinstance(step, Agent) else draft

        async def call() -> Any:
            return await self.tree.call(cast("Step[Any, Any]", step), given, name)

        try:
            answer = await self.tree.timed(call)
        except (BudgetExceeded, PriceUnknown) as error:
            raise _Ended(ReviewStop.budget, str(error)) from None
        if isinstance(answer, Stop):
            raise _stopped(answer)
        if not isinstance(answer, AgentResult):
            return answer
        result = cast("AgentResult[Any]", answer)
        if not result.done:
            ended = self.tree.ended_by(result.stop, result.detail)
            if ended is not None:
                raise _stopped(ended)
            raise _Ended(ReviewStop.agent_failed, f"{name}: {result.stop.value}. {result.detail}".rstrip())
        return result.output

    def result(self, stop: ReviewStop, detail: str) -> ReviewResult[Any]:
        _, value, left = self.best or (0, self.value, [])
        return ReviewResult(
            value=value,
            stop=stop,
            detail=detail,
            rounds=self.rounds,
            open=[] if stop is ReviewStop.clean else left,
            dismissed=self.dismissed,
            log=self.log,
            usage=self.tree.usage,
            cost_usd=self.tree.cost_usd,
        )


def _stopped(stop: Stop) -> _Ended:
    reason = ReviewStop.budget if stop.reason.value == "budget" else ReviewStop.caps
    return _Ended(reason, stop.detail or stop.reason.value)


def _findings(given: Any) -> list[Finding]:
    every: Any = given.findings if isinstance(given, Analysis) else given
    if isinstance(every, list | tuple):
        found = cast("Sequence[object]", every)
        kept = [one for one in found if isinstance(one, Finding)]
        if len(kept) == len(found):
            return kept
    raise StepError(
        f"a reviewer gave {type(given).__name__}, and no findings.",
        hint="Give an Analysis, or a list of Finding.",
    )


def _key(finding: Finding) -> str:
    """What makes two findings one: place and words, without line numbers, which move."""
    place = finding.place.partition(":")[0]
    return " ".join(_WORDS.split(f"{place} {finding.what}".lower())).strip()


def _listed(findings: Sequence[Finding]) -> str:
    return "\n".join(
        f"{at}. {one.severity}: {one.place}: {one.what} {one.advice}".rstrip()
        for at, one in enumerate(findings, 1)
    )


def _shown(value: Any) -> str:
    return bounded(text_of(value), 40_000)
