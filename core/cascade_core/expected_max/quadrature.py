r"""Nodes for $\int_{lo}^{hi} \prod_i \Phi((x-\mu_i)/\sigma_i)\,dx$.

Measured on random products of up to 16 normals, for errors below 1e-9 deviations of the narrowest
arm: between two points far outside, where the product is 0 and 1, the midpoint rule needs a step
of 0.45 deviations (0.55 up to five arms). From a reply in hand on, where the integrand has an
edge, Gauss-Legendre needs about four nodes a deviation. Arms very much narrower than the range get
panels of their own: $\mu \pm Z\sigma$, or a break at $\mu$ if they are certain.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max.reduce import any_of, count, largest, smallest

# E[(X - mean - Z sd)_+] = 1.6e-10 sd: the tails that are cut off.
Z = 6.0
# Nodes of one panel and the widest panel, in deviations of the narrowest arm, that they serve.
_NODES = np.array([12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192])
_WIDEST = np.array([3.0, 4.0, 5.2, 6.4, 7.6, 9.0, 11.0, 13.0, 17.0, 22.0, 27.0, 37.0, 55.0])
# The same for the midpoint rule.
_POINTS = np.array([16, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256])
_STEP, _STEP_OF_FEW = 0.45, 0.55
# Plans by position in the lists above; 0 beyond their ends.
_GAUSS_KEYS: IndexArray = np.append(2 * _NODES, 0)
_POINT_KEYS: IndexArray = np.append(2 * _POINTS + 1, 0)
# Panels around narrow arms are 2 Z wide.
PANEL_NODES = 48
_NARROW = 2 * Z


def limits(
    mean: FloatArray, sd: FloatArray, base: FloatArray, live: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Return the ends (lo, hi), each (n,), of the range in which the maximum falls."""
    reach = Z * sd
    hi = np.maximum(largest(np.where(live, mean + reach, -np.inf)), base)
    low = smallest(np.where(live, mean - reach, np.inf))
    return np.where(base > -np.inf, base, low), hi


def plan(
    mean: FloatArray,
    sd: FloatArray,
    lo: FloatArray,
    hi: FloatArray,
    edge: BoolArray,
    live: BoolArray,
) -> IndexArray:
    """Return how each row is integrated, (n,): 2 K by K Gauss-Legendre nodes, 2 K + 1 by K points.

    Or -b, where b breaks inside the range are needed. ``edge``: there is a reply in hand.
    """
    width = hi - lo
    ratio = width / smallest(np.where(live & (sd > 0), sd, np.inf))
    gauss = np.searchsorted(_WIDEST, ratio)
    step = np.where(count(live) > 5, _STEP, _STEP_OF_FEW)
    points = np.searchsorted(_POINTS, ratio / step)
    nodes: IndexArray = np.where(edge, _GAUSS_KEYS[gauss], _POINT_KEYS[points])
    certain = live & (sd == 0) & (mean > lo[:, None])
    panels = (nodes == 0) | any_of(certain)
    if not panels.any():
        return nodes
    breaks = 2 * count(live & _narrow(sd, width)) + count(certain)
    return np.where(panels, -breaks, nodes)


def size(key: int) -> int:
    """Return the number of nodes of a plan."""
    return key // 2 if key > 0 else PANEL_NODES * (1 - key)


def rule(
    key: int, mean: FloatArray, sd: FloatArray, lo: FloatArray, hi: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights, each (n, K), for rows of the same ``plan``."""
    if key > 0:
        x, w = (_midpoints if key % 2 else _legendre)(key // 2)
        width = (hi - lo)[:, None]
        return lo[:, None] + width * x, width * w
    narrow = _narrow(sd, hi - lo)
    certain = (sd == 0) & (mean > lo[:, None])
    # What is no break is put at hi, where it makes empty panels that are cut off.
    left = np.where(narrow | certain, mean - Z * sd, np.inf)
    right = np.where(narrow, mean + Z * sd, np.inf)
    ends = np.clip(np.concatenate([left, right], axis=1), lo[:, None], hi[:, None])
    ends = np.sort(ends, axis=1)[:, :-key]
    edges = np.concatenate([lo[:, None], ends, hi[:, None]], axis=1)
    x, w = _legendre(PANEL_NODES)
    width = np.diff(edges, axis=1)[:, :, None]
    n = len(lo)
    return (edges[:, :-1, None] + width * x).reshape(n, -1), (width * w).reshape(n, -1)


def _narrow(sd: FloatArray, width: FloatArray) -> BoolArray:
    return (sd > 0) & (sd * _NARROW < width[:, None])


@cache
def _legendre(nodes: int) -> tuple[FloatArray, FloatArray]:
    """Return Gauss-Legendre nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return (x + 1) / 2, w / 2


@cache
def _midpoints(nodes: int) -> tuple[FloatArray, FloatArray]:
    """Return the midpoints of ``nodes`` equal parts of [0, 1] and their lengths."""
    return (np.arange(nodes) + 0.5) / nodes, np.full(nodes, 1.0 / nodes)
