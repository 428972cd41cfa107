"""Many decisions as arrays, checked once at the door."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.errors import InvalidBelief


@dataclass(frozen=True, slots=True)
class Decisions:
    """Rows of (beliefs, prices, reply in hand): the arguments of ``best_sets``, checked.

    Exactly one of ``sd`` and ``covariance`` is given. ``max_size`` is (n,), at most m.
    """

    mean: FloatArray
    sd: FloatArray
    covariance: FloatArray | None
    price: FloatArray
    base: FloatArray
    open: BoolArray
    max_size: IndexArray

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and arms."""
        return self.mean.shape[0], self.mean.shape[1]

    def rows(self, which: IndexArray) -> Decisions:
        """Return some of the decisions."""
        joint = self.covariance
        return Decisions(
            self.mean[which],
            self.sd[which],
            None if joint is None else joint[which],
            self.price[which],
            self.base[which],
            self.open[which],
            self.max_size[which],
        )

    def permuted(self, order: IndexArray) -> Decisions:
        """Return the same decisions with arm ``order[i]`` in place i."""
        joint = self.covariance
        return Decisions(
            self.mean[:, order],
            self.sd[:, order],
            None if joint is None else joint[:, order[:, None], order],
            self.price[:, order],
            self.base,
            self.open[:, order],
            self.max_size,
        )


def check(
    mean: ArrayLike,
    sd: ArrayLike | None,
    covariance: ArrayLike | None,
    price: ArrayLike,
    base: ArrayLike,
    open_arms: ArrayLike | None,
    max_size: ArrayLike | None,
) -> Decisions:
    """Return the arguments as arrays of matching shapes; refuse numbers that are no belief."""
    mean = np.asarray(mean, dtype=np.float64)
    if mean.ndim != 2 or mean.shape[1] == 0:
        raise InvalidBelief(f"Beliefs need mean of shape (n, m) with m >= 1, got {mean.shape}.")
    n, m = mean.shape
    opened = _mask(open_arms, (n, m))
    prices = _shaped("price", price, (n, m))
    in_hand = _shaped("base", base, (n,))
    if (sd is None) == (covariance is None):
        raise InvalidBelief("Beliefs need either sd (n, m) or covariance (n, m, m), not both.")
    joint = None if covariance is None else _shaped("covariance", covariance, (n, m, m))
    if joint is None:
        deviation = _shaped("sd", 0.0 if sd is None else sd, (n, m))
    else:
        variance = np.einsum("nii->ni", joint)
        _refuse(opened & ~(variance >= 0), "variances >= 0", variance)
        deviation = np.sqrt(np.where(opened, variance, 0.0))
        joint = np.where(opened[:, :, None] & opened[:, None, :], joint, 0.0)
        _refuse_impossible(joint, deviation)
    _refuse(opened & ~np.isfinite(mean), "finite means", mean)
    _refuse(opened & ~(np.isfinite(deviation) & (deviation >= 0)), "finite sd >= 0", deviation)
    _refuse(opened & ~np.isfinite(prices), "finite prices for the open arms", prices)
    _refuse(np.isnan(in_hand) | (in_hand == np.inf), "base finite, or -inf for none", in_hand)
    if max_size is None:
        sizes = np.full(n, m, dtype=np.intp)
    else:
        sizes = np.minimum(_shaped("max_size", max_size, (n,)), m).astype(np.intp)
    return Decisions(mean, deviation, joint, prices, in_hand, opened, sizes)


def _refuse_impossible(joint: FloatArray, sd: FloatArray) -> None:
    """Refuse correlations beyond 1 and asymmetry; the factor finds what else is indefinite."""
    bound = sd[:, :, None] * sd[:, None, :]
    _refuse(~(np.abs(joint) <= bound * (1 + 1e-9)), "a positive semi-definite covariance", joint)
    skew = np.abs(joint - joint.transpose(0, 2, 1))
    _refuse(skew > 1e-9 * bound, "a symmetric covariance", joint)


def _mask(open_arms: ArrayLike | None, shape: tuple[int, int]) -> BoolArray:
    if open_arms is None:
        return np.ones(shape, dtype=np.bool_)
    mask = np.asarray(open_arms)
    if mask.shape == shape and mask.dtype == np.bool_:
        return mask
    opened: BoolArray = _shaped("open", mask, shape) != 0
    return opened


def _shaped(name: str, values: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    array: FloatArray = np.asarray(values, dtype=np.float64)
    if array.shape == shape:
        return array
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise InvalidBelief(f"Beliefs need {name} of shape {shape}, got {array.shape}.") from None


def _refuse(wrong: BoolArray, needed: str, given: FloatArray) -> None:
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InvalidBelief(f"Beliefs need {needed}, got {given[where]!r} at {where}.")
