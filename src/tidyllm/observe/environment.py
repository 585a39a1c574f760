"""What OpenTelemetry's environment variables ask for, as far as its own code does not read them for us.

It knows names of variables and what they may say; it starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from tidyllm.errors import ConfigError
from tidyllm.observe.spans import BATCH, CAPACITY, DELAY

__all__ = ["Queueing", "check_protocol", "queueing", "sampling"]

_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
_SAMPLERS = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}


class Queueing(TypedDict):
    """How spans wait; see `SpanQueue`."""

    capacity: int
    batch: int
    delay: float


def queueing(environ: Mapping[str, str]) -> Queueing:
    """`OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BSP_SCHEDULE_DELAY` (milliseconds).

    :raises ConfigError: one of them is not a whole number above 0.
    """
    return Queueing(
        capacity=_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", CAPACITY),
        batch=_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
        delay=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", round(DELAY * 1000)) / 1000,
    )


def check_protocol(environ: Mapping[str, str]) -> None:
    """:raises ConfigError: the variables ask for another protocol than protobuf over HTTP."""
    name = _TRACES_PROTOCOL if environ.get(_TRACES_PROTOCOL) else _PROTOCOL
    protocol = environ.get(name, "").strip()
    if protocol not in ("", "http/protobuf"):
        raise ConfigError(
            f"traces are sent as http/protobuf, not as {protocol!r}.",
            where=name,
            hint="Point OTEL_EXPORTER_OTLP_ENDPOINT at the collector's HTTP port, usually 4318.",
        )


def sampling(environ: Mapping[str, str]) -> tuple[float, bool]:
    """Ratio and whether a parent's decision goes first, as `OTEL_TRACES_SAMPLER` says; default: all, and it does.

    :raises ConfigError: the variable names a sampler that is not known here, or its argument is no ratio.
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    bare = name.removeprefix("parentbased_")
    if bare not in _SAMPLERS:
        known = ", ".join([*_SAMPLERS, *(f"parentbased_{one}" for one in _SAMPLERS)])
        raise ConfigError(
            f"{name!r} is no sampler known here; known are {known}.", where="OTEL_TRACES_SAMPLER"
        )
    ratio = _SAMPLERS[bare]
    if ratio is None:
        text = environ.get("OTEL_TRACES_SAMPLER_ARG", "1").strip()
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not 0.0 <= ratio <= 1.0:
            raise ConfigError(f"{text!r} is not a number from 0 to 1.", where="OTEL_TRACES_SAMPLER_ARG")
    return ratio, bare != name


def _number(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number <= 0:
        raise ConfigError(f"{text!r} is not a whole number above 0.", where=variable)
    return number
