"""What a quality costs: with random mixing between the points of a curve, and without."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes
from cascade_core.evaluation.metrics._curve import checked, finite
from cascade_core.evaluation.metrics.hull import upper_hull

# Equal qualities, averaged in another order, differ by this much; it must not cost infinity.
_ROUNDING = 1e-12


def cost_at_quality(cost: ArrayLike, quality: ArrayLike, target: float) -> float:
    """Return the least cost of a mean quality of ``target``, where policies may be mixed.

    Sending a random part of the requests to one policy and the rest to another reaches every
    point of the line between them, so the cost is read off the upper hull. A dominated point
    changes nothing.

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Mean quality of each policy, shape (k,).
        target: Wanted mean quality.

    Returns:
        A cost in the unit of ``cost``, at least that of the cheapest policy; ``inf`` if no policy
        is good enough.

    Raises:
        InvalidOutcomes: NaN or no points.

    Examples:
        >>> cost_at_quality([1, 3], [0.25, 0.75], 0.5)
        2.0
    """
    c, q = checked(cost, quality)
    corners = upper_hull(c, q)
    c, q = c[corners], q[corners]
    if not _reaches(q, target)[-1]:
        return math.inf
    return float(np.interp(target, q, c))


def cost_at_quality_unmixed(cost: ArrayLike, quality: ArrayLike, target: float) -> float:
    """Return the cost of the cheapest single policy whose mean quality is at least ``target``.

    As :func:`cost_at_quality`, but without mixing: one of the points themselves, or ``inf``.

    Examples:
        >>> cost_at_quality_unmixed([1, 3], [0.25, 0.75], 0.5)
        3.0
    """
    c, q = checked(cost, quality)
    return float(c[_reaches(q, target)].min(initial=math.inf))


def cost_at_share(
    cost: ArrayLike, quality: ArrayLike, model_quality: ArrayLike, share: float = 1.0
) -> float:
    """Return the least cost of a ``share`` of the best single model's quality, mixing allowed.

    Args:
        cost: Mean cost of each policy, shape (k,), >= 0.
        quality: Mean quality of each policy, shape (k,).
        model_quality: Mean quality of each model alone, shape (m,).
        share: Part of the best one's quality, for example 0.99.

    Returns:
        A cost in the unit of ``cost``; ``inf`` if no policy is good enough.

    Raises:
        InvalidOutcomes: NaN, no points or no models.
    """
    return cost_at_quality(cost, quality, share * _best(model_quality))


def cost_at_share_unmixed(
    cost: ArrayLike, quality: ArrayLike, model_quality: ArrayLike, share: float = 1.0
) -> float:
    """Return the cost of the cheapest policy with a ``share`` of the best model's quality.

    As :func:`cost_at_share`, but without mixing.
    """
    return cost_at_quality_unmixed(cost, quality, share * _best(model_quality))


def _best(model_quality: ArrayLike) -> float:
    return float(finite(model_quality, "models quality").max())


def _reaches(quality: FloatArray, target: float) -> NDArray[np.bool_]:
    if not math.isfinite(target):
        raise InvalidOutcomes(f"The wanted quality needs to be a finite number, got {target}.")
    return quality >= target - _ROUNDING * max(1.0, abs(target))
