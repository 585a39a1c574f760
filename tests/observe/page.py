"""The page of metrics, read as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tidyllm.observe import Metrics

__all__ = ["series", "value"]

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(metrics: Metrics) -> Series:
    """The page as Prometheus would read it."""
    content_type, text = metrics.exposition()
    assert content_type.startswith("text/plain; version=0.0.4")
    found: Series = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return series(metrics).get((f"tidyllm_{name}", frozenset(labels.items())))
