"""Optimal stopping: early abstention from calibrated estimates and one regression per level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import BoolArray, FloatArray
from cascade_core.policies._isotonic import Decreasing
from cascade_core.policies._rows import Rows, between
from cascade_core.policies._sweeps import ALL_ABOVE, NONE_ABOVE
from cascade_core.policies.abstention_loss import AbstentionLoss, TunedAbstention
from cascade_core.policies.early_abstention import EarlyAbstentionCascade

Regression = Callable[[FloatArray, FloatArray], Callable[[FloatArray], FloatArray]]


def fit_optimal_stopping(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    loss: AbstentionLoss,
    *,
    max_depth: int = 3,
    any_order: bool = False,
) -> TunedAbstention:
    r"""Return the cascade of least loss on the rows among one per chain, by optimal stopping.

    With calibrated estimates p and a Markov chain of them, the least loss from level j on is
    $V_k(p) = \min(1 - p, \lambda_a)$ at the last and
    $V_j(p) = \min(1 - p, \lambda_a, \lambda_c c_{j+1} + E[V_{j+1} \mid p_j = p])$ before it. The
    expectation is a monotone regression. Grades choose the chain only: the thresholds rest on the
    calibration, so a few hundred rows suffice, and a poor calibration is not made up for.
    ``fit_early_abstention`` fits the thresholds to the grades instead.

    Args:
        score: Calibrated estimate of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        loss: What errors, dollars and abstentions weigh.
        max_depth: Longest chain.
        any_order: Try every order of the arms, not only cheapest first.

    Raises:
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    rows = Rows.of(score, quality, cost)
    candidates = (
        loss.measure(stopping_rule(rows, chain, loss), rows)
        for chain in ((), *rows.chains(max_depth, any_order))
    )
    return min(candidates, key=lambda tuned: tuned.loss)


def stopping_rule(
    rows: Rows, chain: tuple[int, ...], loss: AbstentionLoss
) -> EarlyAbstentionCascade:
    """Return the rule of the dynamic programme for one chain; an empty one abstains at once."""
    if not chain:
        return EarlyAbstentionCascade((), (), ())
    score = np.maximum(rows.score[:, chain[-1]], 0.0)
    last = float(np.clip(1.0 - loss.abstention, ALL_ABOVE, NONE_ABOVE))
    last = ALL_ABOVE if last < 0 else last
    lows, highs = [last], [0.0]
    value = np.minimum(1.0 - score, loss.abstention)
    for here, following in zip(chain[-2::-1], chain[:0:-1], strict=True):
        on = loss.cost_weight * float(rows.cost[:, following].mean()) + value
        low, high, value = _level(rows.score[:, here], on, loss.abstention)
        lows.append(low)
        highs.append(high)
    return EarlyAbstentionCascade(chain, tuple(lows[::-1]), tuple(highs[:0:-1]))


def _level(score: FloatArray, on: FloatArray, abstention: float) -> tuple[float, float, FloatArray]:
    """Return $s_j$, $t_j$ and the value (n,) of a level.

    Args:
        score: The estimates of the level, -1 where rejected, shape (n,).
        on: The loss of going on with each row, as the next level sees it, shape (n,).
        abstention: The loss of an abstention.
    """
    value = np.empty_like(on)
    rejected: BoolArray = score < 0
    # A rejected reply goes on: all that is known is that it was rejected.
    value[rejected] = on[rejected].mean() if rejected.any() else 0.0
    p = score[~rejected]
    if not len(p):
        return ALL_ABOVE, NONE_ABOVE, value
    expected = Decreasing.fit(p, on[~rejected])
    low = min(_last_at_least(expected, abstention), 1.0 - abstention)
    low = low if low >= 0 else ALL_ABOVE
    high = _first_to_answer(p, expected(p), low)
    value[~rejected] = np.where(p <= low, abstention, np.where(p > high, 1.0 - p, expected(p)))
    return low, high, value


def _last_at_least(expected: Decreasing, level: float) -> float:
    """Return the greatest p in [0, 1] with expected(p) >= ``level``; -1 if there is none."""
    # 1 − p and the expectation both fall: where both exceed λ_a is an interval from 0 up.
    x, y = expected.x, expected.y
    if y[0] < level:
        return ALL_ABOVE
    return NONE_ABOVE if y[-1] >= level else float(np.interp(level, y[::-1], x[::-1]))


def _first_to_answer(p: FloatArray, on: FloatArray, low: float) -> float:
    """Return the one cut above ``low`` of least total of ``on`` below it and 1 − p above it."""
    order = np.argsort(p, kind="stable")
    p, on = p[order], on[order]
    p, on = p[p > low], on[p > low]
    if not len(p):
        return max(low, 0.0)
    # 1 − p and the regression may cross more than once; the rule has one threshold.
    total = np.append(0.0, np.cumsum(on - (1.0 - p)))
    ends = np.append(np.flatnonzero(np.append(True, p[1:] > p[:-1])), len(p))
    end = int(ends[total[ends].argmin()])
    if end == 0:
        return low
    return NONE_ABOVE if end == len(p) else between(float(p[end - 1]), float(p[end]))
