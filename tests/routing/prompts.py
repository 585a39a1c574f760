"""Prompts whose outcome follows a rule, so that a policy can be seen to learn it."""

from __future__ import annotations

import random
from functools import cache

from tidyllm.routing import LearnedPolicy, Outcome, Outcomes

__all__ = ["COSTS", "EASY", "HARD", "learnable", "outcomes", "policy"]

HARD = "please exactly tell briefly now the proof of a theorem number 31?"
EASY = "please exactly tell briefly now the capital of France number 31?"

COSTS = {"fast": 0.001, "premium": 0.02}
_EASY = (
    "capital of France",
    "colour of the sky",
    "name of a large dog",
    "day after Monday",
    "plural of mouse",
)
_HARD = ("integral of a product", "proof of a theorem", "derivative of a quotient", "rank of a matrix")
_FILLER = (
    "please",
    "tell",
    "me",
    "now",
    "briefly",
    "what",
    "exactly",
    "might",
    "be",
    "considered",
    "today",
    "in",
)


def learnable(count: int = 200, seed: int = 1) -> list[Outcome]:
    """The cheap route fails on mathematics four times in five, and is right on the rest nine times in ten."""
    draw = random.Random(seed)
    rows: list[Outcome] = []
    for number in range(count):
        hard = draw.random() < 0.5
        words = draw.sample(_FILLER, 5)
        prompt = f"{' '.join(words)} the {draw.choice(_HARD if hard else _EASY)} number {number}?"
        fast = draw.random() < (0.2 if hard else 0.9)
        premium = draw.random() < 0.92
        rows.append(
            Outcome(
                prompt=prompt,
                quality={"fast": float(fast), "premium": float(premium)},
                group="maths" if hard else "general",
            )
        )
    return rows


def outcomes(count: int = 200, seed: int = 1) -> Outcomes:
    """The same, checked and with costs."""
    return Outcomes(learnable(count, seed), costs=COSTS)


@cache
def policy() -> LearnedPolicy:
    """What is learned from them."""
    return LearnedPolicy.train(outcomes())
