"""The pieces of work of each phase: who is asked what, and what that changes in the record. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import msgspec

from tidyllm.agents.agent import Agent
from tidyllm.agents.coordinator_events import Checked, Consulted, TaskChanged, Warned
from tidyllm.agents.crew import Crew, Plan
from tidyllm.agents.decision import ConsultSpecialist
from tidyllm.agents.guards import Ending, GuardLimits
from tidyllm.agents.orchestration_prompts import task_text
from tidyllm.agents.phases import Phase
from tidyllm.agents.project import ProjectStop
from tidyllm.agents.result import AgentResult, TreeUsage
from tidyllm.agents.specialist import Analysis, CodeWork
from tidyllm.agents.state import CheckNote, Consultation, ModelUse, ProjectState, WorkNote
from tidyllm.agents.tasks import Task, TaskStatus
from tidyllm.agents.testing_rules import Check, CheckOrder, Look
from tidyllm.agents.tree_run import TreeRun
from tidyllm.agents.wording import bounded, text_of
from tidyllm.core import Step
from tidyllm.sandbox import Workspace

__all__ = ["TeamEnded", "TeamWork"]

_MOST_TASKS = 20
_NOTE = 2_000
_SEVERE = ("blocker", "major")


class TeamEnded(Exception):
    """A cap of the whole team was met while an agent worked."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.detail)
        self.ending = ending


