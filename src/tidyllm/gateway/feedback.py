"""`POST /v1/feedback`: what somebody thinks of an answer; it counts in experiments, and teaches policies.

It knows requests and verdicts, not how arms are dealt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec

from tidyllm import clock
from tidyllm.core import Context
from tidyllm.core.tags import EXPERIMENT_TAG
from tidyllm.errors import BadRequest, Refused, StoreError
from tidyllm.gateway.reply import NotFound

if TYPE_CHECKING:
    from tidyllm.access import Key
    from tidyllm.config import Routes
    from tidyllm.routing import Experiment
    from tidyllm.store import Store

__all__ = ["PATH", "Verdicts"]

PATH = "/v1/feedback"

_LOOK_AGAIN = 30.0
"""Seconds between two looks at what an experiment has found: an arm that does harm is stopped within them."""

_log = logging.getLogger("tidyllm.gateway")


class Verdict(msgspec.Struct, forbid_unknown_fields=True):
    """What is sent: the id of an answer (its header `x-request-id`) and how good it was."""

    id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    quality: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """From 0 (useless) to 1 (right)."""
    prompt: Annotated[str, msgspec.Meta(max_length=100_000)] | None = None
    """Only where content may be kept (`observe.content`): with it the verdict also teaches policies."""


_read = msgspec.json.Decoder(Verdict).decode


class NotKept(Refused):
    """There is no store in which a verdict could be kept."""

    retryable = False
    default_hint = "Whoever runs the gateway can add a section 'store' to its configuration."


class Verdicts:
    """Takes verdicts, and stops arms that are surely worse; `on_stopped` is told the experiment and the arm."""

    def __init__(
        self, store: Store | None, *, on_stopped: Callable[[str, str], object] | None = None
    ) -> None:
        self._store = store
        self._on_stopped = on_stopped
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def take(self, body: bytes, key: Key | None, routes: Routes) -> dict[str, object]:
        """Keep a verdict; returns what was understood. It counts in an experiment that the answer's route has now.

        :raises BadRequest: a field is wrong. :raises NotFound: the ledger has no such answer of this key.
        :raises NotKept: there is no store.
        """
        try:
            verdict = _read(body)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$.")
            raise BadRequest(f"{what}.", field=path.rstrip("`") or None, hint=_EXPECTED) from error
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body is not JSON: {error}.", hint=_EXPECTED) from error
        if verdict.prompt is not None and not routes.settings.observe.content:
            raise BadRequest("prompts are not kept here.", field="prompt", hint=_WITHOUT)
        store = self._store
        if store is None:
            raise NotKept("feedback cannot be kept: this gateway has no store.")
        from tidyllm.money.requests import request_report
        from tidyllm.routing import Feedback, record_feedback

        report = await store.read(lambda conn: request_report(conn, verdict.id))
        if report is None or (key is not None and report.key != key.id):
            raise NotFound(
                f"there is no answer {verdict.id} here.",
                field="id",
                hint="It stands in the header x-request-id of an answer to the same key.",
            )
        name, arm, sticky = _dealt(routes.experiments.get(report.route or ""), report.tags)
        try:
            feedback = Feedback(
                run_id=verdict.id,
                route=report.route or "",
                quality=verdict.quality,
                cost_usd=report.cost_usd,
                experiment=name,
                arm=arm,
                sticky=sticky,
                prompt=verdict.prompt,
            )
        except ValueError as error:
            raise BadRequest(f"the verdict cannot be kept: {error}.", hint=_EXPECTED) from error
        await record_feedback(store, feedback)
        return {"id": verdict.id, "route": report.route, "experiment": name, "arm": arm}

    # -- experiments

    def deal(self, test: Experiment, ctx: Context, routes: Routes) -> str | None:
        """The tag of a run that goes through `test`; None for a run that it leaves out."""
        self._look(routes)
        who = test.who(ctx)
        return f"{test.settings.name}/{test.arm_for(who)}/{test.sticky_id(who)}" if who else None

    def _look(self, routes: Routes) -> None:
        now = clock.monotonic()
        if self._store is None or now - self._looked_at < _LOOK_AGAIN:
            return
        if self._looking is None or self._looking.done():
            self._looked_at = now
            self._looking = asyncio.create_task(self._stop_harm(self._store, routes))

    async def _stop_harm(self, store: Store, routes: Routes) -> None:
        for test in routes.experiments.values():
            before = set(test.stopped)
            try:
                report = await test.review(store)
            except StoreError as error:
                _log.warning("experiment %s could not be looked at: %s", test.settings.name, error)
                continue
            for arm in test.stopped - before:
                _log.warning("experiment %s: arm %s is surely worse, and was stopped", report.name, arm)
                if self._on_stopped is not None:
                    self._on_stopped(report.name, arm)


def _dealt(
    test: Experiment | None, tags: Mapping[str, str]
) -> tuple[str, str, str] | tuple[None, None, None]:
    """Experiment, arm and whom of a run with these tags; nothing unless it is `test` and one of its arms."""
    if test is not None:
        name = test.settings.name
        arm, _, sticky = tags.get(EXPERIMENT_TAG, "").removeprefix(f"{name}/").rpartition("/")
        if arm in test.settings.arms and sticky:
            return name, arm, sticky
    return None, None, None


_EXPECTED = 'Send {"id": "the x-request-id of an answer", "quality": 0 to 1}.'
_WITHOUT = "Leave it out. Whoever runs the gateway can allow it with observe.content."
