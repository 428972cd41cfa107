"""Beliefs about all arms by Gaussian conditioning, with a covariance shrunk toward independence."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes


def shrunk_covariance(residuals: FloatArray) -> FloatArray:
    """Return the covariance of ``residuals`` (n, m), shrunk toward its diagonal; shape (m, m).

    Ledoit and Wolf's optimal weight, with the diagonal as the target (Schäfer and Strimmer, 2005):
    the share of each covariance that is estimation noise is taken away. Positive semi-definite.

    Raises:
        InvalidOutcomes: Fewer than two rows, or a number that is not finite.
    """
    n, m = residuals.shape if residuals.ndim == 2 else (0, 0)
    if n < 2 or not np.isfinite(residuals).all():
        raise InvalidOutcomes(
            f"A covariance needs finite residuals of shape (n, m) with n >= 2, got "
            f"{residuals.shape}."
        )
    centred = residuals - residuals.mean(axis=0)
    covariance: FloatArray = centred.T @ centred / n
    noise = ((centred**2).T @ (centred**2) / n - covariance**2) / (n - 1)
    off = ~np.eye(m, dtype=np.bool_)
    total = float((covariance[off] ** 2).sum())
    weight = 1.0 if total == 0 else min(1.0, float(noise[off].sum()) / total)
    return np.where(off, (1 - weight) * covariance, covariance)
