"""The maximum of correlated normals, on joint samples.

One set of quasi-random points serves every decision and every set of a decision (common random
numbers): the sample average of maxima is then exactly submodular, and decisions repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.errors import InvalidBelief
from cascade_core.expected_max.reduce import largest, mean_of_last, smallest, total


@lru_cache(maxsize=32)
def normal_points(m: int, log2_points: int = 8, seed: int = 0) -> FloatArray:
    """Return scrambled Sobol points as standard normals, shape (2^log2_points, m); read-only."""
    # scipy.stats takes half a second to import, and only correlated beliefs need it.
    from scipy.stats import qmc

    uniform = qmc.Sobol(m, seed=np.random.default_rng(seed)).random_base2(log2_points)
    points = np.asarray(ndtri(np.clip(uniform, 1e-12, 1 - 1e-12)), dtype=np.float64)
    points.flags.writeable = False
    return points


def factor(covariance: FloatArray) -> FloatArray:
    """Return L, lower triangular, with L L' = covariance, shape (n, m, m); may be singular."""
    try:
        low: FloatArray = np.linalg.cholesky(covariance).astype(np.float64, copy=False)
        return low
    except np.linalg.LinAlgError:
        return _semidefinite_factor(covariance)


def _factor_of_uncertain(covariance: FloatArray) -> FloatArray:
    """Like ``factor``; arms that are certain keep zeros without making the matrix singular."""
    certain = np.einsum("nii->ni", covariance) == 0
    if not certain.any():
        return factor(covariance)
    m = certain.shape[1]
    low = factor(covariance + certain[:, :, None] * np.eye(m))
    return np.where(certain[:, :, None], 0.0, low)


def _semidefinite_factor(covariance: FloatArray) -> FloatArray:
    """Cholesky that skips a pivot of 0, whose column must then be 0 too."""
    rest = covariance.copy()
    low = np.zeros_like(rest)
    scale = np.sqrt(np.einsum("nii->ni", covariance))
    for i in range(rest.shape[1]):
        pivot = rest[:, i, i]
        used = pivot > 1e-12 * scale[:, i] ** 2
        root = np.sqrt(np.where(used, pivot, 1.0))
        low[:, i:, i] = np.where(used[:, None], rest[:, i:, i] / root[:, None], 0.0)
        rest[:, i:, i:] -= low[:, i:, i, None] * low[:, None, i:, i]
        left = np.abs(rest[:, i:, i]) > 1e-5 * scale[:, i:] * scale[:, i, None]
        wrong = np.flatnonzero(left.any(axis=1) | (pivot < -1e-9 * scale[:, i] ** 2))
        if wrong.size:
            raise InvalidBelief(
                "Beliefs need a positive semi-definite covariance, got "
                f"{covariance[wrong[0]].tolist()}."
            )
    return low


@dataclass(frozen=True, slots=True)
class SampleTable:
    """E[max(base, X_S)] = mean_s max(floor_s, max_{i in S} x_is), row by row.

    Attributes:
        x: Joint samples, shape (n, u, s).
        floor: The value in hand, or of arms that are in for sure, shape (n, s). Finite: without
            a value in hand it is below every sample.
    """

    x: FloatArray
    floor: FloatArray

    direct: ClassVar[int] = 5
    enumerable: ClassVar[int] = 9
    leaf: ClassVar[int] = 7

    @classmethod
    def of(
        cls, mean: FloatArray, covariance: FloatArray, base: FloatArray, points: FloatArray
    ) -> SampleTable:
        """Return the samples of arms with ``mean`` (n, u) and ``covariance`` (n, u, u)."""
        x = np.matmul(_factor_of_uncertain(covariance), points.T)
        x += mean[:, :, None]
        below = x.min(axis=(1, 2), initial=np.inf) - 1.0
        floor = np.where(base > -np.inf, base, below)
        return cls(x, np.repeat(floor[:, None], x.shape[2], axis=1))

    @property
    def width(self) -> int:
        """Number of samples."""
        return int(self.x.shape[2])

    def dominates(self) -> BoolArray:
        """Return whether arm j may replace arm i in every set at no loss, shape (n, u, u)."""
        n, u, _ = self.x.shape
        out = np.empty((n, u, u), dtype=np.bool_)
        for j in range(u):
            np.logical_and.reduce(self.x[:, j, None] >= self.x, axis=2, out=out[:, j])
        return out

    def ceilings(self, price: FloatArray) -> FloatArray:
        r"""Return an upper bound on E[max] less prices of sets that hold arm i, shape (n, u).

        $\max(b, x_S) \le \max(b, r) + \sum_S (x_i - \max(b, r))_+$ for every r; a few are tried.
        """
        low, high = smallest(mean_of_last(self.x)), largest(largest(self.x))
        out = np.full(price.shape, np.inf)
        for share in np.linspace(0.0, 1.0, 12):
            level = np.maximum(self.floor, (low + share * (high - low))[:, None])
            surplus = mean_of_last(np.maximum(self.x - level[:, None], 0.0)) - price
            everyone = mean_of_last(level) + total(np.maximum(surplus, 0.0))
            np.minimum(out, everyone[:, None] + np.minimum(surplus, 0.0), out=out)
        return out

    def take(self, rows: IndexArray) -> SampleTable:
        """Return some of the rows."""
        return SampleTable(self.x[rows], self.floor[rows])

    def absorb(self, rows: IndexArray, inside: BoolArray, arms: IndexArray) -> SampleTable:
        """Return ``rows`` with ``inside`` (n, u) called for sure and only ``arms`` (n, v) left."""
        x = self.x[rows]
        best = largest(np.where(inside[:, :, None], x, -np.inf))
        return SampleTable(
            np.take_along_axis(x, arms[:, :, None], 1), np.maximum(self.floor[rows], best)
        )

    def value(self, inside: BoolArray) -> FloatArray:
        """Return E[max] of the sets ``inside``, shape (n,)."""
        return mean_of_last(self._best(inside))

    def gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm adds to ``inside``, shape (n, u)."""
        return mean_of_last(np.maximum(self.x - self._best(inside)[:, None], 0.0))

    def exclusive_gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm of ``inside`` adds to the others of it, shape (n, u).

        Only the largest sample rises above the second largest.
        """
        x = np.where(inside[:, :, None], self.x, -np.inf)
        second = np.maximum(np.partition(x, -2, axis=1)[:, -2], self.floor)
        return mean_of_last(np.maximum(x - second[:, None], 0.0))

    def all_values(self) -> FloatArray:
        """Return E[max] of every subset, shape (n, 2^u)."""
        n, u, s = self.x.shape
        best = np.empty((n, 1 << u, s))
        best[:, 0] = self.floor
        for i in range(u):
            np.maximum(best[:, : 1 << i], self.x[:, i, None], out=best[:, 1 << i : 2 << i])
        return mean_of_last(best)

    def prefix_values(self) -> FloatArray:
        """Return E[max] of the first 0, 1, ..., u arms, shape (n, u + 1)."""
        running = np.concatenate([self.floor[:, None], self.x], axis=1)
        best: FloatArray = np.maximum.accumulate(running, axis=1)
        return mean_of_last(best)

    def _best(self, inside: BoolArray) -> FloatArray:
        return np.maximum(self.floor, largest(np.where(inside[:, :, None], self.x, -np.inf)))
