"""A policy's cost and quality drawn beside chance and hindsight, as text and as a picture. It measures nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidyllm.errors import ConfigError
from tidyllm.routing.curve import Point
from tidyllm.routing.learned import LearnedPolicy

__all__ = ["draw_png", "draw_text", "summary"]

_WIDTH, _HEIGHT = 64, 18


def summary(policy: LearnedPolicy) -> str:
    """The chosen point in words, and the table of routes."""
    facts, point = policy.facts, policy.point
    dearest = max(facts.costs_usd)
    safe = facts.singles[facts.routes.index(facts.safe)]
    lines = [
        f"measured on {facts.rows:,} prompts, each left out while the policy was fitted"
        + (
            "; where an outcome was missing, the policy's own expectation stands in"
            if facts.estimated
            else ""
        ),
        "",
        f"{'route':<24}{'$ a call':>12}{'quality alone':>15}{'share chosen':>14}",
    ]
    for at, route in enumerate(facts.routes):
        mark = " (safe)" if route == facts.safe else ""
        lines.append(
            f"{route + mark:<24}{facts.costs_usd[at]:>12.6g}{facts.singles[at]:>15.4f}{point.shares[at]:>14.1%}"
        )
    kept = (
        f"{point.quality / safe:.1%} of the safe route's quality" if safe > 0 else "the safe route has none"
    )
    lines += [
        "",
        f"chosen point: quality {point.quality:.4f} ± {point.error:.4f} at ${point.cost_usd:.6g} a call",
        f"  {kept} at {point.cost_usd / dearest:.1%} of the dearest route's cost",
    ]
    if facts.apgr is not None:
        lines.append(f"APGR {facts.apgr:.3f} (chance is 0.500)")
    return "\n".join(lines) + "\n"


def draw_text(policy: LearnedPolicy) -> str:
    """The curve in letters: `*` policy, `.` chance, `o` hindsight, `X` the chosen point."""
    facts = policy.facts
    random = _chance(policy)
    everything = [(point.cost_usd, point.quality) for point in (*facts.curve, *facts.hindsight)] + random
    left, right = min(cost for cost, _ in everything), max(cost for cost, _ in everything)
    low, high = min(quality for _, quality in everything), max(quality for _, quality in everything)
    canvas = [[" "] * _WIDTH for _ in range(_HEIGHT)]

    def dot(cost: float, quality: float, mark: str) -> None:
        x = round((cost - left) / (right - left or 1) * (_WIDTH - 1))
        y = round((quality - low) / (high - low or 1) * (_HEIGHT - 1))
        canvas[_HEIGHT - 1 - y][x] = mark

    for step in range(_WIDTH):
        share = step / (_WIDTH - 1)
        dot(
            random[0][0] + share * (random[1][0] - random[0][0]),
            random[0][1] + share * (random[1][1] - random[0][1]),
            ".",
        )
    for point in facts.hindsight:
        dot(point.cost_usd, point.quality, "o")
    for point in facts.curve:
        dot(point.cost_usd, point.quality, "*")
    dot(policy.point.cost_usd, policy.point.quality, "X")
    lines = [f"{high:8.4f} |{''.join(canvas[0])}"]
    lines += [f"{'':8} |{''.join(row)}" for row in canvas[1:-1]]
    lines += [f"{low:8.4f} |{''.join(canvas[-1])}", f"{'':9}+{'-' * _WIDTH}"]
    lines.append(f"{'':10}{f'${left:.4g}':<{_WIDTH // 2}}{f'${right:.4g}':>{_WIDTH // 2}}")
    lines.append("quality over $ a call   * policy   . chance   o hindsight   X chosen")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def draw_png(policy: LearnedPolicy, path: str | Path) -> None:
    """The same as a picture; the file is whole or not there.

    :raises ConfigError: it cannot be written.
    """
    # No window system is needed, and the user's own backend is left alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    facts = policy.facts
    figure: Any = Figure(figsize=(7, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    random = _chance(policy)
    axes.plot(*zip(*random, strict=True), linestyle="--", color="0.6", label="chance")
    axes.plot(*_line(facts.hindsight), color="tab:green", linewidth=1, label="hindsight (oracle)")
    axes.plot(*_line(facts.curve), color="tab:blue", label="policy")
    costs, quality = _line(facts.curve)
    error = [point.error for point in sorted(facts.curve, key=lambda point: point.cost_usd)]
    axes.fill_between(
        costs,
        [value - 1.96 * each for value, each in zip(quality, error, strict=True)],
        [value + 1.96 * each for value, each in zip(quality, error, strict=True)],
        color="tab:blue",
        alpha=0.15,
        linewidth=0,
    )
    for at, route in enumerate(facts.routes):
        axes.annotate(
            route,
            (facts.costs_usd[at], facts.singles[at]),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
        )
    axes.plot(
        [policy.point.cost_usd],
        [policy.point.quality],
        "X",
        color="tab:red",
        markersize=10,
        label="chosen point",
    )
    axes.set_xlabel("US dollars a call")
    axes.set_ylabel("quality")
    axes.legend(loc="lower right", fontsize=8)
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        try:
            figure.savefig(beside, format="png")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error_:
        raise ConfigError(f"cannot be written: {error_.strerror or error_}.", where=str(path)) from error_


def _chance(policy: LearnedPolicy) -> list[tuple[float, float]]:
    """The line of a random choice between the cheapest and the dearest route."""
    facts = policy.facts
    return [(facts.costs_usd[at], facts.singles[at]) for at in (0, len(facts.routes) - 1)]


def _line(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    ordered = sorted(points, key=lambda point: point.cost_usd)
    return [point.cost_usd for point in ordered], [point.quality for point in ordered]
