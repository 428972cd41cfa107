"""The standard normal distribution function from a table: three times as fast as SciPy's here."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from cascade_core._arrays import FloatArray

# Further out the function is taken as constant, 3e-14 off: products of many smaller numbers would
# fall among the subnormal ones, which processors are slow at.
_END = 7.5
_PER_UNIT = 1024
_GRID = np.arange(-int(_END * _PER_UNIT), int(_END * _PER_UNIT) + 1) / _PER_UNIT
_CDF = np.asarray(ndtr(_GRID), dtype=np.float64)
_DENSITY = np.exp(-0.5 * _GRID * _GRID) / np.sqrt(2 * np.pi)


def normal_cdf(u: FloatArray) -> FloatArray:
    r"""Return $\Phi(u)$ to 2e-11, in place.

    Taylor at the nearest grid point g, d = u - g:
    $\Phi(g) + \varphi(g)\,(d - g d^2/2)$, where u may stand for g.
    """
    np.clip(u, -_END, _END, out=u)
    nearest = u * _PER_UNIT
    nearest += _END * _PER_UNIT + 0.5
    i = nearest.astype(np.intp)
    d = np.subtract(u, _GRID.take(i), out=nearest)
    u *= d
    u *= -0.5
    u += 1.0
    u *= d
    u *= _DENSITY.take(i)
    u += _CDF.take(i)
    return u
