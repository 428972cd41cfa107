"""Reductions along an axis that say what they return, which NumPy's own annotations do not."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray


def any_of(mask: BoolArray, axis: int = 1) -> BoolArray:
    """Return where any of ``mask`` along ``axis`` is set."""
    out: BoolArray = np.logical_or.reduce(mask, axis=axis)
    return out


def count(mask: BoolArray) -> IndexArray:
    """Return how many of ``mask`` (n, u) are set in each row."""
    out: IndexArray = np.add.reduce(mask, axis=1, dtype=np.intp)
    return out


def total(values: FloatArray, axis: int = 1) -> FloatArray:
    """Return sums along ``axis``."""
    out: FloatArray = np.add.reduce(values, axis=axis)
    return out


def product(values: FloatArray, axis: int = 1) -> FloatArray:
    """Return products along ``axis``."""
    out: FloatArray = np.multiply.reduce(values, axis=axis)
    return out


def largest(values: FloatArray, axis: int = 1) -> FloatArray:
    """Return maxima along ``axis``."""
    out: FloatArray = np.maximum.reduce(values, axis=axis)
    return out


def smallest(values: FloatArray, axis: int = 1) -> FloatArray:
    """Return minima along ``axis``."""
    out: FloatArray = np.minimum.reduce(values, axis=axis)
    return out


def mean_of_last(values: FloatArray) -> FloatArray:
    """Return means along the last axis."""
    return total(values, axis=values.ndim - 1) / float(values.shape[-1])
