"""PGR, APGR and CPT: what share of the gap between two models a router recovers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import area, by_cost, checked, cost_span, finite

# The strong model itself recovers 1 up to this much; rounding must not cost infinity.
_ROUNDING = 1e-12


def pgr(quality: ArrayLike, weak_quality: float, strong_quality: float) -> FloatArray:
    r"""Return the performance gap recovered, $(r - r_{weak}) / (r_{strong} - r_{weak})$.

    0 is as good as the weak model, 1 as good as the strong one; both ends can be passed.

    Ong et al. (2024), RouteLLM, arXiv 2406.18665, Metrics.

    Args:
        quality: Mean quality of each policy, shape (k,).
        weak_quality: Mean quality of the weak model alone.
        strong_quality: Mean quality of the strong model alone, > ``weak_quality``.

    Raises:
        InvalidOutcomes: NaN, no points, or a strong model that is not the better one.
    """
    if not (math.isfinite(strong_quality - weak_quality) and strong_quality > weak_quality):
        raise InvalidOutcomes(
            "The gap needs a strong model that is better than the weak one, got weak_quality="
            f"{weak_quality}, strong_quality={strong_quality}."
        )
    return (finite(quality, "quality") - weak_quality) / (strong_quality - weak_quality)


def apgr(
    strong_share: ArrayLike, quality: ArrayLike, weak_quality: float, strong_quality: float
) -> float:
    """Return the mean of the gap recovered over the share of calls to the strong model.

    0.5 is a router that chooses blindly. The points are joined as they are, and the mean runs
    over the shares that they span: include the shares 0 and 1.

    Ong et al. (2024), RouteLLM, Metrics; the trapezoidal rule as in the published code.

    Args:
        strong_share: Share of requests that each policy sends to the strong model, shape (k,),
            in [0, 1].
        quality: Mean quality of each policy, shape (k,).
        weak_quality: Mean quality of the weak model alone.
        strong_quality: Mean quality of the strong model alone.

    Raises:
        InvalidOutcomes: NaN, fewer than two shares, a share outside [0, 1], or no gap.

    Examples:
        >>> round(apgr([0, 0.5, 1], [0.6, 0.8, 0.8], 0.6, 0.8), 6)
        0.75
    """
    share, recovered = _curve(strong_share, quality, weak_quality, strong_quality)
    low, high = cost_span(float(share[0]), float(share[-1]), "Give policies of two shares.")
    return area(share, recovered) / (high - low)


def cpt(
    strong_share: ArrayLike,
    quality: ArrayLike,
    weak_quality: float,
    strong_quality: float,
    recovered: float = 0.5,
) -> float:
    """Return the call-performance threshold: the least share of strong calls that recovers enough.

    The curve is read between its points. Where quality falls along it, the published code's
    ``np.interp`` is undefined; here the first crossing counts. On a rising curve both agree, but
    for one that never gets there the published code says its last share, and this ``inf``.

    Ong et al. (2024), RouteLLM, Metrics: CPT(50 %) is ``recovered=0.5``.

    Args:
        strong_share: Share of requests that each policy sends to the strong model, shape (k,),
            in [0, 1].
        quality: Mean quality of each policy, shape (k,).
        weak_quality: Mean quality of the weak model alone.
        strong_quality: Mean quality of the strong model alone.
        recovered: Wanted share of the gap, for example 0.5 or 0.8.

    Returns:
        A share in [0, 1], or ``inf``.

    Raises:
        InvalidOutcomes: NaN, no points, a share outside [0, 1], or no gap.

    Examples:
        >>> round(cpt([0, 0.5, 1], [0.6, 0.8, 0.8], 0.6, 0.8, 0.8), 6)
        0.4
    """
    share, gap = _curve(strong_share, quality, weak_quality, strong_quality)
    if not math.isfinite(recovered):
        raise InvalidOutcomes(f"CPT needs a finite share of the gap, got {recovered}.")
    there = np.flatnonzero(gap >= recovered - _ROUNDING)
    if there.size == 0:
        return math.inf
    first = int(there[0])
    if first == 0:
        return float(share[0])
    pair = slice(first - 1, first + 1)
    return float(np.interp(recovered, gap[pair], share[pair]))


def _curve(
    strong_share: ArrayLike, quality: ArrayLike, weak_quality: float, strong_quality: float
) -> tuple[FloatArray, FloatArray]:
    share, q = checked(strong_share, quality)
    if (share > 1).any():
        raise InvalidOutcomes(f"A share of calls lies in [0, 1], got {share.max()}.")
    share, q = by_cost(share, q)
    return share, pgr(q, weak_quality, strong_quality)
