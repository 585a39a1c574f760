"""What the gateway asks of metrics, through its own door."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.registry import Collector

from tests.observe.page import value
from tidyllm.gateway.traffic import Traffic
from tidyllm.observe import Metrics


def test_counts_the_requests_of_the_gateway() -> None:
    metrics = Metrics()
    traffic = Traffic(metrics)
    traffic.begin()
    traffic.begin()
    traffic.end("/v1/messages", 200, 0.5)
    traffic.simple("/livez", 405)
    assert value(metrics, "gateway_requests_in_flight") == 1
    labels = {"path": "/v1/messages", "status": "200"}
    assert value(metrics, "gateway_request_duration_seconds_sum", **labels) == 0.5
    assert value(metrics, "gateway_request_duration_seconds_count", path="/livez", status="405") == 1


def test_limits_that_cannot_be_shared_are_seen() -> None:
    metrics = Metrics()
    traffic = Traffic(metrics)
    for degraded in (True, False):
        traffic.limits_degraded(degraded)
        assert value(metrics, "limits_degraded") == degraded


def test_an_arm_that_was_stopped_is_seen() -> None:
    metrics = Metrics()
    Traffic(metrics).arm_stopped("t", "cheap")
    assert value(metrics, "experiment_arm_stopped", experiment="t", arm="cheap") == 1


class Slow(Collector):
    """Ends only once somebody else has run."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def collect(self) -> Iterable[Metric]:
        self.asked.set()
        assert self.go_on.wait(20)
        return ()


async def test_the_event_loop_runs_while_the_page_is_made() -> None:
    metrics, slow = Metrics(), Slow()
    metrics.registry.register(slow)  # asks for its metrics once, to know their names
    slow.go_on.clear()
    slow.asked.clear()
    page = asyncio.create_task(Traffic(metrics).exposition())
    while not slow.asked.is_set():
        await asyncio.sleep(0)
    slow.go_on.set()  # by the loop, which would never come here if it made the page itself
    assert (await page)[1]
