"""What is told of a prompt from its scores, by several fits that err differently. It knows columns, not words.

Scores are linear in a prompt, so that all fits cost one look at each of its words. Their columns are: the routes'
quality by ridge, the same by logistic fits, the groups, the hidden layers of the networks, and the prompt's
coordinates in the space of meaning, which the trees see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm.routing.logistic import fit_each, fit_one_of, sigmoid, softmax
from tidyllm.routing.net import HIDDEN, fit_net

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = [
    "DIRECTIONS",
    "NETS",
    "SIGN_SCALE",
    "SPACE_SCALE",
    "Net",
    "columns",
    "fit_heads",
    "forest_table",
    "halfway",
    "leaning",
    "mixed",
]

DIRECTIONS = 50
"""Of the space of meaning, those that the trees see: with many more they would learn prompts by heart."""

NETS = 2
"""Networks from different starts; their mean is taken."""
SPACE_SCALE = 5.0
"""Of the coordinates of prompts in the space of meaning: a prompt's are then about this long."""
SIGN_SCALE = 0.3
"""Of each standardised sign beside them."""
_PENALTY, _GROUP_PENALTY = 150.0, 1.0
_STEPS, _GROUP_STEPS = 80, 50


class Net:
    """What comes out of the hidden layers: `weights` by network, hidden unit, output; `offset` by network, output.

    Outputs are the routes' quality, then the groups.
    """

    __slots__ = ("offset", "weights")

    def __init__(self, weights: Array, offset: Array) -> None:
        self.weights = weights
        self.offset = offset


def columns(routes: int, groups: int) -> int:
    """How many scores a prompt has before its coordinates."""
    return 2 * routes + groups + NETS * HIDDEN


def fit_heads(
    space: Array, signs: Array, quality: Array, kinds: Array, count: int
) -> tuple[Array, Array, Array, Net]:
    """All fits but the ridge: weights of the `space` and of the `signs`, and the offset, by column; the networks."""
    import numpy as np

    size = space.shape[1]
    scaled = (SPACE_SCALE * space).astype(np.float32)
    both = np.hstack([scaled, (SIGN_SCALE * signs).astype(np.float32)])
    weights, offset = fit_each(both, quality, penalty=_PENALTY, steps=_STEPS)
    parts, offsets = [weights], [offset]
    if count:
        # Signs tell nothing of the group that the words do not.
        weights, offset = fit_one_of(scaled, kinds, count, penalty=_GROUP_PENALTY, steps=_GROUP_STEPS)
        parts.append(np.vstack([weights, np.zeros((signs.shape[1], count), np.float32)]))
        offsets.append(offset)
    nets = [fit_net(both, quality, kinds, count, seed=seed) for seed in range(NETS)]
    stacked = np.hstack([*parts, *(net[0] for net in nets)])
    net = Net(np.stack([net[2] for net in nets]), np.stack([net[3] for net in nets]))
    all_offsets = np.concatenate([*offsets, *(net[1] for net in nets)])
    return SPACE_SCALE * stacked[:size], SIGN_SCALE * stacked[size:], all_offsets, net


def mixed(scores: Array, net: Net, means: Array | Sequence[Sequence[float]]) -> tuple[Array, Array]:
    """The expected quality by route of each row of scores, and how much it looks like each group.

    `means` is the quality of each group by route. The weights of the mixture are round numbers, not fitted ones.
    """
    import numpy as np

    means = np.asarray(means, float)
    count, outputs = len(means), net.offset.shape[1]
    routes = outputs - count
    own = scores[:, 2 * routes + count : columns(routes, count)]
    hidden = np.maximum(own, 0).reshape(len(scores), len(net.weights), -1)
    out = np.einsum("nkh,kho->nko", hidden, net.weights) + net.offset
    total = scores[:, :routes] + sigmoid(scores[:, routes : 2 * routes]) + sigmoid(out[..., :routes]).mean(1)
    if not count:
        return total / 3, np.zeros((len(scores), 0))
    likely = softmax(scores[:, 2 * routes : 2 * routes + count])
    shares = 2 * likely + softmax(out[..., routes:]).mean(1)
    return (total + shares @ means) / 6, likely


def forest_table(looks: Array, likely: Array, coordinates: Array) -> Array:
    """What the trees see: shape and signs, how likely each group is, and the first coordinates. None of these has been
    fitted to the quality of a route."""
    import numpy as np

    return np.hstack([looks, likely, coordinates]).astype(np.float32)


def halfway(mixture: Array, forest: Array) -> Array:
    """Both count alike: they err differently, and neither is better everywhere."""
    return (mixture + forest) / 2


def leaning(quality: Array) -> Array:
    """For each row and route: the mean of all routes, and what this route has beyond it.

    One slope for each puts expectations right and leaves alone which prompts gain most from a better route; a slope
    for each route would not.
    """
    import numpy as np

    middle = quality.mean(1, keepdims=True)
    return np.stack([np.broadcast_to(middle, quality.shape), quality - middle], axis=-1)
