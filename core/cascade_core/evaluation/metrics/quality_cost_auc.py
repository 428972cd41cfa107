"""The area of the cascade-routing paper, and how far a curve lies above the single models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import area, by_cost, checked, cost_span
from cascade_core.evaluation.metrics.hull import upper_hull

# What the published code starts its running minimum with, and returns if it compares nothing.
_NOTHING_COMPARED = 1000.0


@dataclass(frozen=True, slots=True)
class QualityCostArea:
    """What :func:`quality_cost_auc` finds.

    Attributes:
        auc: Mean quality along the curve between the cheapest and the dearest single model's
            cost. In the unit of quality.
        max_gain: Greatest quality of a curve point above the line of the nonredundant models, but
            at least 0.
        min_gain: Least quality of a curve point above that line; negative if one lies below it.
            1000 if only one model is nonredundant, so that there is no line: the published
            code's value, kept so that the figures agree.
    """

    auc: float
    max_gain: float
    min_gain: float


def quality_cost_auc(
    cost: ArrayLike, quality: ArrayLike, model_cost: ArrayLike, model_quality: ArrayLike
) -> QualityCostArea:
    """Return the quality-cost AUC of a curve and its distance from the single models.

    Dekoninck et al. (2025), A Unified Approach to Routing and Cascading, arXiv 2410.10347:
    ``auc_all`` of the published code. Its convention, kept here to the letter:

    - The range is [cheapest, dearest] single model, redundant models included.
    - The points are joined as they are: no hull, so a dominated point lowers the area. A point
      given twice counts once.
    - A curve that begins right of the range starts at its left end with the *least* quality of
      any model, and rises in a straight line to its first point. A curve that ends inside the
      range stays level.
    - Points of equal cost make a step, the worse first; there the published code leaves the order
      to an unstable sort.
    - Where the curve passes an end of the range, it is cut there. A curve that lies outside the
      range as a whole is extended by the line of its two nearest points.
    - The line of the models, outside their costs, is extended likewise.

    Args:
        cost: Mean cost of each policy of the curve, shape (k,), >= 0, any order and unit.
        quality: Mean quality of each policy, shape (k,).
        model_cost: Mean cost of each model alone, shape (m,), the same unit.
        model_quality: Mean quality of each model alone, shape (m,).

    Raises:
        InvalidOutcomes: NaN, no points, all models cost the same, or one point outside the range.

    Examples:
        >>> quality_cost_auc([1, 2], [0.5, 1], [1, 3], [0.5, 1])
        QualityCostArea(auc=0.875, max_gain=0.25, min_gain=0.0)
    """
    x, y = checked(cost, quality)
    models, heights = checked(model_cost, model_quality, "models")
    low, high = cost_span(
        float(models.min()), float(models.max()), "The models must not all cost the same."
    )
    x, y = _distinct(x, y)
    gains = _gains(x, y, models, heights)
    return QualityCostArea(
        area(*_cut(x, y, low, high, float(heights.min()))) / (high - low),
        max([0.0, *gains]),
        min([_NOTHING_COMPARED, *gains]),
    )


def nonredundant(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.intp]:
    """Return the indices of the models that no mixture of the others beats, cheapest first.

    These are the models on the upper hull and on its level continuation: a model on a line
    between two others, or as good as the best and dearer, stays. Of equal models all stay.

    Dekoninck et al. (2025), ``remove_redundant_models`` of the published code.

    Args:
        cost: Mean cost of each model, shape (m,), >= 0.
        quality: Mean quality of each model, shape (m,).
    """
    c, q = checked(cost, quality, "models")
    corners = upper_hull(c, q)
    stays = q >= np.interp(c, c[corners], q[corners])
    order = np.argsort(c, kind="stable")
    return order[stays[order]]


def _gains(
    x: FloatArray, y: FloatArray, model_cost: FloatArray, model_quality: FloatArray
) -> list[float]:
    kept = nonredundant(model_cost, model_quality)
    line = _distinct(model_cost[kept], model_quality[kept])
    if line[0].size == 1:
        return []
    return [b - _on_line(*line, a) for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def _cut(
    x: FloatArray, y: FloatArray, low: float, high: float, floor: float
) -> tuple[FloatArray, FloatArray]:
    """Return the curve on [low, high], completed at both ends."""
    inside = (x >= low) & (x <= high)
    nodes, heights = x[inside], y[inside]
    if low not in x:
        first = floor if x[0] > low else _on_line(x, y, low)
        nodes, heights = np.append(low, nodes), np.append(first, heights)
    if high not in x:
        last = float(y[-1]) if x[-1] < high else _on_line(x, y, high)
        nodes, heights = np.append(nodes, high), np.append(heights, last)
    return nodes, heights


def _distinct(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the points cheapest first, each once."""
    x, y = by_cost(x, y)
    new = np.append(True, (np.diff(x) != 0) | (np.diff(y) != 0))
    return x[new], y[new]


def _on_line(x: FloatArray, y: FloatArray, at: float) -> float:
    """Return the height at ``at`` of the segment there, or of the nearest one extended."""
    right = int(np.clip(np.searchsorted(x, at), 1, max(1, x.size - 1)))
    if x.size == 1 or x[right] == x[right - 1]:
        raise InvalidOutcomes(
            f"The curve has no slope near cost {at}, so it cannot be extended to it. Add points of "
            f"other costs, got costs {x.tolist()}."
        )
    slope = (y[right] - y[right - 1]) / (x[right] - x[right - 1])
    return float(slope * (at - x[right - 1]) + y[right - 1])
