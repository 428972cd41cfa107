"""What the rules over supermodels share: a cost weight for each step, and ties by the draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._states import States
from cascade_core.errors import InvalidConfiguration
from cascade_core.policies._base import check_cost_weight

if TYPE_CHECKING:
    from cascade_core.expected_max import BestSets

# Deviations of quality that are none, and the ridge that outweighs what rounding did.
_CERTAIN, _RIDGE = 1e-5, 1e-6

Weights = float | tuple[float, ...]


def check_weights(rule: str, cost_weights: Weights, cheap_share: float) -> None:
    """Refuse weights that are none, and a share that is no probability."""
    steps = by_step(cost_weights)
    if not steps:
        raise InvalidConfiguration(f"{rule} needs a cost weight for the first step at least.")
    for cost_weight in steps:
        check_cost_weight(rule, cost_weight)
    if not 0.0 <= cheap_share <= 1.0:  # NaN included
        raise InvalidConfiguration(f"{rule} needs cheap_share in [0, 1], got {cheap_share!r}.")


def by_step(cost_weights: Weights) -> tuple[float, ...]:
    """Return the weight of each step; the last one serves all steps after it."""
    return cost_weights if isinstance(cost_weights, tuple) else (cost_weights,)


def prices(cost_weights: Weights, states: States, step: IndexArray) -> FloatArray:
    r"""Return $\lambda_j c$ for step j (n,) of each row, shape (n, m); 0 where $\lambda_j = 0$."""
    steps = by_step(cost_weights)
    if len(steps) == 1:
        weight = np.full((states.n, 1), steps[0])
    else:
        weight = np.array(steps)[np.minimum(step, len(steps) - 1), None]
    price = weight * states.cost
    if 0.0 in steps:
        # Where dollars weigh nothing, unknown ones do not either.
        price[weight[:, 0] == 0] = 0.0
    return price


def best_of(
    search: Callable[..., BestSets],
    states: States,
    price: FloatArray,
    base: FloatArray,
    open_: BoolArray,
    cheap_share: float,
    room: IndexArray | None = None,
) -> BestSets:
    """Return what ``search`` finds best for every request.

    Of sets that tie the cheapest where the draw is below ``cheap_share``, else the dearest. Where
    no two of the open arms are correlated the search is exact, whatever it is elsewhere.

    Args:
        search: ``best_sets``, or ``best_prefix`` of an order.
        states: The n requests.
        price: λ times the cost of every arm, shape (n, m).
        base: Quality of the best reply in hand, shape (n,); -inf where there is none.
        open_: The arms that may be in a set, shape (n, m).
        cheap_share: γ.
        room: Most arms of a set, shape (n,).
    """
    # Not above: it brings SciPy, half a second that waits until it is needed.
    from cascade_core.expected_max import BestSets

    joint = _without_rounding(states.covariance, open_)
    dear = states.draw >= cheap_share

    def found(rows: IndexArray | slice, dearest: bool, covariance: FloatArray | None) -> BestSets:
        return search(
            states.mean[rows],
            states.sd[rows] if covariance is None else None,
            price[rows],
            base[rows],
            open_[rows],
            covariance=covariance,
            max_size=None if room is None else room[rows],
            tie="dearest" if dearest else "cheapest",
        )

    kind = dear.astype(np.intp)
    if joint is not None:
        kind += 2 * _correlated(joint)
    first = int(kind[0]) if len(kind) else 0
    if (kind == first).all():
        return found(slice(None), bool(first % 2), joint if first >= 2 else None)
    members = np.empty(states.mean.shape, dtype=np.bool_)
    value, gap = np.empty(states.n), np.empty(states.n)
    for k in np.unique(kind).tolist():
        rows = np.flatnonzero(kind == k)
        part = found(rows, bool(k % 2), None if joint is None or k < 2 else joint[rows])
        members[rows], value[rows], gap[rows] = part.members, part.value, part.gap
    return BestSets(members, value, base, gap)


def _without_rounding(covariance: FloatArray | None, open_: BoolArray) -> FloatArray | None:
    """Return the covariance (n, m, m) of the open arms, such that it is one to the last digit.

    Conditioning on one reply after the other leaves variances of 1e-18 with correlations beyond 1,
    which are no fault of the estimator's and must not be reported as one. What is wrong by more
    than rounding stays wrong.
    """
    if covariance is None:
        return None
    covariance = (covariance + covariance.transpose(0, 2, 1)) / 2
    variance = np.einsum("nii->ni", covariance)
    moot = (np.abs(variance) < _CERTAIN**2) | ~open_
    covariance[moot[:, :, None] | moot[:, None, :]] = 0.0
    variance *= 1.0 + _RIDGE
    return covariance


def _correlated(covariance: FloatArray) -> BoolArray:
    """Return where two arms are correlated, shape (n,)."""
    entries: IndexArray = np.count_nonzero(covariance, axis=(1, 2))
    own: IndexArray = np.count_nonzero(np.einsum("nii->ni", covariance), axis=1)
    return entries > own
