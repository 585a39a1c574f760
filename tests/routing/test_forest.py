"""The trees of a policy: what they learn, and that a damaged forest is seen before it is asked."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import ensemble

from tidyllm.routing.forest import TREES, Forest, fit_forest

Array = NDArray[Any]


@cache
def _shown() -> tuple[Array, Array]:
    """The first route is right where two columns have the same sign, which no straight line tells; the second is
    always right."""
    table = np.random.default_rng(0).standard_normal((2000, 4)).astype(np.float32)
    return table, np.stack([table[:, 0] * table[:, 1] > 0, np.ones(2000)], 1).astype(float)


@cache
def _forest() -> Forest:
    return fit_forest(*_shown())


def _changed(**changes: Array) -> Forest:
    whole = _forest()
    return Forest(
        changes.get("column", whole.column),
        changes.get("cut", whole.cut),
        changes.get("other", whole.other),
        changes.get("quality", whole.quality),
        changes.get("roots", whole.roots),
    )


def test_they_tell_what_no_straight_line_tells() -> None:
    table = np.random.default_rng(1).standard_normal((400, 4)).astype(np.float32)
    told = _forest().told(table)
    assert ((told[:, 0] > 0.5) == (table[:, 0] * table[:, 1] > 0)).mean() > 0.8
    assert told[:, 1] == pytest.approx(1)


def test_they_tell_the_same_as_the_library_that_grew_them() -> None:
    table, quality = _shown()
    theirs: Any = ensemble.ExtraTreesRegressor(TREES, min_samples_leaf=5, max_features=0.3, random_state=0)
    theirs.fit(table, quality)
    other = np.random.default_rng(2).standard_normal((100, 4)).astype(np.float32)
    assert _forest().told(other) == pytest.approx(theirs.predict(other), abs=1e-3)


def test_they_grow_the_same_twice() -> None:
    again = fit_forest(*_shown())
    assert (again.cut == _forest().cut).all()
    assert (again.quality == _forest().quality).all()


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=4, max_size=4))
def test_they_never_tell_more_or_less_than_they_were_shown(row: list[float]) -> None:
    told = _forest().told(np.array([row], np.float32))
    assert told.min() >= 0
    assert told.max() <= 1


@pytest.mark.parametrize("rows", [2, 9])
def test_of_few_rows_they_tell_the_mean(rows: int) -> None:
    table = np.arange(2.0 * rows).reshape(rows, 2)
    forest = fit_forest(table, table / rows)
    assert forest.fits(2, 2)
    assert forest.told(table) == pytest.approx(np.tile(table.mean(0) / rows, (rows, 1)), abs=1e-3)


def _with(values: Array, at: int, value: int) -> Array:
    changed = values.copy()
    changed[at] = value
    return changed


def test_a_damaged_forest_is_seen() -> None:
    whole = _forest()
    assert whole.fits(4, 2)
    inner = int(np.flatnonzero(whole.column >= 0)[3])
    leaf = int(np.flatnonzero(whole.column < 0)[3])
    damaged = {
        "a column that no prompt has": _changed(column=_with(whole.column, inner, 4)),
        "a way back, which never ends": _changed(other=_with(whole.other, inner, 0)),
        "ways that meet": _changed(other=_with(whole.other, inner, inner + 1)),
        "a way out of the forest": _changed(other=_with(whole.other, inner, len(whole.other))),
        "a leaf without quality": _changed(other=_with(whole.other, leaf, len(whole.quality))),
        "a leaf before the first": _changed(other=_with(whole.other, leaf, -1)),
        "a last node that is no leaf": _changed(column=_with(whole.column, -1, 0)),
        "fewer cuts than nodes": _changed(cut=whole.cut[1:]),
        "no trees": _changed(roots=whole.roots[:0]),
        "a root beyond all nodes": _changed(roots=_with(whole.roots, 0, len(whole.column))),
        "a root within another tree": _changed(roots=_with(whole.roots, 0, int(whole.roots[1]) + 1)),
        "a tree twice": _changed(roots=_with(whole.roots, 0, int(whole.roots[1]))),
        "a quality that is no number": _changed(quality=whole.quality * np.nan),
        "a quality for another number of routes": _changed(quality=whole.quality[:, :1]),
    }
    assert [name for name, forest in damaged.items() if forest.fits(4, 2)] == []


def test_a_way_that_would_hold_up_each_choice_is_seen() -> None:
    """Each node's first child is the next one; the leaves of the second children stand behind all of these."""

    def chain(steps: int) -> Forest:
        column = np.concatenate([np.zeros(steps, np.int16), np.full(steps + 1, -1, np.int16)])
        other = np.concatenate([np.arange(steps) + steps + 1, np.zeros(steps + 1)]).astype(np.int32)
        cut = np.zeros(2 * steps + 1, np.float32)
        return Forest(column, cut, other, np.ones((1, 2), np.float32), np.array([0]))

    assert chain(900).fits(4, 2)
    assert not chain(1100).fits(4, 2)
