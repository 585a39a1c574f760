from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

import tidyllm.observe
from tests.observe.collector import Collector, plain
from tidyllm.config.schema import ObserveSettings
from tidyllm.core import step
from tidyllm.core.events import default_hooks
from tidyllm.errors import ConfigError
from tidyllm.observe import observe


@step
def double(x: int) -> int:
    return 2 * x


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A new Python that runs `code`."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def last_word(code: str) -> str:
    """The last line that a new Python writes to standard error."""
    return run(code).stderr.strip().splitlines()[-1]


async def test_counts_until_it_is_closed() -> None:
    with observe(log="off") as seen:
        await double(1)
        assert seen.metrics is not None
        assert (seen.logs, seen.traces, seen.spans) == (None, None, None)
    await double(2)
    assert (
        b'tidyllm_call_duration_seconds_count{outcome="ok",step="double"} 1.0' in seen.metrics.exposition()[1]
    )
    assert default_hooks() == ()


def test_closing_twice_is_closing_once() -> None:
    seen = observe(log="off")
    seen.close()
    seen.close()
    assert default_hooks() == ()


def test_the_configuration_says_what_is_on() -> None:
    with observe(ObserveSettings(metrics=False, log="json", log_level="error")) as seen:
        assert seen.metrics is None
        assert seen.logs is not None
        assert len(default_hooks()) == 1


def test_what_is_given_goes_before_the_configuration() -> None:
    with observe(ObserveSettings(), metrics=False, log="off") as seen:
        assert (seen.metrics, seen.logs, default_hooks()) == (None, None, ())


@pytest.mark.parametrize("settings", [{"content": True}, {"settings": ObserveSettings(content=True)}])
def test_content_without_traces_is_refused_for_nothing_would_record_it(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"observe.content: .*traces are off"):
        observe(settings.pop("settings", None), **settings)


@pytest.mark.parametrize("wrong", [{"traces": "oltp"}, {"log": "yaml"}, {"log": "json", "log_level": "loud"}])
def test_words_that_mean_nothing_are_refused_and_nothing_is_left_on(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        observe(**wrong)
    assert default_hooks() == ()


TRACED = """
from tidyllm.core import step
from tidyllm.observe import observe

with observe(log="off", traces="otlp") as seen:
    step(abs).named("positive").run_sync(-1)
print(seen.spans.exported, seen.spans.dropped)
"""


def test_traces_go_where_the_variables_say() -> None:
    with Collector() as collector:
        ran = run(TRACED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="mine")
    assert ran.stdout.strip() == "1 0", ran.stderr
    (span,) = collector.spans
    assert span.name == "positive"
    resource = plain(list(collector.requests[0].resource_spans[0].resource.attributes))
    assert resource["service.name"] == "mine"


def test_a_sampler_from_the_variables_is_honoured() -> None:
    with Collector() as collector:
        ran = run(TRACED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    assert (ran.stdout.strip(), collector.spans) == ("0 0", [])


def test_spans_that_nobody_takes_are_counted_in_the_metrics() -> None:
    code = TRACED + "print(seen.metrics.exposition()[1].decode())"
    with Collector(status=400) as collector:
        ran = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert 'tidyllm_spans_dropped_total{reason="export_failed"} 1.0' in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, value: str) -> None:
    said = run(TRACED, **{variable: value}).stderr.strip().splitlines()[-1]
    assert said.startswith("tidyllm.errors.ConfigError")
    assert variable in said


# -- what is loaded, and what is missing


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = "{'prometheus_client', 'opentelemetry', 'structlog', 'google', 'requests'}"
    ran = run(f"import sys, tidyllm.observe; print({heavy} & {{name.split('.')[0] for name in sys.modules}})")
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("package", "code"),
    [
        ("structlog", "from tidyllm.observe import observe; observe(log='json')"),
        ("prometheus_client", "from tidyllm.observe import observe; observe(log='off')"),
        ("opentelemetry", "from tidyllm.observe import observe; observe(log='off', traces='otlp')"),
        ("structlog", "from tidyllm.observe import Logs"),
        ("opentelemetry", "from tidyllm.observe import Otel"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(package: str, code: str) -> None:
    said = last_word(f"import sys; sys.modules[{package!r}] = None\n{code}")
    assert said.startswith("tidyllm.errors.ConfigError: observing needs the package")
    assert package in said
    assert "pip install 'tidyllm[observe]'" in said


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Metrix'"):
        getattr(tidyllm.observe, "Metrix")  # noqa: B009 - a plain access would not pass the type checker


def test_all_names_are_listed_and_there() -> None:
    assert set(tidyllm.observe.__all__) <= set(dir(tidyllm.observe))
    assert all(getattr(tidyllm.observe, name) is not None for name in tidyllm.observe.__all__)
