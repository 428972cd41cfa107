"""The deferral curve of UniRoute: its area, and the cost at which nothing is lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import (
    by_cost,
    checked,
    cost_span,
    mean_height,
)
from cascade_core.evaluation.metrics.cost_at_quality import cost_at_quality


def deferral_area(
    cost: ArrayLike,
    quality: ArrayLike,
    cost_range: tuple[float, float],
    up_to: float = 1.0,
) -> float:
    """Return the mean quality that a budget buys, over budgets up to a part of the dearest.

    The curve joins the points that no cheaper one equals, so a dominated point changes nothing,
    but a point below the line between two others does. Left of the cheapest point the quality
    counts 0, right of the dearest it stays level.

    Jitkrittum et al. (2025), Universal Model Routing, arXiv 2502.08773, §7: Area, and Area (50 %)
    with ``up_to=0.5``. No code of it is public and the left end of its cost axis is not settled:
    take (cheapest, dearest) single model for budgets that buy something, or (0, dearest).

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Mean quality of each policy, shape (k,).
        cost_range: (low, dearest) in the unit of ``cost``.
        up_to: Greatest budget as a part of the dearest, in (0, 1].

    Raises:
        InvalidOutcomes: NaN, no points, ``up_to`` outside (0, 1], or a range of no width.

    Examples:
        >>> round(deferral_area([1, 2], [0.5, 0.7], (1, 4)), 6)
        0.666667
    """
    c, q = by_cost(*checked(cost, quality))
    if not 0 < up_to <= 1:
        raise InvalidOutcomes(f"up_to is a part of the dearest cost, in (0, 1], got {up_to}.")
    low, dearest = cost_range
    low, high = cost_span(low, up_to * dearest, "Take the cheapest and the dearest model's cost.")
    best_at_cost = np.append(np.diff(c) > 0, True)
    c, q = c[best_at_cost], q[best_at_cost]
    better = np.append(True, q[1:] > np.maximum.accumulate(q)[:-1])
    return mean_height(c[better], q[better], low, high)


def quality_neutral_cost(
    cost: ArrayLike, quality: ArrayLike, model_cost: ArrayLike, model_quality: ArrayLike
) -> float:
    """Return QNC: the cost of the best single model's quality, relative to that model's cost.

    Below 1 the policies are as good for less; 1 is the model itself. Policies may be mixed, as in
    :func:`cost_at_quality`. Of equally good models the cheapest is compared with.

    Jitkrittum et al. (2025), Universal Model Routing, §7; 0.35 is the paper's 35 %.

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Mean quality of each policy, shape (k,).
        model_cost: Mean cost of each model alone, shape (m,), the same unit.
        model_quality: Mean quality of each model alone, shape (m,).

    Returns:
        A ratio, or ``inf`` if no policy is as good.

    Raises:
        InvalidOutcomes: NaN, no points, or the best model is free.

    Examples:
        >>> quality_neutral_cost([1, 2], [0.5, 0.9], [1, 4], [0.5, 0.7])
        0.375
    """
    models, heights = checked(model_cost, model_quality, "models")
    best = float(heights.max())
    reference = float(models[heights == best].min())
    if reference <= 0:
        raise InvalidOutcomes("QNC is relative to the best model's cost, which is 0.")
    return cost_at_quality(cost, quality, best) / reference
