"""AIQ: the area of RouterBench."""

from __future__ import annotations

from numpy.typing import ArrayLike

from cascade_core.evaluation.metrics._curve import checked, cost_span, mean_height
from cascade_core.evaluation.metrics.hull import upper_hull


def aiq(
    cost: ArrayLike, quality: ArrayLike, cost_range: tuple[float, float] | None = None
) -> float:
    r"""Return the mean quality under the non-decreasing concave hull of a curve.

    $\mathrm{AIQ} = \frac{1}{c_{max} - c_{min}} \int_{c_{min}}^{c_{max}} \tilde R(c)\,dc$ with the
    hull $\tilde R$ of :func:`upper_hull`, level right of its best point. Left of the cheapest
    point nothing can be bought, and quality counts 0. A dominated point changes nothing, except
    that the default range ends at the dearest point of all.

    Hu et al. (2024), RouterBench, arXiv 2403.12031, §3. The published code divides by $c_{max}$
    alone: ``cost_range=(0, dearest)`` gives its figure. Two curves compare only over one range.

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Mean quality of each policy, shape (k,).
        cost_range: (c_min, c_max) in the unit of ``cost``; by default from the cheapest to the
            dearest point of the curve.

    Raises:
        InvalidOutcomes: NaN, no points, or a range of no width.

    Examples:
        >>> round(aiq([1, 2, 3], [0.4, 0.8, 0.6]), 6)
        0.7
    """
    c, q = checked(cost, quality)
    low, high = cost_span(
        *(cost_range or (float(c.min()), float(c.max()))),
        "Give points of two costs, or a cost_range.",
    )
    corners = upper_hull(c, q)
    return mean_height(c[corners], q[corners], low, high)
