"""Platt's calibration: a score becomes a probability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._types import FloatArray
from cascade_core.errors import InvalidConfiguration

# A probability of exactly 0 or 1 has no finite logit; 1e-6 is beyond what any provider resolves.
_EDGE = 1e-6
# Prior precision of the slope: decides only where the labels separate perfectly or are all alike.
_SLOPE_PRIOR = 1e-3


def _transform(confidence: FloatArray) -> FloatArray:
    """Return the logit of the confidences, shape kept; spreads out what crowds near 1."""
    p = np.clip(confidence, _EDGE, 1 - _EDGE)
    return np.log(p) - np.log1p(-p)


@dataclass(frozen=True, slots=True)
class PlattCalibrator:
    r"""$P(\text{good}) = \sigma(a\,\operatorname{logit}(s) + b)$ for a confidence s in [0, 1].

    Platt (1999), Probabilistic outputs for support vector machines, with his smoothed targets
    $(n_+ + 1)/(n_+ + 2)$ and $1/(n_- + 2)$, on transformed confidences as in Zellinger and Thomson
    (2025). The slope is kept >= 0: a surer model is never thought a worse one.

    Examples:
        >>> round(PlattCalibrator(slope=1.0, intercept=0.0)(0.9), 3)
        0.9
    """

    slope: float
    intercept: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope >= 0 and math.isfinite(self.intercept)):
            raise InvalidConfiguration(
                f"PlattCalibrator needs a finite slope >= 0 and a finite intercept, got {self!r}."
            )

    def __call__(self, confidence: float) -> float:
        """Return the probability that a reply of this confidence is good."""
        p = min(max(confidence, _EDGE), 1 - _EDGE)
        return _sigmoid(self.slope * (math.log(p) - math.log1p(-p)) + self.intercept)

    def apply(self, confidence: ArrayLike) -> FloatArray:
        """Return the probabilities for an array of confidences, shape kept."""
        z = self.slope * _transform(np.asarray(confidence, dtype=np.float64)) + self.intercept
        return _sigmoid_array(z)

    @classmethod
    def fit(cls, confidence: ArrayLike, quality: ArrayLike) -> PlattCalibrator:
        """Return the calibrator of least log loss.

        Args:
            confidence: Shape (n,), in [0, 1].
            quality: Shape (n,), in [0, 1]; 0 or 1 for wrong and right.

        Raises:
            InvalidConfiguration: No rows, other shapes, or numbers outside [0, 1].
        """
        s = np.asarray(confidence, dtype=np.float64)
        y = np.asarray(quality, dtype=np.float64)
        if s.ndim != 1 or s.shape != y.shape or s.size == 0:
            raise InvalidConfiguration(
                f"Calibration needs as many qualities as confidences, at least one, got shapes "
                f"{s.shape} and {y.shape}."
            )
        if not all(np.isfinite(a).all() and (np.abs(a - 0.5) <= 0.5).all() for a in (s, y)):
            raise InvalidConfiguration("Calibration needs confidences and qualities in [0, 1].")
        positives = y.sum()
        high, low = (positives + 1) / (positives + 2), 1 / (y.size - positives + 2)
        target = low + (high - low) * y
        slope, intercept = _newton(_transform(s), target)
        if slope < 0:
            return cls(0.0, float(_logit(target.mean())))
        return cls(slope, intercept)


def _newton(x: FloatArray, target: FloatArray) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of ``target`` on ``x``, both (n,)."""
    # Newton on a standardised score: without it a column of confidences near 1 is ill-conditioned.
    centre, scale = float(x.mean()), float(x.std()) or 1.0
    design = np.column_stack([(x - centre) / scale, np.ones_like(x)])
    theta: FloatArray = np.array([0.0, _logit(float(target.mean()))])
    prior = np.array([_SLOPE_PRIOR, 0.0])
    loss = _loss(design, target, theta, prior)
    for _ in range(100):
        p = _sigmoid_array(design @ theta)
        gradient = design.T @ (p - target) + prior * theta
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(prior + 1e-12)
        step: FloatArray = np.linalg.solve(hessian, gradient).astype(np.float64)
        # Far out the quadratic model overshoots: halve until the loss falls.
        while (new := _loss(design, target, theta - step, prior)) > loss and np.abs(step).max() > 0:
            step = step / 2
        theta, loss = theta - step, new
        if np.abs(step).max() < 1e-10:
            break
    slope = float(theta[0]) / scale
    return slope, float(theta[1]) - slope * centre


def _loss(design: FloatArray, target: FloatArray, theta: FloatArray, prior: FloatArray) -> float:
    z = design @ theta
    return float((np.logaddexp(0, z) - target * z).sum() + 0.5 * (prior * theta**2).sum())


def _logit(p: float) -> float:
    p = min(max(p, _EDGE), 1 - _EDGE)
    return math.log(p / (1 - p))


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _sigmoid_array(z: FloatArray) -> FloatArray:
    return np.exp(-np.logaddexp(0, -z))
