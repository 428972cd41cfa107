"""The expected excess of a normal variable over a value, and its inverse."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from cascade_core._arrays import FloatArray

_SQRT2PI = float(np.sqrt(2.0 * np.pi))
# Between these the inverse is interpolated: above, h(u) = -u to the last digit; below, the tail
# underflows, and the root is thirty deviations up, whatever.
_U_LOW, _U_HIGH = -9.0, 37.0
_KNOTS = 4096


def expected_excess(u: FloatArray | float) -> FloatArray:
    r"""Return $h(u) = \varphi(u) - u\,(1 - \Phi(u)) = E[(Z - u)_+]$ for a standard normal Z.

    Examples:
        >>> round(float(expected_excess(0.0)), 6)
        0.398942
    """
    u = np.asarray(u, dtype=np.float64)
    return np.exp(-0.5 * u * u) / _SQRT2PI - u * ndtr(-u)


def inverse_excess(target: FloatArray) -> FloatArray:
    """Return u with h(u) = ``target``, elementwise; ``target`` > 0, error below 1e-10."""
    spline, lowest, highest = _inverse()
    inside = np.clip(target, lowest, highest)
    u: FloatArray = spline(np.log(inside))
    # One Newton step squares the spline's error. In the far tail, where h itself is rounded off,
    # the spline alone is the better of the two.
    step = (expected_excess(u) - inside) / ndtr(-u)
    u = np.where(np.abs(step) < 1e-3, u + step, u)
    return np.where(target > highest, -target, u)


@lru_cache(maxsize=1)
def _inverse() -> tuple[CubicSpline, float, float]:
    u = np.linspace(_U_LOW, _U_HIGH, _KNOTS)
    h = _accurate(u)
    # A spline needs an ascending abscissa, and h descends.
    return CubicSpline(np.log(h[::-1]), u[::-1]), float(h[-1]), float(h[0])


def _accurate(u: FloatArray) -> FloatArray:
    """Return h without the cancellation of its two terms in the upper tail."""
    phi = np.exp(-0.5 * u * u) / _SQRT2PI
    return np.where(u > 5.0, phi * _bracket(np.maximum(u, 5.0)), phi - u * ndtr(-u))


def _bracket(u: FloatArray) -> FloatArray:
    """Return 1 - u M(u), M being Mills' ratio, from its continued fraction; for u >= 5."""
    # M(u) = 1 / (u + 1 / (u + 2 / (u + ...))); the difference from 1 is taken before it cancels.
    tail = u
    for k in range(200, 1, -1):
        tail = u + k / tail
    return 1.0 / (1.0 + u * tail)
