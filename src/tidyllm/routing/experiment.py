"""An experiment on live traffic: who gets which arm, and what may be said so far. It sends nothing anywhere."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from math import isfinite
from typing import TYPE_CHECKING, Literal

import msgspec

from tidyllm.core import Context
from tidyllm.errors import ConfigError
from tidyllm.routing.feedback import Feedback, read_feedback
from tidyllm.routing.sequences import ArmSums, Interval, difference, sums

if TYPE_CHECKING:
    from tidyllm.store import Store

__all__ = ["ABSettings", "ArmReport", "Experiment", "ExperimentReport", "Verdict"]

Verdict = Literal["control", "too early", "undecided", "better", "worse"]


class ABSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ab: {name: cheaper, arms: {control: 0.9, cheap: 0.1}, sticky: user}`.

    - `arms`: the share of traffic by arm; the shares add up to one. `control`: what the others are compared with;
      default: the arm of that name, else the first.
    - `sticky`: whoever has the same key (or user) always gets the same arm. Verdicts count by key (or user) as well.
    - `alpha`: the chance, over the whole experiment, that any arm is called better or worse when it is not.
    - `min_clusters`: no verdict before an arm and the control have feedback from so many keys (or users) each. With
      fewer than 50 the intervals would promise more than they hold.
    - `margin`: an arm counts as worse only when it is surely worse by more than this.
    """

    name: str
    arms: dict[str, float]
    sticky: Literal["key", "user"] = "key"
    control: str | None = None
    alpha: float = 0.05
    min_clusters: int = 50
    margin: float = 0.0

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("`name` is empty")
        if len(self.arms) < 2:
            raise ValueError(f"`arms` needs two or more, got {len(self.arms)}")
        for arm, share in self.arms.items():
            if not (isfinite(share) and 0 < share < 1):
                raise ValueError(f"`arms.{arm}` must be a share between 0 and 1, got {share:g}")
        total = sum(self.arms.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"`arms` must add up to 1, got {total:g}")
        if self.control is not None and self.control not in self.arms:
            raise ValueError(f"`control` must be one of {', '.join(self.arms)}, got {self.control!r}")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"`alpha` must be between 0 and 0.5, got {self.alpha:g}")
        if self.min_clusters < 50:
            raise ValueError(f"`min_clusters` must be 50 or more, got {self.min_clusters}")
        if not (isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"`margin` must be 0 or more, got {self.margin:g}")


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one arm. `against`: its mean less the control's, with bounds that hold at all times."""

    arm: str
    observations: int
    clusters: int
    mean: float
    against: Interval | None
    verdict: Verdict


class ExperimentReport(msgspec.Struct, frozen=True, kw_only=True):
    """All arms, the control first."""

    name: str
    alpha: float
    arms: tuple[ArmReport, ...]

    @property
    def worse(self) -> tuple[str, ...]:
        """The arms that are surely worse than the control."""
        return tuple(each.arm for each in self.arms if each.verdict == "worse")


class Experiment:
    """Deals arms and reads the outcomes. `arm_for("key-7")` is always the same arm, on every machine.

    As the `choose` of a `Router` whose routes are the arms it takes whom to stick to from the context: the tag `key` or
    `user`; `who` may find it elsewhere. A stopped arm's share goes to the control; nobody else changes arms.
    """

    def __init__(self, settings: ABSettings, *, who: Callable[[Context], str] | None = None) -> None:
        self.settings = settings
        self.control = settings.control or (
            "control" if "control" in settings.arms else next(iter(settings.arms))
        )
        self.stopped: set[str] = set()
        self._who = who

    def arm_for(self, who: str) -> str:
        """The arm of this key or user."""
        digest = hashlib.sha256(f"{self.settings.name}\0{who}".encode(errors="replace")).digest()
        at = int.from_bytes(digest[:8], "big") / 2**64
        arm = next(reversed(self.settings.arms))
        for name, share in self.settings.arms.items():
            at -= share
            if at < 0:
                arm = name
                break
        return self.control if arm in self.stopped else arm

    def sticky_id(self, who: str) -> str:
        """What stands for this key or user in the store: a hash, so that no name is kept."""
        return hashlib.sha256(f"sticky\0{self.settings.name}\0{who}".encode(errors="replace")).hexdigest()[
            :24
        ]

    def who(self, ctx: Context) -> str:
        """Who stays with an arm in this run; "" for nobody."""
        return (self._who(ctx) if self._who else ctx.tags.get(self.settings.sticky)) or ""

    def __call__(self, x: object, ctx: Context) -> str:
        """The arm for this call."""
        who = self.who(ctx)
        # Nobody to stick to: without an identity a verdict could not be counted, so the call stays out.
        return self.control if not who else self.arm_for(who)

    def stop(self, arm: str) -> None:
        """Give this arm's traffic to the control. :raises ConfigError: no such arm, or it is the control."""
        if arm not in self.settings.arms:
            raise ConfigError(
                f"{arm!r} is no arm of {self.settings.name!r}; there are {', '.join(self.settings.arms)}."
            )
        if arm == self.control:
            raise ConfigError(f"{arm!r} is the control of {self.settings.name!r}; it cannot be stopped.")
        self.stopped.add(arm)

    def report(self, feedback: Iterable[Feedback]) -> ExperimentReport:
        """What may be said now; it may be asked as often as one likes."""
        settings = self.settings
        told = sums(
            (each.arm, each.sticky, each.quality)
            for each in feedback
            if each.experiment == settings.name and each.arm is not None and each.sticky is not None
            if each.arm in settings.arms
        )
        control = told.get(self.control, ArmSums(clusters={}))
        others = [arm for arm in settings.arms if arm != self.control]
        alpha = settings.alpha / len(others)  # each comparison gets its part of the chance to be wrong
        reports = [self._one(self.control, control, None, "control")]
        for arm in others:
            seen = told.get(arm, ArmSums(clusters={}))
            between = difference(seen, control, tightest=4 * settings.min_clusters, alpha=alpha)
            reports.append(self._one(arm, seen, between, self._verdict(seen, control, between)))
        return ExperimentReport(name=settings.name, alpha=settings.alpha, arms=tuple(reports))

    def _one(self, arm: str, seen: ArmSums, between: Interval | None, verdict: Verdict) -> ArmReport:
        return ArmReport(
            arm=arm,
            observations=seen.observations,
            clusters=len(seen.clusters),
            mean=seen.mean,
            against=between,
            verdict=verdict,
        )

    def _verdict(self, seen: ArmSums, control: ArmSums, between: Interval) -> Verdict:
        if min(len(seen.clusters), len(control.clusters)) < self.settings.min_clusters:
            return "too early"
        if between.high < -self.settings.margin:
            return "worse"
        return "better" if between.low > 0 else "undecided"

    async def review(self, store: Store) -> ExperimentReport:
        """Read the verdicts in the store and stop every arm that is surely worse."""
        told = await read_feedback(store, experiment=self.settings.name)
        report = await asyncio.to_thread(self.report, told)  # many verdicts take their time
        for arm in report.worse:
            self.stop(arm)
        return report
