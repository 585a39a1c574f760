"""Answers that would have a call run which the model did not make, or keep the reader busy."""

from __future__ import annotations

import pytest

from tidyllm.agents.parse import read_calls

SCHEMAS = {
    name: {"type": "object", "properties": {"path": {"type": "string"}}} for name in ("look", "remove")
}
DRAFT = '{"tool": "remove", "parameters": {"path": "a"}}'
CALL = '{"tool": "look", "parameters": {"path": "b"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"I could run {DRAFT}, but no.\n</think>\n\n{CALL}",
        f"Well.\n<think>{DRAFT}</think>\n{CALL}",
        f"<think>a</think><think>{DRAFT}</think>{CALL}",
        f"<reasoning>{DRAFT}</reasoning>{CALL}",
        f"A <think> tag alone is a mention. {CALL}",
    ],
)
def test_a_draft_in_a_thought_is_no_call_wherever_the_thought_stands(text: str) -> None:
    assert [call.name for call in read_calls(text, SCHEMAS).calls] == ["look"]


def test_the_end_of_a_thought_within_an_argument_hides_no_call() -> None:
    text = "<function=look><parameter=path>a\n</think>\nb</parameter></function>"
    assert [call.arguments for call in read_calls(text, SCHEMAS).calls] == [{"path": "a\n</think>\nb"}]


@pytest.mark.parametrize("tag", ["tool_response", "tool_result", "function_results", "tool_output"])
def test_what_follows_a_result_that_the_model_made_up_is_not_run(tag: str) -> None:
    found = read_calls(f"{CALL}\n<{tag}>{DRAFT}</{tag}>\n{DRAFT}", SCHEMAS)
    assert [call.name for call in found.calls] == ["look"]
    assert len(found.problems) == 1
    assert f"remove was not called: it stands after a <{tag}> that you wrote yourself" in found.problems[0]
    assert not read_calls(f"The tag <{tag}> holds results.", SCHEMAS).problems


@pytest.mark.parametrize("name", ["5", "null", '["look"]', "true", '{"name": 1}'])
def test_a_name_that_is_no_text_goes_back_to_the_model(name: str) -> None:
    found = read_calls(f'{{"tool": {name}, "parameters": {{"path": "a"}}}}', SCHEMAS)
    assert (found.calls, len(found.problems)) == ((), 1)
    assert "A call names no tool: 'tool' must be the name of one" in found.problems[0]


@pytest.mark.parametrize(
    "name", ["l\u043e\u043ek", "look\u200b", "LOOK", "functions.look", "\uff4cook", "look "]
)
def test_a_name_that_only_looks_like_a_tools_is_another_name(name: str) -> None:
    assert [call.name for call in read_calls(CALL.replace("look", name), SCHEMAS).calls] == [name]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "+1e999", "9" * 5_000])
def test_a_number_that_nobody_can_save_is_refused(number: str) -> None:
    found = read_calls(f'{{"tool": "look", "parameters": {{"path": {number}}}}}', SCHEMAS)
    assert (found.calls, len(found.problems)) == ((), 1)


def test_an_answer_of_many_megabytes_is_refused_and_not_read() -> None:
    found = read_calls("[{" * 5_000_000 + CALL, SCHEMAS)
    assert found.calls == ()
    assert found.problems[0].startswith("The answer has 10,000,045 characters; at most 1,000,000 are read")
