"""Prompts are made of the sections that belong to a task, and fit their budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents.prompt_builder import COMPLEXITIES, KINDS, PHASES, PromptBuilder, Section
from tidyllm.errors import ConfigError
from tidyllm.tokens import count_text

sections = st.lists(
    st.builds(
        Section,
        name=st.uuids().map(str),
        text=st.text(max_size=80),
        phases=st.lists(st.sampled_from(PHASES), max_size=2).map(tuple),
        priority=st.integers(0, 100),
    ),
    max_size=8,
)


@given(sections, st.sampled_from(PHASES), st.integers(0, 200), st.sampled_from(["", "openai/gpt-5.1"]))
def test_a_prompt_is_never_above_its_budget(
    given_sections: list[Section], phase: str, budget: int, model: str
) -> None:
    built = PromptBuilder(given_sections).build(phase, budget_tokens=budget, model=model)
    assert built.tokens == count_text(built.text, model).tokens <= budget


@given(sections, st.sampled_from(PHASES), st.integers(0, 200))
def test_what_is_left_out_is_never_more_important_than_what_stays(
    given_sections: list[Section], phase: str, budget: int
) -> None:
    built = PromptBuilder(given_sections).build(phase, budget_tokens=budget)
    priority = {section.name: section.priority for section in given_sections}
    if built.left_out and built.sections:
        assert max(priority[name] for name in built.left_out) <= min(
            priority[name] for name in built.sections
        )


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_has_a_prompt_of_its_own(phase: str) -> None:
    built = PromptBuilder.default().build(phase)
    assert f"Phase: {phase}" in built.text
    assert built.sections[0] == "base"
    assert not any(f"Phase: {other}" in built.text for other in PHASES if other != phase)


def test_kind_and_complexity_bring_their_sections() -> None:
    build = PromptBuilder.default().build
    texts = {build("coding", kind, how).text for kind in KINDS for how in COMPLEXITIES}
    assert len(texts) == len(KINDS) * len(COMPLEXITIES)
    assert "kind coding" not in build("coding").sections


def test_the_least_important_sections_go_first() -> None:
    whole = PromptBuilder.default().build("coding", "coding", "normal")
    less = PromptBuilder.default().build("coding", "coding", "normal", budget_tokens=whole.tokens - 1)
    assert less.left_out == ("edge cases",)


def test_what_was_built_is_kept() -> None:
    builder = PromptBuilder.default()
    assert builder.build("coding") is builder.build("coding")
    assert builder is PromptBuilder.default()


def test_a_section_can_be_replaced_and_added() -> None:
    builder = PromptBuilder.default().with_(
        Section(name="base", text="Be kind.", priority=100), Section(name="house", text="Tabs.")
    )
    built = builder.build("review")
    assert built.text.startswith("Be kind.")
    assert built.sections[-1] == "house"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[section]]\nname = 'a'\ntext = 'b'\nphases = ['cooking']", "'cooking' is no phase"),
        ("[[section]]\nname = 'a'\ntext = 'b'\n[[section]]\nname = 'a'\ntext = 'c'", "two sections"),
        ("[[section]]\nname = 'a'", "no sections of a prompt"),
        ("[[part]]\nname = 'a'\ntext = 'b'", "'part' is not known"),
        ("[[", "no sections of a prompt"),
    ],
)
def test_wrong_sections_are_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PromptBuilder.loads(text)


def test_a_phase_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'cooking' is no phase; there are: planning, coding"):
        PromptBuilder.default().build("cooking")
