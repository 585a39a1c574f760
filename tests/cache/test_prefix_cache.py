"""The replay of prefix caches finds what was published of the Mooncake traces, and keeps its bounds."""

from __future__ import annotations

import pytest

from benchmarks.prefix_cache import Line, replay, saved, trace
from tests.shared_data import shared

PUBLISHED = {"conversation": 0.40, "synthetic": 0.66}


@pytest.mark.parametrize("name", PUBLISHED)
def test_hit_rates_are_those_that_were_published(name: str) -> None:
    lines = trace(shared("data/mooncake_fast25"), name)
    result = replay(lines)
    assert abs(result.rate - PUBLISHED[name]) <= 0.03
    assert abs(result.reads / result.inputs - PUBLISHED[name]) <= 0.03
    smaller, shorter = replay(lines, blocks=1_000), replay(lines, seconds=60)
    assert max(smaller.hits, shorter.hits) < result.hits
    money = saved(result, "openai/gpt-5.1")
    assert money is not None
    assert 0 < money[1] < money[0]


def test_only_the_beginning_that_is_held_counts() -> None:
    lines = [Line(0, 1_500, 1, [1, 2, 3]), Line(1, 2_048, 1, [1, 2, 4, 3]), Line(2, 1_100, 1, [1, 2, 3])]
    result = replay(lines)
    assert (result.hits, result.blocks, result.reads) == (2 + 2, 2 + 4 + 2, 4 * 512)


def test_blocks_go_when_there_are_too_many_or_they_are_too_old() -> None:
    lines = [Line(0, 512, 1, [1]), Line(1_000, 512, 1, [2]), Line(9_000, 512, 1, [1])]
    assert replay(lines).hits == 1
    assert replay(lines, blocks=1).hits == 0
    assert replay(lines, seconds=5).hits == 0
    assert saved(replay(lines), "nobody/knows") is None