class TeamWork:
    """The work of one run on one record."""

    def __init__(
        self,
        state: ProjectState,
        tree: TreeRun,
        crew: Crew,
        workspace: Workspace,
        *,
        check: Sequence[str] | None,
        limits: GuardLimits,
    ) -> None:
        self.state = state
        self.tree = tree
        self._crew = crew
        self._check = None if check is None else tuple(check)
        self._checker: Step[CheckOrder, Any] = Check(workspace)
        self._looker = Look(workspace)
        self._limits = limits
        self._since = 0
        self._calls = 0
        self.spoiled: list[str] = []

    # -- looking

    async def begin(self) -> None:
        """How the tree is before anybody works."""
        seen = await self.tree.call(self._looker, -1, "begin")
        self._since = seen.last
        self.state.saw(seen.tree)

    async def look(self) -> bool:
        """How it is now; whether it was never seen like that before."""
        seen = await self.tree.call(self._looker, self._since, self._name("look"))
        self.spoiled = seen.spoiled
        return self.state.saw(seen.tree, seen.changed)

    async def check(self, seconds: float | None = None) -> None:
        """Run the goal's check on the tree as it is, for so long at most."""
        assert self._check is not None
        state = self.state
        first = state.checks[0].output if state.checks else None
        order = CheckOrder(self._check, len(state.checks) + 1, first, seconds)
        result = await self.tree.call(self._checker, order, self._name("check"))
        state.saw(result.tree)
        note = CheckNote(
            state.step,
            result.passed,
            result.exit_code,
            result.output,
            result.tree,
            result.digest,
            result.doubt,
        )
        state.checks.append(note)
        state.moves = 0
        state.conversation.say("coordinator", result.summary, "check")
        self.tell(Checked, passed=result.passed, summary=result.summary)
        if result.passed and state.planned:
            for task in state.tasks_by_status(TaskStatus.review, TaskStatus.debugging, TaskStatus.failed):
                self._to(task, TaskStatus.done)

    # -- working

    async def continue_phase(self) -> None:
        """The next piece of work of the phase that the project is in; there is one."""
        match self.state.phase:
            case Phase.planning:
                await self._plan()
            case Phase.coding:
                await self._code()
            case Phase.review:
                await self._review()
            case Phase.testing:
                await self.check()
            case Phase.debugging:
                await self._debug()
            case Phase.documentation:
                await self._document()

    async def _plan(self) -> None:
        state = self.state
        result = await self._agent(self._crew.planner(), task_text(state, "Plan the work."), "planner")
        plan = cast("Plan | None", result.output)
        planned = [] if plan is None or not result.done else plan.tasks[:_MOST_TASKS]
        for one in planned:
            if one.title.strip():
                self._add(one.title.strip()[:200], bounded(one.description, _NOTE))
        if not state.tasks:
            self.tell(Warned, text="There is no plan that can be used: the goal is the only task.")
            self._add(state.goal.strip().partition("\n")[0][:200] or "The goal", "")
        state.planned = True
        self._note(result, progress=True)

    async def _code(self) -> None:
        state = self.state
        if not state.tasks:
            self._add(state.goal.strip().partition("\n")[0][:200] or "The goal", "")
        task = state.open_tasks()[0]
        if task.status is not TaskStatus.in_progress:
            self._to(task, TaskStatus.in_progress)
        text = task_text(state, "Do this task, and no other.", task=task)
        result = await self._coder(Phase.coding, text, "coder")
        progress = await self.look()
        state.reviewed = False
        self._say(task, result)
        self._note(result, progress=progress, task=task.id)
        if result.done:
            self._to(task, TaskStatus.review)
        elif task.attempts >= self._limits.attempts:
            self._to(task, TaskStatus.failed)
        else:
            self._to(task, TaskStatus.fixes_needed)

    async def _review(self) -> None:
        state = self.state
        what = (
            "Review what was changed for the goal. Report what is wrong with it; no findings, if nothing is."
        )
        agent = self._crew.specialist("analysis", Phase.review, "reviewer")
        result = await self._agent(agent, task_text(state, what), "reviewer")
        state.reviewed = True
        analysis = cast("Analysis | None", result.output) if result.done else None
        found = [] if analysis is None else analysis.findings
        severe = [one for one in found if one.severity in _SEVERE]
        for one in found:
            words = f"{one.severity}: {one.place}: {one.what} {one.advice}".strip()
            state.conversation.say("reviewer", bounded(words, _NOTE), "finding")
        self._note(result, progress=bool(found))
        if severe and state.review_rounds < self._limits.reviews:
            state.review_rounds += 1
            for task in state.tasks_by_status(TaskStatus.review):
                task.notes += [
                    bounded(f"{one.place}: {one.what} {one.advice}".strip(), _NOTE) for one in severe
                ]
                self._to(task, TaskStatus.fixes_needed)

    async def _debug(self) -> None:
        state = self.state
        touched = state.tasks_by_status(
            TaskStatus.review, TaskStatus.done, TaskStatus.failed, TaskStatus.fixes_needed
        )
        for task in touched:
            self._to(task, TaskStatus.debugging)
        earlier = [one.detail for one in state.work_in(Phase.debugging)[-3:] if one.detail]
        what = "Find out why the check fails, and repair it."
        if earlier:
            tried = "\n".join(f"- {bounded(one, 600)}" for one in earlier)
            what = f"{what} It failed as well after:\n{tried}"
        result = await self._coder(Phase.debugging, task_text(state, what), "debugger")
        progress = await self.look()
        if progress:
            state.finish_refused = 0
        self._note(result, progress=progress)
        for task in touched:
            self._to(task, TaskStatus.review)

    async def _document(self) -> None:
        state = self.state
        state.documented = True
        what = (
            "Describe what was changed, where this project describes itself. If it does not, change nothing."
        )
        result = await self._coder(Phase.documentation, task_text(state, what, failing=False), "writer")
        progress = await self.look()
        self._note(result, progress=progress)

    async def consult(self, asked: ConsultSpecialist) -> None:
        """Put a question to a specialist."""
        state = self.state
        agent = self._crew.specialist(asked.kind, state.phase, asked.kind)
        text = task_text(state, f"The question to you:\n{bounded(asked.query, _NOTE)}")
        result = await self._agent(agent, text, asked.kind)
        progress = await self.look() if asked.kind == "coding" else False
        answer = _words(result)
        note = Consultation(state.step, asked.kind, asked.query, answer, ok=result.done)
        state.consultations.append(note)
        state.conversation.say("coordinator", asked.query, "question", to=asked.kind)
        state.conversation.say(asked.kind, answer, "answer")
        self._note(result, progress=progress)
        self.tell(Consulted, kind=asked.kind, query=asked.query, answer=answer, ok=result.done)

    # -- agents

    async def _coder(self, phase: Phase, text: str, name: str) -> AgentResult[CodeWork]:
        return await self._agent(self._crew.specialist("coding", phase, name), text, name)

    async def _agent(self, agent: Agent[Any], text: str, name: str) -> AgentResult[Any]:
        result = await self.tree.call(agent, text, self._name(name))
        self.count(name, result)
        self.state.conversation.say(name, _words(result), "result")
        ended = None if result.done else self.tree.ended_by(result.stop, result.detail)
        if ended is not None:
            self._note(result, progress=True)
            if self.state.phase is not Phase.planning:
                await self.look()
            raise TeamEnded(Ending(ProjectStop(ended.reason), ended.detail))
        return result

    def count(self, name: str, result: Any) -> None:
        """What an agent used."""
        used: TreeUsage = result.usage
        use = self.state.usage.setdefault(name, ModelUse())
        use.runs += 1
        use.turns += used.turns
        use.tool_calls += used.tool_calls
        use.input_tokens += used.input_tokens
        use.output_tokens += used.output_tokens
        use.usd += used.usd
        use.priced = use.priced and result.cost_usd is not None

    def _note(self, result: AgentResult[Any], *, progress: bool, task: str = "") -> None:
        state = self.state
        detail = _words(result) if result.done else result.detail
        note = WorkNote(
            state.step, result.agent, state.phase, task, result.stop.value, bounded(detail, _NOTE), progress
        )
        state.work.append(note)
        state.moves = 0

    # -- tasks

    def _add(self, title: str, description: str) -> None:
        state = self.state
        task = Task(id=f"task-{len(state.tasks) + 1}", title=title, description=description)
        state.tasks.append(task)
        state.conversation.say("planner", title, "task", about=task.id)
        self.tell(TaskChanged, task=task.id, status=task.status, title=title)

    def _to(self, task: Task, status: TaskStatus) -> None:
        task.to(status)
        self.tell(TaskChanged, task=task.id, status=status, title=task.title)

    def close_tasks(self, *, finished: bool) -> None:
        """No more work is done: what was worked on is done if all of it is finished; nothing stays in between."""
        for task in self.state.tasks:
            if finished and task.status in (TaskStatus.review, TaskStatus.debugging):
                self._to(task, TaskStatus.done)
            elif finished and task.is_open:
                self._to(task, TaskStatus.skipped)
            elif task.status in (TaskStatus.in_progress, TaskStatus.debugging):
                self._to(task, TaskStatus.failed)

    def _say(self, task: Task, result: AgentResult[Any]) -> None:
        words = _words(result) if result.done else f"ended: {result.stop.value}. {result.detail}"
        task.notes.append(bounded(words, _NOTE))

    def tell(self, event: type[msgspec.Struct], /, **fields: Any) -> None:
        """Tell whoever listens."""
        self.tree.run.tell(cast("Any", partial(event, **fields)))

    def _name(self, name: str) -> str:
        self._calls += 1
        return f"{self._calls:03}-{name}"


def _words(result: AgentResult[Any]) -> str:
    """What an agent gave, briefly."""
    output = result.output
    if isinstance(output, CodeWork | Analysis):
        return bounded(output.summary, _NOTE)
    conclusion: object = getattr(output, "conclusion", None)
    if isinstance(conclusion, str):
        return bounded(conclusion, _NOTE)
    return bounded(text_of(output) if output is not None else result.text, _NOTE)
