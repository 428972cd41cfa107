"""Platt's calibration: a score becomes a probability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import FloatArray
from cascade_core._logistic import fit_logistic, logit, sigmoid
from cascade_core.errors import InvalidConfiguration

# A probability of exactly 0 or 1 has no finite logit; 1e-6 is beyond what any provider resolves.
_EDGE = 1e-6
# Prior precision of the slope: decides only where the labels separate perfectly or are all alike.
_SLOPE_PRIOR = 1e-3


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
        z = logit(np.asarray(confidence, dtype=np.float64), _EDGE)
        return sigmoid(self.slope * z + self.intercept)

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
        model = fit_logistic(logit(s, _EDGE)[:, None], target, _SLOPE_PRIOR)
        slope = float(model.weights[0])
        if slope < 0:
            return cls(0.0, float(logit(target.mean(keepdims=True))[0]))
        return cls(slope, model.intercept)


def _sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
