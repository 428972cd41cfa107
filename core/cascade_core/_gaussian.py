"""Gaussian conditioning of beliefs about many requests at once."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import FloatArray, IndexArray


def condition(
    mean: FloatArray, covariance: FloatArray, arm: IndexArray, quality: FloatArray
) -> tuple[FloatArray, FloatArray]:
    r"""Return mean (n, m) and covariance (n, m, m) once the quality of one arm a row is known.

    $\mu \mathrel{+}= \Sigma_{\cdot i}/\Sigma_{ii}\,(v-\mu_i)$ and
    $\Sigma \mathrel{-}= \Sigma_{\cdot i}\Sigma_{i\cdot}/\Sigma_{ii}$, the mean in [0, 1].

    Args:
        mean: Expected qualities, shape (n, m).
        covariance: Their covariance, shape (n, m, m).
        arm: The arm that replied, shape (n,).
        quality: What its quality is now thought to be, shape (n,).
    """
    rows = np.arange(len(mean))
    column = covariance[rows, :, arm]
    variance = column[rows, arm]
    # An arm without variance has nothing to say about the others.
    gain = column / np.where(variance > 0, variance, np.inf)[:, None]
    mean = np.clip(mean + gain * (quality - mean[rows, arm])[:, None], 0.0, 1.0)
    covariance = covariance - gain[:, :, None] * column[:, None, :]
    mean[rows, arm] = quality
    covariance[rows, arm, :] = covariance[rows, :, arm] = 0.0
    # Rounding may leave -1e-18 on the diagonal, which a square root would not forgive.
    diagonal = np.einsum("nii->ni", covariance)
    np.maximum(diagonal, 0.0, out=diagonal)
    return mean, covariance
