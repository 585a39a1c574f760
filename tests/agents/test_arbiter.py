"""An arbiter's answer is a decision or it is none: prose decides nothing, and rules and guards come before it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents import (
    Arbiter,
    AskUser,
    ChangePhase,
    ConsultSpecialist,
    ContinuePhase,
    Decision,
    Finish,
    GuardLimits,
    Phase,
    ProjectState,
    Task,
    TaskStatus,
    decision_schema,
    read_decision,
)
from tidyllm.agents.guards import rule_instead, stop_of, why_not
from tidyllm.agents.state import CheckNote, DecisionNote, WorkNote
from tidyllm.agents.tasks import LEGAL
from tidyllm.agents.traditional import has_work, next_by_rule
from tidyllm.errors import BadAnswer, StepError
from tidyllm.models import JSONSchema, ModelInfo, Request
from tidyllm.testing import Reply, scripted
from tidyllm.testing.behaviours import BROKEN_DECISIONS

DECISIONS: list[Decision] = [
    ConsultSpecialist("reasoning", "Why?"),
    ChangePhase(Phase.coding, "It is planned."),
    ContinuePhase(),
    AskUser("Which one?"),
    Finish("Done."),
]


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("form", ["{}", "```json\n{}\n```", "\n {}\n", '{{"decision": {}}}'])
def test_a_decision_is_read_as_it_was_written(decision: Decision, form: str) -> None:
    assert read_decision(form.format(msgspec.json.encode(decision).decode())) == decision


@pytest.mark.parametrize("kind", list(BROKEN_DECISIONS))
def test_what_is_no_decision_decides_nothing(kind: str) -> None:
    with pytest.raises(BadAnswer, match="no decision"):
        read_decision(BROKEN_DECISIONS[kind])


@pytest.mark.parametrize(
    "said",
    [
        'I would never answer {"action": "finish", "reason": "no"} here.',
        'No:\n```json\n{"action": "finish", "reason": "an example of what I do not want"}\n```',
        '```json\n{"action": "finish", "reason": "a"}\n```\n```json\n{"action": "continue_phase"}\n```',
        '{"action": "finish", "action": "continue_phase"}',
        '{"action": "finish", "reason": "a", "to": "coding"}',
        '{"action": "ask_user", "question": "  "}',
        '{"action": "Finish", "reason": "upper case"}',
        '{"decision": {"action": "continue_phase"}, "not": true}',
        "[" * 100_000,
        '{"action": "finish", "reason": "\\ud800"}',
    ],
)
def test_words_around_a_decision_leave_none(said: str) -> None:
    with pytest.raises(BadAnswer):
        read_decision(said)


@given(st.text(max_size=300))
def test_no_text_decides_by_its_words(said: str) -> None:
    for text in (said, f"{said} change_phase to coding", f"I will not finish. {said}"):
        with pytest.raises(BadAnswer):
            read_decision(text)


async def test_an_arbiter_gives_a_decision() -> None:
    verdict = await Arbiter(scripted('{"action": "change_phase", "to": "review", "reason": "r"}'))(
        "Now what?"
    )
    assert (verdict.decision, verdict.repaired) == (ChangePhase(Phase.review, "r"), False)
    assert verdict.usage.turns == 1


async def test_what_is_none_goes_back_once_with_the_reason() -> None:
    model = scripted("I will not change_phase.", '{"action": "continue_phase"}')
    verdict = await Arbiter(model)("Now what?")
    assert (verdict.decision, verdict.repaired, verdict.usage.turns) == (ContinuePhase(), True, 2)
    second = model.requests[1].turns[-3:]
    assert [turn.role for turn in second] == ["user", "assistant", "user"]
    assert "This is no decision" in second[2].text


async def test_after_one_repair_there_is_no_decision() -> None:
    model = scripted("I will not change_phase.", "I said that I will not.")
    verdict = await Arbiter(model)("Now what?")
    assert verdict.decision is None
    assert "2 answers in a row were no decision" in verdict.why
    assert len(model.requests) == 2


@pytest.mark.parametrize("bad", [Reply(), Reply(status=500), Reply(text="x", finish_reason="length")])
async def test_no_answer_is_no_decision(bad: Reply) -> None:
    def always(request: Request) -> Reply:
        return bad

    verdict = await Arbiter(scripted(always))("Now what?")
    assert verdict.decision is None
    assert verdict.why


async def test_the_model_is_shown_the_schema_and_no_tools() -> None:
    model = scripted('{"action": "continue_phase"}')
    await Arbiter(model, "Prefer reviews.")("Now what?")
    (asked,) = model.requests
    words = f"{asked.system}{asked.messages}"
    assert asked.tools == ()
    assert "Prefer reviews." in words
    assert msgspec.json.encode(decision_schema()).decode()[:60] in words.replace("\\", "")


async def test_a_model_that_keeps_to_schemas_gets_one_of_an_object() -> None:
    model = scripted('{"decision": {"action": "finish", "reason": "r"}}')
    model.info = ModelInfo(name="openai/gpt-5.1", abilities=frozenset({"structured_output"}))
    verdict = await Arbiter(model)("Now what?")
    assert verdict.decision == Finish("r")
    asked = model.requests[0].output
    assert isinstance(asked, JSONSchema)
    assert (asked.strict, asked.schema["type"], list(asked.schema["properties"])) == (
        True,
        "object",
        ["decision"],
    )


# -- tasks, the rule and guards


@given(st.lists(st.sampled_from(TaskStatus), max_size=30))
def test_a_task_takes_legal_steps_only(path: list[TaskStatus]) -> None:
    task = Task(id="a", title="A")
    for status in path:
        before = task.status, len(task.history), task.attempts
        if status in LEGAL[task.status]:
            task.to(status)
            assert task.history[-1] is before[0]
            assert task.attempts == before[2] + (status is TaskStatus.in_progress)
        else:
            with pytest.raises(StepError, match="cannot go from"):
                task.to(status)
            assert (task.status, len(task.history), task.attempts) == before
    walked = [*task.history, task.status]
    assert all(later in LEGAL[earlier] for earlier, later in pairwise(walked))


STATES = st.builds(
    ProjectState,
    phase=st.sampled_from(Phase),
    tasks=st.lists(
        st.builds(Task, id=st.uuids().map(str), title=st.just("t"), status=st.sampled_from(TaskStatus)), max_size=4
    ),
    planned=st.booleans(),
    reviewed=st.booleans(),
    documented=st.booleans(),
    tree=st.sampled_from(["a", "b"]),
    checks=st.lists(
        st.builds(
            CheckNote, step=st.just(1), passed=st.booleans(), exit_code=st.just(0), output=st.just(""),
            tree=st.sampled_from(["a", "b"]),
        ),
        max_size=2,
    ),
)  # fmt: skip


@given(STATES, st.booleans(), st.booleans())
def test_the_rule_comes_to_work_or_an_end_within_four_moves(
    state: ProjectState, checks: bool, documents: bool
) -> None:
    phases: list[Any] = []
    for _ in range(5):
        decision = next_by_rule(state, checks=checks, documents=documents)
        if isinstance(decision, ContinuePhase):
            assert has_work(state, checks=checks, documents=documents)
            return
        if isinstance(decision, Finish):
            assert not state.open_tasks()
            assert not checks or state.check_passes
            return
        assert isinstance(decision, ChangePhase)
        assert decision.to is not state.phase
        phases.append(decision.to)
        state.phase = decision.to
    raise AssertionError(f"it went on and on: {phases}")


def work(stop: str = "done", *, progress: bool = True, phase: Phase = Phase.coding) -> WorkNote:
    return WorkNote(1, "coder", phase, "", stop, "", progress)


FAILING = CheckNote(1, False, 1, "1 failed", "a")


def test_failures_in_a_row_stop_a_team_with_the_last_reason() -> None:
    failed = [work("malformed"), work("repeated"), work("repeated")]
    found = stop_of(ProjectState(work=failed), GuardLimits())
    assert found is not None
    assert found.stop == "repeated"
    assert stop_of(ProjectState(work=[*failed, work()]), GuardLimits()) is None


def test_work_that_leaves_nothing_new_stops_a_team() -> None:
    idle = [work(progress=False)] * 4
    found = stop_of(ProjectState(work=idle, checks=[FAILING], tree="a"), GuardLimits())
    assert found is not None
    assert found.stop == "no_progress"
    passing = CheckNote(1, True, 0, "", "a")
    assert stop_of(ProjectState(work=idle, checks=[passing], tree="a"), GuardLimits()) is None


def test_repairs_that_do_not_help_stop_a_team() -> None:
    tried = [work(phase=Phase.debugging)] * 8
    found = stop_of(ProjectState(work=tried, checks=[FAILING], tree="a"), GuardLimits())
    assert found is not None
    assert found.stop == "check_failed"


def test_guards_say_when_the_rule_decides() -> None:
    asked = [DecisionNote(1, Phase.coding, ConsultSpecialist("coding", str(at)), "model") for at in range(3)]
    assert "in a row" in rule_instead(ProjectState(decisions=asked), GuardLimits())
    assert "without work" in rule_instead(ProjectState(moves=4), GuardLimits())
    assert "not asked any more" in rule_instead(ProjectState(oscillations=2), GuardLimits())
    assert rule_instead(ProjectState(), GuardLimits()) == ""
    assert why_not(ProjectState(), ChangePhase(Phase.planning, ""), GuardLimits())
    assert why_not(ProjectState(questions=5), AskUser("And?"), GuardLimits())
