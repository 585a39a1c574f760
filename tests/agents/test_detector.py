"""The detector finds agents that get nowhere, and leaves those alone that get on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents.detector import Detector, Done
from tidyllm.agents.stop import StopReason


def read(result: str, arguments: str = "{}", tool: str = "read") -> Done:
    return Done(tool, arguments, result, reads=True)


def write(arguments: str, result: str = "ok", tool: str = "write") -> Done:
    return Done(tool, arguments, result)


def run(detector: Detector, *calls: Done) -> list[StopReason | None]:
    found = [detector.turn([one]) for one in calls]
    return [None if one is None else one.reason for one in found]


def test_the_third_equal_call_with_an_equal_result_is_one_too_many() -> None:
    assert run(Detector(), *[read("same")] * 3) == [None, None, StopReason.repeated]


def test_a_result_that_changes_resets_it() -> None:
    calls = [read("1 %"), read("1 %"), read("2 %"), read("2 %"), read("3 %")]
    assert set(run(Detector(), *calls)) == {None}


def test_another_call_in_between_resets_it() -> None:
    calls = [read("fails"), read("fails"), write("a"), read("fails"), write("b"), read("fails"), write("c")]
    assert set(run(Detector(), *calls)) == {None}


def test_two_calls_in_turn_are_ping_pong() -> None:
    calls = [read("x", "a"), read("y", "b")] * 2
    assert run(Detector(), *calls) == [None, None, None, StopReason.ping_pong]
    assert run(Detector(ping_pong=3), *calls, *calls)[5] is StopReason.ping_pong


def test_runs_of_tests_that_differ_in_their_seconds_alone_are_equal() -> None:
    told = ["1 failed in 0.03s", "1 failed in 61.20s (0:01:01)", "1 failed in 0.04s"]
    assert run(Detector(), *[read(one, tool="run_tests") for one in told])[-1] is StopReason.repeated
    calls = [
        one
        for n in range(2)
        for one in (read("x = 1"), read(f"<A at 0x7f{n}>: 1 failed in 0.{n}s", tool="run_tests"))
    ]
    assert run(Detector(), *calls)[-1] is StopReason.ping_pong
    assert (
        run(Detector(), read("2 failed in 1.0s"), read("1 failed in 1.0s"), read("3 failed in 1.0s"))[-1]
        is None
    )


def test_two_calls_in_turn_with_new_results_are_work() -> None:
    calls = [one for n in range(20) for one in (write(f"edit {n}"), read(f"{n} failed"))]
    assert set(run(Detector(), *calls)) == {None}


def test_longer_circles_are_no_progress() -> None:
    circle = [read(text, text) for text in "abc"] * 4
    assert run(Detector(no_progress=5), *circle)[7] is StopReason.no_progress


def test_reading_that_finds_nothing_new_is_no_progress_whatever_is_asked() -> None:
    calls = [read("no match", f"word {n}") for n in range(9)]
    assert run(Detector(), *calls) == [None] * 8 + [StopReason.no_progress]


def test_changing_something_is_progress_though_the_answer_is_the_same() -> None:
    assert set(run(Detector(), *[write(f"file {n}") for n in range(30)])) == {None}


def test_equal_calls_of_one_turn_count_once() -> None:
    assert Detector().turn([read("same")] * 5) is None


def test_it_warns_one_step_before() -> None:
    detector = Detector()
    run(detector, read("same"))
    assert detector.warning is None
    run(detector, read("same"))
    assert "read 2 times in a row" in (detector.warning or "")


@pytest.mark.parametrize("off", [{"repeats": 0, "ping_pong": 0, "no_progress": 0}])
def test_it_can_be_turned_off(off: dict[str, int]) -> None:
    assert set(run(Detector(**off), *[read("same")] * 50)) == {None}


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=40))
def test_whoever_gets_something_new_each_turn_is_never_stopped(asked: list[tuple[str, int]]) -> None:
    calls = [read(f"new {number}", f"{n}", tool) for number, (tool, n) in enumerate(asked)]
    assert set(run(Detector(), *calls)) <= {None}


@given(st.lists(st.sampled_from("abc"), min_size=40, max_size=40))
def test_whoever_gets_nothing_new_is_always_stopped(asked: list[str]) -> None:
    assert any(run(Detector(), *[read(text, text) for text in asked]))
