"""The area under error against cost, which Zellinger and Thomson compare cascades by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import by_cost, checked, cost_span, finite, mean_height


def error_cost_area(
    cost: ArrayLike, quality: ArrayLike, cost_range: tuple[float, float] | None = None
) -> float:
    r"""Return the mean error along a curve, $1 - \frac{1}{h - l} \int_l^h q(c)\,dc$.

    Less is better. The points are joined as they are: a dominated point raises the area. Times
    the width of the range it is the area itself.

    Zellinger & Thomson (2025), Rational Tuning of LLM Cascades, arXiv 2501.09345: ``auc_norm`` of
    the published code, over the costs that both curves have (:func:`common_cost_range`).

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Share of correct answers of each policy, shape (k,), in [0, 1].
        cost_range: (low, high) within the costs of the curve, in their unit; by default all of it.

    Raises:
        InvalidOutcomes: NaN, no points, a quality outside [0, 1], a range of no width, or one that
            the curve does not cover.

    Examples:
        >>> round(error_cost_area([1, 2, 3], [0.4, 0.8, 0.8]), 6)
        0.3
    """
    c, q = by_cost(*checked(cost, quality))
    if (np.abs(q - 0.5) > 0.5).any():
        raise InvalidOutcomes(f"An error rate needs qualities in [0, 1], got {q.tolist()}.")
    low, high = cost_span(*(cost_range or (float(c[0]), float(c[-1]))), "Give points of two costs.")
    if low < c[0] or high > c[-1]:
        raise InvalidOutcomes(
            f"The curve covers costs from {c[0]} to {c[-1]}, not ({low}, {high}). Take the "
            "common_cost_range of the curves."
        )
    return 1.0 - mean_height(c, q, low, high)


def common_cost_range(*costs: ArrayLike) -> tuple[float, float]:
    """Return the costs that all curves cover: (greatest of the cheapest, least of the dearest).

    Args:
        costs: For each curve the costs of its points, shape (k,), k of any length.

    Raises:
        InvalidOutcomes: NaN, no curves, a curve without points, or no cost in common.

    Examples:
        >>> common_cost_range([1, 5], [3, 2, 9])
        (2.0, 5.0)
    """
    curves = [finite(cost, "curve cost") for cost in costs]
    return cost_span(
        max((float(c.min()) for c in curves), default=np.nan),
        min((float(c.max()) for c in curves), default=np.nan),
        "The curves have no costs in common.",
    )
