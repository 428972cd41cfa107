"""The lines that a policy is shown next to: single models, random mixing, the oracle."""

from __future__ import annotations

import numpy as np

from cascade_core._types import FloatArray
from cascade_core.evaluation.replay import Replay
from cascade_core.outcomes import OutcomeTable


def single_models(table: OutcomeTable) -> list[Replay]:
    """Return every arm alone."""
    return [_always(table, np.full(table.n_requests, m)) for m in range(len(table.arms))]


def oracle(table: OutcomeTable) -> Replay:
    """Return the cheapest arm among those of greatest quality, request by request.

    No policy can know it: it shows how much there is to win.
    """
    best = table.quality >= table.quality.max(axis=1, keepdims=True)
    return _always(table, np.where(best, table.cost_usd, np.inf).argmin(axis=1))


def random_mixing(table: OutcomeTable, cost_usd: float) -> FloatArray:
    """Return the expected quality, shape (n_requests,), of mixing two single models blindly.

    The mixture is the best that spends ``cost_usd`` a request on average: the upper hull of the
    single models in (cost, quality). It is what a policy must beat to have learnt anything.
    """
    cost, quality = table.cost_usd.mean(axis=0), table.quality.mean(axis=0)
    best, weights = -np.inf, np.zeros(len(table.arms))
    for i in range(len(table.arms)):
        for j in range(len(table.arms)):
            share = _share(float(cost[i]), float(cost[j]), cost_usd)
            if share is None:
                continue
            value = (1 - share) * quality[i] + share * quality[j]
            if value > best:
                best, weights = value, np.zeros(len(table.arms))
                weights[i] += 1 - share
                weights[j] += share
    return table.quality @ weights


def _share(low: float, high: float, target: float) -> float | None:
    """Return the share of the dearer one that spends ``target`` on average; None if none does."""
    if high <= target:
        return 1.0
    if low > target:
        return None
    return (target - low) / (high - low)


def _always(table: OutcomeTable, arm: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Replay:
    rows = np.arange(table.n_requests)
    return Replay(
        table.arms,
        table.quality[rows, arm],
        table.cost_usd[rows, arm],
        table.latency_seconds[rows, arm],
        arm,
    )
