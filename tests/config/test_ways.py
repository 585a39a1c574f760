"""Routes that lead to other routes, as a configuration builds them."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.config import Routes
from tidyllm.config.check import check
from tidyllm.routing import Router, Selector


def selector(model: str) -> Selector:
    """Of a route that takes `small` (a window of 1,000 tokens) unless a request needs `large`."""
    target = f"at/{model}"
    found, problems = check(
        {
            "providers": {"at": {"kind": "openai", "api_key": "env:NOT_SET"}, "off": {"kind": "offline"}},
            "models": {
                "small": {"route": [target]},
                "large": {"route": ["off/echo"]},
                "auto": {"choose": {"among": ["small", "large"], "by": "order"}, "deadline": None},
            },
            "catalog": {f"openai/{model}": {"context_window_tokens": 1000}},
        }
    )
    assert found is not None, problems
    step: Any = Routes(found, only_shown=True).find("auto").step
    while not isinstance(step, Router):
        step = step.inner
    assert isinstance(step.choose, Selector)
    return step.choose


@pytest.mark.parametrize(("words", "route"), [(999, "small"), (1_001, "large")])
def test_a_choice_counts_as_the_model_does_where_that_is_public(words: int, route: str) -> None:
    """A quarter of the bytes, which is guessed elsewhere, would be half of it."""
    assert selector("gpt-4o").choose("a" + " a" * (words - 1)).route == route


@pytest.mark.parametrize(("words", "route"), [(1_001, "small"), (2_003, "large")])
def test_elsewhere_it_is_guessed(words: int, route: str) -> None:
    assert selector("own-model").choose("a" + " a" * (words - 1)).route == route
