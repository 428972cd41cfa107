"""Logistic regression with a ridge, by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray

_STEPS = 100
# Newton squares its error: after a step this small the next would change nothing that matters.
_CONVERGED = 1e-5


@dataclass(frozen=True, eq=False)
class LogisticModel:
    r"""$P(y = 1) = \sigma(x^\top w + b)$, in the units of the columns that it was fitted on.

    Attributes:
        weights: Shape (p,).
        intercept: A number.
    """

    weights: FloatArray
    intercept: float

    def predict(self, features: FloatArray) -> FloatArray:
        """Return the probabilities, shape (n,), for ``features`` (n, p)."""
        return sigmoid(features @ self.weights + self.intercept)


def fit_logistic(features: FloatArray, target: FloatArray, ridge: float) -> LogisticModel:
    """Return the regression of least log loss plus half the ``ridge`` times the squared weights.

    The ridge acts on standardised columns, and not on the intercept. A constant column gets the
    weight 0.

    Args:
        features: Shape (n, p).
        target: Shape (n,), in [0, 1].
        ridge: Penalty, > 0; the loss is a sum over rows, so its weight falls with n.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0)
    # A constant column keeps a rounding error of a deviation.
    varies = spread > 1e-12 * (1.0 + np.abs(centre))
    scale = np.where(varies, spread, 1.0)
    design = np.column_stack([(features - centre) / scale * varies, np.ones(len(target))])
    penalty = np.append(np.full(features.shape[1], ridge), 0.0)
    theta = _minimise(design, target, penalty)
    weights = np.where(varies, theta[:-1] / scale, 0.0)
    return LogisticModel(weights, float(theta[-1] - weights @ centre))


def sigmoid(z: FloatArray) -> FloatArray:
    """Return the logistic function, elementwise, without overflow."""
    return np.exp(-np.logaddexp(0.0, -z))


def logit(p: FloatArray, edge: float = 1e-6) -> FloatArray:
    r"""Return $\log p / (1 - p)$, elementwise, with p clipped to [edge, 1 - edge]."""
    p = np.minimum(np.maximum(p, edge), 1.0 - edge)
    return np.log(p) - np.log1p(-p)


def _minimise(design: FloatArray, target: FloatArray, penalty: FloatArray) -> FloatArray:
    theta = np.zeros(design.shape[1])
    theta[-1] = logit(target.mean(keepdims=True))[0]
    loss = _loss(design, target, theta, penalty)
    for _ in range(_STEPS):
        p = sigmoid(design @ theta)
        gradient = design.T @ (p - target) + penalty * theta
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        hessian[np.diag_indices_from(hessian)] += penalty + 1e-12
        step: FloatArray = np.linalg.solve(hessian, gradient).astype(np.float64)
        # Far out the quadratic model overshoots: halve until the loss falls.
        while (new := _loss(design, target, theta - step, penalty)) > loss and step.any():
            step = step / 2
        theta, loss = theta - step, new
        if np.abs(step).max() < _CONVERGED:
            break
    return theta


def _loss(design: FloatArray, target: FloatArray, theta: FloatArray, penalty: FloatArray) -> float:
    z = design @ theta
    return float((np.logaddexp(0.0, z) - target * z).sum() + 0.5 * (penalty * theta**2).sum())
