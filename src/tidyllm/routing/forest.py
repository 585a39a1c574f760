"""Many random trees that tell the quality of each route, and their mean. It knows tables, not prompts.

They see what adds up badly: a hint that counts in one subject only, or a length that is good up to a point. The trees
are grown by scikit-learn (extremely randomised trees: Geurts, Ernst and Wehenkel 2006) and asked with numpy alone.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["TREES", "Forest", "fit_forest"]

TREES = 300
"""With 100 the luck of the draw alone moves APGR by .003, with 300 by .001."""
_LEAST_ROWS = 5
"""Of a leaf. Fewer rows remember prompts, more see only what a straight line sees."""
_LONGEST = 1_000
"""Steps from a root to a leaf: no tree that was learned is near it, and a longer one would hold up each choice."""
_TRIED = 0.3
"""Share of the columns that are tried for each cut."""


class Forest:
    """All trees in one row of nodes. A node's first child is the next node.

    - `column` of the table that a node cuts; -1: it is a leaf.
    - `cut`: up to this the first child follows, above it the node `other`.
    - `other`: of a leaf, its row in `quality` (leaf by route).
    - `roots`: where each tree begins.
    """

    def __init__(self, column: Array, cut: Array, other: Array, quality: Array, roots: Array) -> None:
        self.column = column
        self.cut = cut
        self.other = other
        self.quality = quality
        self.roots = roots

    def fits(self, columns: int, routes: int) -> bool:
        """Whether each prompt ends in a leaf with a quality for each route, in a table of so many columns."""
        import numpy as np

        nodes, leaves = len(self.column), self.quality.shape[0]
        if not len(self.cut) == len(self.other) == nodes or self.quality.shape[1:] != (routes,):
            return False
        leaf, other = self.column < 0, self.other
        inner = np.flatnonzero(~leaf)
        # Each node is reached in one way only: where ways meet, there is no end of them.
        reached = np.concatenate([self.roots, inner + 1, other[inner]])
        return bool(
            len(self.roots)
            and np.array_equal(np.sort(reached), np.arange(nodes))
            and (other[inner] > inner).all()
            and (self.column < columns).all()
            and (other[leaf] >= 0).all()
            and (other[leaf] < leaves).all()
            and np.isfinite(self.cut).all()
            and np.isfinite(self.quality).all()
            and self._longest() <= _LONGEST
        )

    def _longest(self) -> int:
        """The steps of the longest way; more than `_LONGEST` are not counted."""
        import numpy as np

        leaf, at, longest = self.column < 0, self.roots, 0
        while longest <= _LONGEST and len(at := at[~leaf[at]]):
            at = np.concatenate([at + 1, self.other[at]])
            longest += 1
        return longest

    @cached_property
    def _steps(self) -> tuple[Array, Array, int]:
        """For asking: four numbers for each node side by side, where one look at memory finds them all, namely its
        column, its cut, and where both ways lead (a leaf's to itself). The same seen as cuts; and the steps of the
        longest way."""
        import numpy as np

        leaf = self.column < 0
        nodes = np.arange(len(self.column), dtype=np.int32)
        steps = np.empty((len(nodes), 4), np.int32)
        steps[:, 0] = np.where(leaf, 0, self.column)
        steps[:, 1] = self.cut.astype(np.float32).view(np.int32)
        steps[:, 2] = 4 * np.where(leaf, nodes, nodes + 1)
        steps[:, 3] = 4 * np.where(leaf, nodes, self.other)
        flat = steps.ravel()
        return flat, flat.view(np.float32), self._longest()

    def told(self, table: Array) -> Array:
        """The expected quality by row of `table` and route."""
        import numpy as np

        steps, cuts, longest = self._steps
        values, width = np.ascontiguousarray(table).ravel(), table.shape[1]
        first = np.arange(len(table))[:, None] * width
        at = np.broadcast_to(4 * self.roots, (len(table), len(self.roots)))
        for step in range(longest):
            above = values.take(steps.take(at) + first) > cuts.take(at + 1)
            further = steps.take(at + 2 + above)
            if step % 8 == 7 and (further == at).all():
                break  # for most prompts all ways end long before the longest one does
            at = further
        return self.quality[self.other[at // 4]].mean(1)


def fit_forest(table: Array, quality: Array) -> Forest:
    """Grow the trees for a whole table of `quality` (row by route)."""
    import numpy as np
    from sklearn import ensemble

    trees: Any = ensemble.ExtraTreesRegressor(  # scikit-learn has no types
        TREES, min_samples_leaf=_LEAST_ROWS, max_features=_TRIED, random_state=0, n_jobs=-1
    )
    columns: list[Array] = []
    cuts: list[Array] = []
    others: list[Array] = []
    qualities: list[Array] = []
    roots: list[int] = []
    nodes = leaves = 0
    for each in trees.fit(table.astype(np.float32), quality).estimators_:
        tree: Any = each.tree_
        first: Array = tree.children_left
        leaf: Array = first < 0
        if not (leaf | (first == np.arange(len(first)) + 1)).all():
            raise AssertionError("scikit-learn no longer puts a node's first child behind it")
        columns.append(np.where(leaf, -1, tree.feature))
        cuts.append(tree.threshold)
        others.append(np.where(leaf, leaves + leaf.cumsum() - 1, nodes + tree.children_right))
        qualities.append(tree.value[leaf, :, 0])
        roots.append(nodes)
        nodes += len(first)
        leaves += len(qualities[-1])
    return Forest(
        np.concatenate(columns).astype(np.int16),
        np.concatenate(cuts).astype(np.float32),
        np.concatenate(others).astype(np.int32),
        np.concatenate(qualities).astype(np.float16).astype(np.float32),
        np.array(roots, np.int64),
    )
