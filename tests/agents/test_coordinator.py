"""A coordinator goes through phases and tasks, believes the check alone, and always ends with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.agents.teams import CHECK, LIMITS, done, idle, project, role, team_of, worked, write
from tidyllm.agents import (
    AgentLimits,
    Coordinator,
    Decided,
    Goal,
    GuardLimits,
    PhaseChanged,
    ProjectState,
    ProjectStopped,
    TaskStatus,
    Warned,
)
from tidyllm.agents.coordinator_events import ProjectEvent
from tidyllm.core import Context
from tidyllm.errors import CommandRefused, ConfigError
from tidyllm.models import Request
from tidyllm.sandbox import Workspace
from tidyllm.testing import Reply, call


def phases(state: ProjectState) -> list[str]:
    return [note.phase.value for note in state.phases]


def whys(events: list[ProjectEvent], by: str) -> list[str]:
    return [one.why for one in events if isinstance(one, Decided) and one.by == by]


async def test_the_traditional_order_needs_no_arbiter_and_warns(tmp_path: Path) -> None:
    asked: list[str] = []
    told: list[ProjectEvent] = []

    def decide(request: Request) -> str:
        asked.append("arbiter")
        return ""

    result = await worked(tmp_path, team_of(decide), mode="traditional", observe=told.append)
    assert (result.stop, result.exit_code, asked) == ("finished", 0, [])
    assert phases(result.state) == ["planning", "coding", "review", "testing", "documentation"]
    assert {note.by for note in result.state.decisions} == {"rule"}
    assert any(isinstance(one, Warned) and "will be removed" in one.text for one in told)


async def test_an_arbiter_decides_and_its_decisions_are_kept(tmp_path: Path) -> None:
    said = iter([
        {"action": "consult_specialist", "kind": "reasoning", "query": "What is the answer?"},
        {"action": "change_phase", "to": "coding", "reason": "It is simple."},
        {"action": "continue_phase"},
        {"action": "finish", "reason": "It says 42."},
    ])  # fmt: skip

    def planning(request: Request) -> Reply:
        assert role(request) == "planning"
        return done(conclusion="It is 42.")

    result = await worked(tmp_path, team_of(lambda _: next(said), planning=planning))
    assert (result.stop, result.detail, result.exit_code) == ("finished", "It says 42.", 0)
    assert [type(one.decision).__name__ for one in result.state.decisions_by("model")] == [
        "ConsultSpecialist", "ChangePhase", "ContinuePhase", "Finish",
    ]  # fmt: skip
    assert [one.answer for one in result.state.consultations_of("reasoning")] == ["It is 42."]
    assert result.changes == ["answer.txt"]


async def test_finish_is_not_believed_while_the_check_fails(tmp_path: Path) -> None:
    told: list[ProjectEvent] = []
    liar = team_of(lambda _: {"action": "finish", "reason": "All is well."}, debugging=idle)
    result = await worked(tmp_path, liar, observe=told.append)
    assert (result.stop, result.exit_code, result.checked) == ("check_failed", 1, False)
    assert "The check fails." in whys(told, "guard")
    assert "it is 41" in result.check_output


async def test_finish_leads_to_debugging_and_debugging_to_the_end(tmp_path: Path) -> None:
    result = await worked(tmp_path, team_of(finish_once, debugging=write))
    assert (result.stop, result.exit_code) == ("finished", 0)
    assert "debugging" in phases(result.state)


def finish_once(request: Request) -> dict[str, Any]:
    words = str(request.turns[-1].content)
    return {"action": "finish" if "Phase: planning" in words else "continue_phase", "reason": "Perhaps."}


async def test_without_a_check_the_exit_code_is_3(tmp_path: Path) -> None:
    result = await worked(tmp_path, team_of(), check=None)
    assert (result.stop, result.exit_code, result.checked) == ("finished", 3, None)
    assert (tmp_path / "project" / "answer.txt").read_text() == "42\n"


async def test_a_team_with_spoiled_tests_has_failed(tmp_path: Path) -> None:
    tree = project(tmp_path)

    def spoiling(event: ProjectEvent) -> None:
        if isinstance(event, PhaseChanged) and event.phase == "review":
            (tree / "test_kept.py").write_text("# gone\n")  # as if somebody had got around the sandbox

    result = await worked(tmp_path, team_of(), observe=spoiling)
    assert (result.stop, result.exit_code, result.spoiled) == ("tests_spoiled", 1, ["test_kept.py"])
    assert "test_kept.py" in result.detail


async def test_new_tests_may_be_added(tmp_path: Path) -> None:
    def coding(request: Request) -> Reply:
        if request.turns[-1].role == "tool":
            return done(summary="With a test.")
        test = call("write_file", path="test_new.py", text="def test_new():\n    assert True\n")
        return Reply(tool_calls=(call("write_file", path="answer.txt", text="42"), test))

    result = await worked(tmp_path, team_of(coding=coding))
    assert (result.exit_code, result.changes) == (0, ["answer.txt", "test_new.py"])


async def test_serious_findings_send_a_task_back(tmp_path: Path) -> None:
    reviews = iter([[{"place": "answer.txt:1", "what": "no newline", "severity": "major"}], []])

    def review(request: Request) -> Reply:
        return done(summary="Read.", findings=next(reviews))

    result = await worked(tmp_path, team_of(review=review), mode="traditional")
    task = result.state.tasks[0]
    assert (result.exit_code, task.attempts, task.status) == (0, 2, TaskStatus.done)
    assert TaskStatus.fixes_needed in task.history
    assert any("no newline" in note for note in task.notes)


async def test_back_and_forth_between_phases_is_stopped_by_the_rule(tmp_path: Path) -> None:
    told: list[ProjectEvent] = []

    def decide(request: Request) -> dict[str, Any]:
        to = "review" if "Phase: testing" in str(request.turns[-1].content) else "testing"
        return {"action": "change_phase", "to": to, "reason": "I cannot make up my mind."}

    result = await worked(tmp_path, team_of(decide), observe=told.append)
    assert (result.stop, result.exit_code) == ("finished", 0)
    assert any("without work in between" in why for why in whys(told, "guard"))


async def test_back_and_forth_without_any_work_has_a_name(tmp_path: Path) -> None:
    def decide(request: Request) -> dict[str, Any]:
        to = "review" if "Phase: testing" in str(request.turns[-1].content) else "testing"
        return {"action": "change_phase", "to": to, "reason": "Who knows."}

    result = await worked(tmp_path, team_of(decide, coding=idle, debugging=idle))
    assert (result.stop, result.exit_code) == ("oscillation", 1)


async def test_questions_go_to_the_user_and_the_answer_is_kept(tmp_path: Path) -> None:
    asked: list[str] = []

    async def asker(question: str, ctx: Context, /) -> str:
        asked.append(question)
        return "Forty-two."

    def decide(request: Request) -> dict[str, Any]:
        heard = "The user said: Forty-two." in str(request.turns[-1].content)
        return {"action": "continue_phase"} if heard else {"action": "ask_user", "question": "Which number?"}

    result = await worked(tmp_path, team_of(decide), ctx=Context.new(asker=asker))
    assert (result.exit_code, asked) == (0, ["Which number?"])
    alone = await worked(tmp_path, team_of(decide))
    assert alone.exit_code == 0
    assert alone.state.questions <= 5


@pytest.mark.parametrize(
    ("limits", "stop"),
    [
        (AgentLimits(turns=3), "turns"),
        (AgentLimits(tool_calls=0), "tool_calls"),
        (AgentLimits(tokens=300), "tokens"),
        (AgentLimits(usd=Decimal("0.01")), "budget"),
    ],
)
async def test_caps_hold_for_the_whole_team(limits: AgentLimits, stop: str, tmp_path: Path) -> None:
    result = await worked(tmp_path, team_of(), limits=limits)
    assert (result.stop, result.exit_code) == (stop, 1)
    assert limits.turns is None or result.turns <= limits.turns


async def test_the_number_of_decisions_is_capped(tmp_path: Path) -> None:
    result = await worked(tmp_path, team_of(), guards=GuardLimits(steps=3))
    assert (result.stop, result.state.step) == ("steps", 3)


async def test_a_cancelled_team_says_so(tmp_path: Path) -> None:
    told: list[ProjectEvent] = []
    started = asyncio.Event()

    def slow(request: Request) -> Reply:
        started.set()
        return Reply(delay=60)

    work = asyncio.ensure_future(worked(tmp_path, team_of(coding=slow), observe=told.append))
    await started.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert isinstance(told[-1], ProjectStopped)
    assert told[-1].stop == "cancelled"


async def test_events_are_a_stream_that_ends_with_the_result(tmp_path: Path) -> None:
    project(tmp_path)
    with Workspace(tmp_path / "project", state=tmp_path / "state") as workspace:
        team = Coordinator(team_of(), workspace, check=CHECK, limits=LIMITS)
        events = [event async for event in team.stream("Make it say 42.")]
    kinds = [type(event).__name__ for event in events]
    assert {"PhaseChanged", "TaskChanged", "Decided", "Checked", "ToolStarted", "TurnFinished"} <= set(kinds)
    assert kinds[-1] == "ProjectStopped"
    assert team.join(events).exit_code == 0
    assert {event.agent for event in events} >= {"coordinator", "planner", "coder", "reviewer"}


async def test_the_state_is_exported_and_goes_on_from_there(tmp_path: Path) -> None:
    first = await worked(tmp_path, team_of(), guards=GuardLimits(steps=3))
    again = ProjectState.from_json(first.state.to_json())
    assert again == first.state
    result = await worked(tmp_path, team_of(), state=again)
    assert (result.exit_code, len(result.state.tasks)) == (0, 1)
    assert result.state.usage["planner"].runs == 1
    assert first.state.step == 3, "the state that was given is not changed"


def test_a_state_that_is_none_is_refused() -> None:
    for bad in (
        b"",
        b"[]",
        b'{"phase": "holidays"}',
        b'{"tasks": [{"id": "a", "title": ""}, {"id": "a", "title": ""}]}',
    ):
        with pytest.raises(ConfigError, match="no state of a project"):
            ProjectState.from_json(bad)


async def test_roles_have_models_of_their_own(tmp_path: Path) -> None:
    def never(request: Request) -> Reply:
        raise AssertionError(role(request))

    def here(**roles: Any) -> Any:
        return team_of(**roles)

    models = {"default": here(planning=never), "planning": here(coding=never), "arbiter": here(coding=never)}
    result = await worked(tmp_path, models)
    assert result.exit_code == 0


def settings() -> Iterator[tuple[dict[str, Any], str]]:
    yield {"mode": "creative"}, "no mode"
    yield {"check": "pytest -q"}, "as words"
    yield {"check": []}, "as words"
    yield {"policies": {"fly": "ask"}}, "no tool 'fly'"


@pytest.mark.parametrize(("options", "message"), list(settings()))
def test_settings_that_make_no_sense_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with Workspace(project(tmp_path), state=tmp_path / "state") as workspace:
        with pytest.raises(ConfigError, match=message):
            Coordinator(team_of(), workspace, **options)
        with pytest.raises(ConfigError, match="only"):
            Coordinator({"painting": team_of()}, workspace)


async def test_a_check_that_may_not_run_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    model = team_of()
    with pytest.raises(CommandRefused):
        await worked(tmp_path, model, check=("curl", "http://localhost"))
    assert model.requests == []


async def test_a_goal_may_bring_its_state(tmp_path: Path) -> None:
    first = await worked(tmp_path, team_of(), guards=GuardLimits(steps=1))
    with Workspace(tmp_path / "project", state=tmp_path / "state") as workspace:
        team = Coordinator(team_of(), workspace, check=CHECK, limits=LIMITS)
        result = await team(Goal(text="Make it say 42.", state=first.state))
    assert result.exit_code == 0
