"""Metrics of several real processes: each counts into files, any of them gives out the sums."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import multiprocess
from prometheus_client.parser import text_string_to_metric_families

from tests.shared_data import ROOT

SCRIPT = Path(__file__).with_name("counting_worker.py")


class Worker:
    """One process, and the pipe to it."""

    def __init__(self, directory: Path) -> None:
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()

    def read(self) -> str:
        """Its answer, up to `done`."""
        assert self.process.stdout is not None
        answer = ""
        while (line := self.process.stdout.readline()) != "done\n":
            assert line, f"the worker ended with {self.process.wait()}"
            answer += line
        return answer

    def tell(self, order: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.read()

    def page(self) -> dict[str, float]:
        """Values by name, summed over labels but for a breaker's state."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.tell("page")):
            for sample in family.samples:
                name = f"{sample.name} {sample.labels.get('state', '')}".strip()
                found[name] = found.get(name, 0) + sample.value
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.communicate("end\n", timeout=20)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    with ExitStack() as ends:

        def started() -> Worker:
            worker = Worker(tmp_path)
            ends.callback(worker.end)
            return worker

        yield started


def bury(worker: Worker, directory: Path) -> None:
    """What the gateway's supervisor does when a worker has died."""
    multiprocess.mark_process_dead(worker.process.pid, str(directory))  # pyright: ignore[reportUnknownMemberType] - untyped


ATTEMPTS = "tidyllm_attempt_duration_seconds_count"


def test_any_worker_tells_the_sums_of_all(start: Callable[[], Worker]) -> None:
    one, other = start(), start()
    one.tell("count 30")
    other.tell("count 12")
    page = one.page()
    assert page == other.page()
    assert page[ATTEMPTS] == 42
    assert page["tidyllm_tokens_total"] == 420
    assert page["tidyllm_cost_usd_total"] == 21
    assert page["tidyllm_gateway_requests_in_flight"] == 2
    assert page["tidyllm_breaker_state open"] == 2


def test_what_a_killed_worker_counted_remains_and_what_it_was_doing_does_not(
    start: Callable[[], Worker], tmp_path: Path
) -> None:
    one, other = start(), start()
    one.tell("count 30")
    other.tell("count 12")
    other.process.send_signal(signal.SIGKILL)
    other.process.wait()
    bury(other, tmp_path)
    page = one.page()
    assert page[ATTEMPTS] == 42
    assert page["tidyllm_gateway_requests_in_flight"] == 1
    assert page["tidyllm_breaker_state open"] == 1
    start().tell("count 8")
    assert one.page()[ATTEMPTS] == 50


def test_a_file_that_a_starting_worker_has_not_filled_yet_does_no_harm(
    start: Callable[[], Worker], tmp_path: Path
) -> None:
    one = start()
    one.tell("count 1")
    (tmp_path / "counter_999999.db").touch()
    assert one.page()[ATTEMPTS] == 1


def test_the_page_can_be_had_while_workers_start_count_and_die(
    start: Callable[[], Worker], tmp_path: Path
) -> None:
    one = start()
    for _ in range(3):
        other = start()
        assert other.process.stdin is not None
        other.process.stdin.write("count 3000\n")
        other.process.stdin.flush()
        seen = [one.page().get(ATTEMPTS, 0.0) for _ in range(5)]
        assert seen == sorted(seen)
        other.process.kill()
        other.process.wait()
        bury(other, tmp_path)
    assert one.page().get("tidyllm_gateway_requests_in_flight", 0.0) == 0


def run(code: str, **environment: str) -> str:
    """The last line that a new Python writes to standard error."""
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stderr.strip().splitlines()[-1]


def test_prometheus_client_imported_too_early_is_refused(tmp_path: Path) -> None:
    code = f"import os, prometheus_client; os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(tmp_path)!r}"
    said = run(f"{code}\nfrom tidyllm.observe import Metrics; Metrics()")
    assert "prometheus_client was imported before the variable was set" in said


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    said = run("from tidyllm.observe import Metrics; Metrics()", PROMETHEUS_MULTIPROC_DIR=missing)
    assert f"{missing!r} is no directory" in said
