"""Guards of similar questions: no difference in numbers, names or negation is ever overlooked, and paraphrases pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.cache.guards import Signature, difference

WORDS = (
    "what",
    "is",
    "the",
    "price",
    "of",
    "a",
    "ticket",
    "to",
    "see",
    "it",
    "for",
    "me",
    "please",
    "and",
    "how",
)
NAMES = ("Rome", "Oslo", "NASA", "iPhone", "user_id", "v2.1", "O'Neill", "café.com", "北京", "Anna")
NEGATIONS = ("not", "never", "without", "don't", "can't", "cannot", "no", "nicht", "jamais")

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8)
numbers = st.integers(-(10**6), 10**6) | st.decimals(-1000, 1000, places=2)


def judge(one: str, other: str) -> str | None:
    return difference(Signature.of(one), Signature.of(other))


@given(st.text())
def test_a_text_is_like_itself(text: str) -> None:
    assert judge(text, text) is None


@given(st.text(), st.text())
def test_the_order_of_two_texts_does_not_matter(one: str, other: str) -> None:
    assert (judge(one, other) is None) == (judge(other, one) is None)


@given(words, words, numbers, numbers)
def test_another_number_is_seen(before: list[str], after: list[str], one: object, other: object) -> None:
    texts = [" ".join([*before, str(number), *after]) for number in (one, other)]
    if str(one) != str(other):
        assert judge(*texts) == "numbers"
    assert judge(texts[0], " ".join([*before, *after])) == "numbers"


@given(words, words, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_another_name_is_seen(before: list[str], after: list[str], one: str, other: str) -> None:
    texts = [" ".join([*before, name, *after]) for name in (one, other)]
    if one != other:
        assert judge(*texts) is not None
    assert judge(texts[0], " ".join([*before, *after])) is not None


@given(words, st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_two_names_that_change_places_are_seen(between: list[str], one: str, other: str) -> None:
    middle = " ".join(between)
    if one != other:
        assert judge(f"from {one} {middle} {other}", f"from {other} {middle} {one}") is not None


@given(words, words, st.sampled_from(NEGATIONS))
def test_a_negation_is_seen(before: list[str], after: list[str], negation: str) -> None:
    plain = " ".join([*before, *after])
    assert judge(plain, " ".join([*before, negation, *after])) == "negation"


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("Is it safe to take 5 mg?", "Is it safe to take 50 mg?", "numbers"),
        ("Is it safe to take 5 mg?", "Is it safe to take 5 g?", "numbers"),
        ("Is it safe to take 5mg?", "Is it safe to take 5g?", "numbers"),
        ("What is -5 squared?", "What is 5 squared?", "numbers"),
        ("Who won in the first round?", "Who won in the second round?", "numbers"),
        ("Add 1,000 to it", "Add 1,001 to it", "numbers"),
        ("the weather in Paris", "the weather in London", "names"),
        ("the weather in Paris", "the weather in london", "names"),
        ("Paris weather", "London weather", "names"),
        ("Convert USD to EUR", "Convert EUR to USD", "names"),
        ("Flights from Oslo to Rome", "Flights from Rome to Oslo", "names"),
        ("Call get_user()", "Call get_users()", "names"),
        ("北京的天气怎么样", "上海的天气怎么样", "names"),
        ("Is aspirin safe?", "Is aspirin unsafe?", "negation"),
        ("Is it legal here?", "Is it illegal here?", "negation"),
        ("How do I enable logging?", "How do I disable logging?", "negation"),
        ("flights from here", "flights here", "negation"),
        ("Can I drink before the test?", "Can I drink after the test?", "negation"),
        ("Which files are included?", "Which files aren't included?", "negation"),
        ("How do I turn it on?", "How do I turn it off?", "negation"),
    ],
)
def test_pairs_that_need_two_answers_are_told_apart(one: str, other: str, reason: str) -> None:
    assert judge(one, other) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is the capital of France?", "Tell me the capital of France."),
        ("What's France's capital?", "Please tell me: what is the capital of France"),
        ("How do I sort a list in Python?", "How can I sort lists in Python?"),
        ("Explain 1,000 of them", "Please explain 1000 of them!"),
        ("It isn't working, why?", "Why is it not working?"),
        ("Who wrote Faust?", "Who is the author of Faust?"),
        ("what is a monad", "What is a monad?"),
    ],
)
def test_paraphrases_pass(one: str, other: str) -> None:
    assert judge(one, other) is None
