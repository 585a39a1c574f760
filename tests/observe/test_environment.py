from __future__ import annotations

import pytest

from tidyllm.errors import ConfigError
from tidyllm.observe.environment import check_protocol, queueing, sampling

SAMPLER = "OTEL_TRACES_SAMPLER"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", (1.0, True)),
        ("always_on", (1.0, False)),
        ("always_off", (0.0, False)),
        ("parentbased_always_on", (1.0, True)),
        ("parentbased_always_off", (0.0, True)),
        ("traceidratio", (0.25, False)),
        ("ParentBased_TraceIdRatio", (0.25, True)),
    ],
)
def test_samplers_are_those_of_opentelemetry(name: str, expected: tuple[float, bool]) -> None:
    assert sampling({SAMPLER: name, f"{SAMPLER}_ARG": "0.25"}) == expected


def test_a_sampler_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"'jaeger_remote' is no sampler.*parentbased_traceidratio"):
        sampling({SAMPLER: "jaeger_remote"})


@pytest.mark.parametrize("text", ["half", "2", "-1", "nan"])
def test_a_ratio_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a number from 0 to 1"):
        sampling({SAMPLER: "traceidratio", f"{SAMPLER}_ARG": text})


def test_only_protobuf_over_http_is_spoken() -> None:
    for fine in ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}):
        check_protocol(fine)
    check_protocol(
        {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    )
    with pytest.raises(ConfigError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL: .*not as 'grpc'.*4318"):
        check_protocol({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


def test_the_queue_is_as_long_as_the_variables_say() -> None:
    assert queueing({}) == {"capacity": 32_768, "batch": 1_024, "delay": 1.0}
    given = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_SCHEDULE_DELAY": "500"}
    assert queueing(given) == {"capacity": 10, "batch": 1_024, "delay": 0.5}


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_a_length_that_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a whole number above 0"):
        queueing({"OTEL_BSP_MAX_QUEUE_SIZE": text})
