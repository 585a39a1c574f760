"""One run of a project: decide, act, look, until there is an end. It knows who decides, not how work is done.

Each decision and its work is one timed piece; what it used is recorded, so that a run that is replayed counts the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from tidyllm.agents.arbiter import Verdict
from tidyllm.agents.coordinator_events import Decided, DecidedBy, PhaseChanged, Warned
from tidyllm.agents.crew import Crew
from tidyllm.agents.decision import AskUser, ChangePhase, ConsultSpecialist, ContinuePhase, Decision, Finish
from tidyllm.agents.guards import Ending, GuardLimits, rule_instead, stop_of, why_not
from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.mode import Mode
from tidyllm.agents.orchestration_prompts import situation
from tidyllm.agents.phases import Phase
from tidyllm.agents.project import ProjectResult, ProjectStop
from tidyllm.agents.state import DecisionNote, PhaseNote, ProjectState
from tidyllm.agents.stop import Stop
from tidyllm.agents.team_work import TeamEnded, TeamWork
from tidyllm.agents.traditional import has_work, next_by_rule
from tidyllm.agents.tree_run import TreeRun
from tidyllm.core import Step
from tidyllm.errors import NobodyToAsk
from tidyllm.sandbox import Workspace

__all__ = ["ProjectRun"]


_GOT_NOWHERE = (
    ProjectStop.finished,
    ProjectStop.check_failed,
    ProjectStop.no_progress,
    ProjectStop.oscillation,
)
"""Ends that a team which pleases its tests in a wrong way comes to: that is then the reason."""


_GRACE = 60.0
"""Seconds."""


class Owner(Protocol):
    """The settings of a coordinator that its runs need."""

    mode: Mode
    workspace: Workspace
    check: tuple[str, ...] | None
    guards: GuardLimits
    limits: AgentLimits
    documents: bool
    arbiter: Step[str, Verdict]


class ProjectRun:
    """One run: decide, act, look, until there is an end."""

    def __init__(self, owner: Owner, state: ProjectState, tree: TreeRun, crew: Crew) -> None:
        self.owner, self.state, self.tree = owner, state, tree
        self.checks = owner.check is not None
        self.work = TeamWork(state, tree, crew, owner.workspace, check=owner.check, limits=owner.guards)

    async def to_its_end(self) -> ProjectResult:
        if self.owner.mode == "traditional":
            words = "The traditional mode has a fixed order and will be removed; leave the setting out to orchestrate."
            self.work.tell(Warned, text=words)
            logging.getLogger("tidyllm").warning("%s", words)
        ending = await self._begun()
        while ending is None:
            ending = _ending(await self.tree.timed(self._step))
        return await self._closed(ending)

    async def _begun(self) -> Ending | None:
        await self.work.begin()
        state = self.state
        if not state.conversation.messages:
            state.conversation.say("user", state.goal, "goal")
            state.phases.append(PhaseNote(state.phase, 0, "The beginning."))
        self.work.tell(PhaseChanged, phase=state.phase, reason="The beginning.")
        if not self.checks:
            return None
        return _ending(await self.tree.timed(self._checked))  # what fails now is what the team has to know

    async def _checked(self) -> None:
        await self.work.check()

    # -- one step

    async def _step(self) -> Ending | None:
        full = self.tree.full()
        if full is not None:
            return Ending(ProjectStop(full.reason), full.detail)
        ending = stop_of(self.state, self.owner.guards)
        if ending is not None:
            return ending
        try:
            decision = await self._decided()
            return await self._act(decision)
        except TeamEnded as ended:
            return ended.ending

    def _usual(self) -> Decision:
        return next_by_rule(self.state, checks=self.checks, documents=self.owner.documents)

    async def _decided(self) -> Decision:
        state, guards = self.state, self.owner.guards
        usual = self._usual()
        if self.owner.mode == "traditional":
            return self._decide(usual, "rule")
        why = rule_instead(state, guards)
        if why:
            if state.moves >= guards.moves:
                state.oscillations += 1
                state.moves = 0
            return self._decide(usual, "guard", why)
        text = situation(state, usual, self.tree.left(), checks=self.checks)
        verdict = await self.tree.call(self.owner.arbiter, text, f"arbiter-{state.step + 1:03}")
        self.work.count("arbiter", verdict)
        if verdict.decision is None:
            ended = self.tree.ended_by(verdict.stop, verdict.why)
            if ended is not None:
                raise TeamEnded(Ending(ProjectStop(ended.reason), ended.detail))
            return self._decide(usual, "rule", verdict.why)
        refused = why_not(state, verdict.decision, guards)
        if refused:
            return self._decide(usual, "guard", refused)
        return self._decide(verdict.decision, "model", "After a repair." if verdict.repaired else "")

    def _decide(self, decision: Decision, by: DecidedBy, why: str = "") -> Decision:
        state = self.state
        state.step += 1
        state.decisions.append(DecisionNote(state.step, state.phase, decision, by, why))
        self.work.tell(Decided, decision=decision, by=by, why=why)
        return decision

    async def _act(self, decision: Decision) -> Ending | None:
        match decision:
            case ChangePhase():
                self._change(decision)
            case ConsultSpecialist():
                await self.work.consult(decision)
            case AskUser():
                await self._ask(decision)
            case ContinuePhase():
                return await self._continue()
            case Finish():
                return await self._finish(decision)
        return None

    def _change(self, decision: ChangePhase) -> None:
        state = self.state
        state.phase = decision.to
        state.moves += 1
        state.phases.append(PhaseNote(decision.to, state.step, decision.reason[:500]))
        self.work.tell(PhaseChanged, phase=decision.to, reason=decision.reason[:500])

    async def _continue(self) -> Ending | None:
        if has_work(self.state, checks=self.checks, documents=self.owner.documents):
            await self.work.continue_phase()
            return None
        usual = self._decide(self._usual(), "guard", f"There is nothing to do in {self.state.phase}.")
        return await self._act(usual)

    async def _ask(self, decision: AskUser) -> None:
        state = self.state
        state.questions += 1
        state.conversation.say("coordinator", decision.question, "question", to="user")
        try:
            answer = await self.tree.run.ctx.ask(decision.question)
        except NobodyToAsk:
            answer = ""
            self.work.tell(Warned, text="Nobody can be asked; the team goes on without an answer.")
        state.conversation.say("user", answer or "(nobody could be asked)", "answer")
        if not answer:
            usual = self._decide(self._usual(), "guard", "Nobody can be asked.")
            await self._act(usual)

    async def _finish(self, decision: Finish) -> Ending | None:
        """With a check it must pass; with tasks left somebody must insist."""
        state = self.state
        await self.work.look()
        if self.work.spoiled:
            return Ending(ProjectStop.tests_spoiled, _spoiled(self.work.spoiled))
        if self.checks and not state.check_is_current:
            await self.work.check()
        if self.checks and not state.check_passes:
            state.finish_refused += 1
            forced = ChangePhase(Phase.debugging, "It was called finished, and the check fails.")
            await self._act(self._decide(forced, "guard", "The check fails."))
            return None
        if state.open_tasks() or not state.work:
            state.finish_refused += 1
            if state.finish_refused < self.owner.guards.finishes:
                await self._act(self._decide(self._usual(), "guard", "There is work left."))
                return None
        return Ending(ProjectStop.finished, decision.reason[:500])

    # -- the end

    def _grace(self) -> float | None:
        """Seconds of the last check when the time is over: a tenth of it, lest the cap be none."""
        seconds = self.owner.limits.seconds
        return None if seconds is None else min(max(seconds / 10, 5.0), _GRACE)

    async def _closed(self, ending: Ending) -> ProjectResult:
        """A last look, and a last check where the tree is not as it was at the latest one."""
        state, work = self.state, self.work
        await work.look()
        if self.checks and not state.check_is_current and not work.spoiled:
            await work.check(self._grace() if ending.stop is ProjectStop.deadline else None)
            await work.look()
        checked = state.check_passes if self.checks else None
        if work.spoiled:
            ending = Ending(ProjectStop.tests_spoiled, _spoiled(work.spoiled))
        elif ending.stop in _GOT_NOWHERE and state.is_doubted:
            ending = Ending(
                ProjectStop.tests_spoiled, f"The check is not believed: {state.checks[-1].doubt}."
            )
        elif ending.stop is ProjectStop.finished and checked is False:
            ending = Ending(ProjectStop.check_failed, "It was called finished, and the check fails.")
        elif ending.stop is not ProjectStop.finished and _only_described(state) and checked:
            ending = Ending(ProjectStop.finished, f"The description was cut short: {ending.detail}")
        work.close_tasks(finished=ending.stop is ProjectStop.finished)
        last, usage = state.last_check, self.tree.usage
        return ProjectResult(
            stop=ending.stop,
            detail=ending.detail,
            checked=checked,
            check_output="" if last is None else last.output,
            state=state,
            changes=state.changed,
            spoiled=work.spoiled,
            cost_usd=self.tree.cost_usd,
            tokens=usage.tokens,
            turns=usage.turns,
            tool_calls=usage.tool_calls,
            seconds=usage.seconds,
        )


def _ending(found: Ending | Stop | None) -> Ending | None:
    if isinstance(found, Stop):
        return Ending(ProjectStop(found.reason), found.detail)
    return found


def _only_described(state: ProjectState) -> bool:
    return state.phase is Phase.documentation and not state.open_tasks()


def _spoiled(paths: Sequence[str]) -> str:
    return f"Protected files are not as they were: {', '.join(paths[:20])}."
