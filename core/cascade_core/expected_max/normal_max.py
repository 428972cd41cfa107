r"""The maximum of independent normals, by quadrature.

$E[\max(b, X_S)] = hi - \int_{b}^{hi} \prod_{i \in S} \Phi((x-\mu_i)/\sigma_i)\,dx$ where hi is
above everything; without a base, b is a point below everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max import subsets
from cascade_core.expected_max.normal_cdf import normal_cdf
from cascade_core.expected_max.reduce import product, smallest, total

_SQRT2PI = float(np.sqrt(2 * np.pi))
# A deviation of 0 as a number that can be divided by: the step function to the last digit.
_TINY = 1e-200


def expected_excess(mean: FloatArray, sd: FloatArray, base: FloatArray) -> FloatArray:
    """Return E[(X - base)_+] in closed form."""
    u = np.clip((base - mean) / np.maximum(sd, _TINY), -40.0, 40.0)
    chance = sd * (np.exp(-0.5 * u * u) / _SQRT2PI - u * ndtr(-u))
    return np.where(u > -40, chance, mean - base)


@dataclass(frozen=True, slots=True)
class NormalTable:
    """E[max(base, X_S)] = top - sum_k weight_k prod_{i in S} cdf_ik, row by row.

    Attributes:
        cdf: Distribution function of every arm at every node, shape (n, u, K).
        weight: Quadrature weights, times the cdf of arms that are in for sure, shape (n, K).
        top: Upper end of the range, shape (n,).
    """

    cdf: FloatArray
    weight: FloatArray
    top: FloatArray

    direct: ClassVar[int] = 11
    enumerable: ClassVar[int] = 11
    leaf: ClassVar[int] = 10

    @classmethod
    def at(
        cls,
        nodes: FloatArray,
        weight: FloatArray,
        top: FloatArray,
        mean: FloatArray,
        sd: FloatArray,
    ) -> NormalTable:
        """Return the table for arms of ``mean`` and ``sd`` (n, u) on nodes (n, K)."""
        slope = 1.0 / np.maximum(sd, _TINY)
        u = nodes[:, None, :] * slope[:, :, None]
        u -= (mean * slope)[:, :, None]
        return cls(normal_cdf(u), weight, top)

    @property
    def width(self) -> int:
        """Number of nodes."""
        return int(self.weight.shape[1])

    def dominates(self) -> BoolArray:
        """Return whether arm j may replace arm i in every set at no loss, shape (n, u, u)."""
        n, u, _ = self.cdf.shape
        out = np.empty((n, u, u), dtype=np.bool_)
        for j in range(u):
            np.logical_and.reduce(self.cdf[:, j, None] <= self.cdf, axis=2, out=out[:, j])
        return out

    def ceilings(self, price: FloatArray) -> FloatArray:
        r"""Return an upper bound on E[max] less prices of sets that hold arm i, shape (n, u).

        $1 - \prod_S \Phi \le \min(1, \sum_S (1 - \Phi_i))$: take the first up to a node and the
        second from there on, whichever node is best. Weitzman's bound, where it takes the largest
        reservation value.
        """
        tail = np.where(self.cdf < 1, (1 - self.cdf) * self.weight[:, None], 0.0)
        beyond = np.cumsum(tail[:, :, ::-1], axis=2)[:, :, ::-1]
        surplus = beyond - price[:, :, None]
        level = self.top[:, None] - np.cumsum(self.weight[:, ::-1], axis=1)[:, ::-1]
        everyone = level + total(np.maximum(surplus, 0.0))
        return smallest(everyone[:, None] + np.minimum(surplus, 0.0), axis=2)

    def take(self, rows: IndexArray) -> NormalTable:
        """Return some of the rows."""
        return NormalTable(self.cdf[rows], self.weight[rows], self.top[rows])

    def absorb(self, rows: IndexArray, inside: BoolArray, arms: IndexArray) -> NormalTable:
        """Return ``rows`` with ``inside`` (n, u) called for sure and only ``arms`` (n, v) left."""
        cdf, mask = self.cdf[rows], inside[:, :, None]
        weight = self.weight[rows] * product(np.where(mask, cdf, 1.0))
        return NormalTable(np.take_along_axis(cdf, arms[:, :, None], 1), weight, self.top[rows])

    def value(self, inside: BoolArray) -> FloatArray:
        """Return E[max] of the sets ``inside``, shape (n,)."""
        return self.top - total(self._below(inside))

    def gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm adds to ``inside``, shape (n, u)."""
        below = self._below(inside)
        kept: FloatArray = np.matmul(self.cdf, below[:, :, None])[:, :, 0]
        return total(below)[:, None] - kept

    def exclusive_gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm of ``inside`` adds to the others of it, shape (n, u)."""
        cdf = np.where(inside[:, :, None], self.cdf, 1.0)
        without = np.empty_like(cdf)
        running = self.weight.copy()
        for i in range(cdf.shape[1]):
            without[:, i] = running
            running *= cdf[:, i]
        running = np.ones_like(self.weight)
        for i in reversed(range(cdf.shape[1])):
            without[:, i] *= running
            running *= cdf[:, i]
        kept: FloatArray = np.einsum("nuk,nuk->nu", without, cdf)
        return total(without, axis=2) - kept

    def all_values(self) -> FloatArray:
        """Return E[max] of every subset, shape (n, 2^u).

        The integrand of a subset is a product of one half's and the other half's: a matrix
        product of 2^(u/2) by 2^(u/2).
        """
        n, u, _ = self.cdf.shape
        low = subsets.products(self.cdf[:, : u - u // 2])
        high = subsets.products(self.cdf[:, u - u // 2 :], self.weight)
        below: FloatArray = np.matmul(high, low.transpose(0, 2, 1)).reshape(n, 1 << u)
        np.subtract(self.top[:, None], below, out=below)
        return below

    def prefix_values(self) -> FloatArray:
        """Return E[max] of the first 0, 1, ..., u arms, shape (n, u + 1)."""
        n, u, _ = self.cdf.shape
        out = np.empty((n, u + 1))
        below = self.weight.copy()
        out[:, 0] = total(below)
        for i in range(u):
            below *= self.cdf[:, i]
            out[:, i + 1] = total(below)
        return self.top[:, None] - out

    def _below(self, inside: BoolArray) -> FloatArray:
        return self.weight * product(np.where(inside[:, :, None], self.cdf, 1.0))
