"""FrugalGPT's own search for a threshold cascade: a grid, then a local search. A baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from cascade_core._arrays import BoolArray, FloatArray
from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.policies._rows import Rows
from cascade_core.policies.threshold_cascade import ThresholdCascade
from cascade_core.policies.threshold_search import NEVER, TunedCascade
from cascade_core.policies.threshold_sweeps import measured

MAX_LENGTH = 3


def fit_frugal_gpt(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    budget: float,
    *,
    answers: ArrayLike | None = None,
    min_disagreement: float = 0.05,
    grid: int = 40,
) -> TunedCascade:
    """Return a threshold cascade of great quality within a budget, as FrugalGPT looks for it.

    Chen, Zaharia and Zou (2023), FrugalGPT: ordered lists of at most three models; thresholds from
    a grid over the quantiles of the scores, then Nelder-Mead from the best of the grid; lists of
    neighbours that hardly ever disagree are left out. It is here to be compared with:
    ``pareto_cascades`` looks at every cut between two scores and not at a grid, prunes nothing
    that could win, and is never worse on the rows that both were fitted on (up to its own limit of
    1,000 candidates a level, in any order of the arms).

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        budget: Mean US dollars per request.
        answers: Codes of the answers, equal where two models say the same, shape (n, n_arms);
            without them no list is left out.
        min_disagreement: Least share of the rows on which neighbours in a list must disagree.
        grid: Quantiles per level, >= 1.

    Raises:
        InvalidConfiguration: The budget is below the cheapest model's cost, or a bad grid.
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    rows = Rows.of(score, quality, cost)
    if grid < 1 or not 0 <= min_disagreement <= 1:
        raise InvalidConfiguration(
            "FrugalGPT needs grid >= 1 and min_disagreement in [0, 1], got "
            f"{grid!r} and {min_disagreement!r}."
        )
    cheapest = float(rows.cost.mean(axis=0).min())
    if not (math.isfinite(budget) and budget >= cheapest):
        raise InvalidConfiguration(
            f"A budget of {budget!r} US dollars per request is below the cheapest model's "
            f"{cheapest!r}. Give at least that."
        )
    differ = None if answers is None else _disagreement(np.asarray(answers, dtype=np.float64), rows)
    chains = [
        chain
        for chain in rows.chains(MAX_LENGTH, any_order=True)
        if differ is None or all(differ[a, b] >= min_disagreement for a, b in pairwise(chain))
    ]
    found = [tuned for chain in chains if (tuned := _tuned(rows, chain, budget, grid)) is not None]
    return max(found, key=lambda tuned: (tuned.quality, -tuned.cost))


def _disagreement(answers: FloatArray, rows: Rows) -> FloatArray:
    """Return the share of the rows on which two arms answer differently, shape (m, m)."""
    if answers.shape != rows.score.shape:
        raise InvalidOutcomes(
            f"answers need the shape of score {rows.score.shape}, got {answers.shape}."
        )
    differ = np.zeros((rows.n_arms, rows.n_arms))
    for a, b in permutations(range(rows.n_arms), 2):
        unlike: BoolArray = answers[:, a] != answers[:, b]
        differ[a, b] = unlike.mean()
    return differ


def _tuned(rows: Rows, chain: tuple[int, ...], budget: float, grid: int) -> TunedCascade | None:
    """Return the best cascade of one list within the budget; None if the grid has none."""
    levels = [_quantiles(rows.score[:, arm], grid) for arm in chain[:-1]]
    if not levels:
        alone = measured(ThresholdCascade(chain, ()), rows)
        return alone if alone.cost <= budget else None
    quality, cost = _grid(rows, chain, levels)
    quality = np.where(cost <= budget, quality, -np.inf)
    at = np.unravel_index(int(quality.argmax()), quality.shape)
    if not np.isfinite(quality[at]):
        return None
    start = np.array([level[i] for level, i in zip(levels, at, strict=True)])
    # The start is in the simplex, so what comes out is within the budget and no worse.
    return measured(_cascade(chain, _refined(_penalised(rows, chain, budget), start)), rows)


def _quantiles(score: FloatArray, grid: int) -> FloatArray:
    usable = score[score >= 0]
    inner = np.quantile(usable, np.linspace(0, 1, grid)) if len(usable) else np.empty(0)
    return np.append(inner, NEVER)


def _grid(
    rows: Rows, chain: tuple[int, ...], levels: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return mean quality and dollars for every combination of one or two levels' thresholds."""
    spent = np.cumsum(rows.cost[:, chain], axis=1)
    stops = [
        (rows.score[:, arm, None] >= level) & (rows.score[:, arm, None] >= 0)
        for arm, level in zip(chain[:-1], levels, strict=True)
    ]

    def mean(values: FloatArray) -> FloatArray:
        """Return the mean of the values (n, k) at the level that answers, for every combination."""
        later = values[:, -1:]
        if len(stops) == 2:
            later = np.where(stops[1], values[:, 1:2], later)
        here = stops[0].astype(np.float64)
        total = (here.T @ values[:, 0])[:, None] + (1.0 - here).T @ later
        return (total if len(stops) == 2 else total[:, 0]) / rows.n

    return mean(rows.quality[:, chain]), mean(spent)


def _penalised(rows: Rows, chain: tuple[int, ...], budget: float) -> Callable[[FloatArray], float]:
    def loss(thresholds: FloatArray) -> float:
        tuned = measured(_cascade(chain, thresholds), rows)
        # Over budget is worse than any quality, and the worse the farther.
        return -tuned.quality if tuned.cost <= budget else 1.0 + tuned.cost / max(budget, 1e-300)

    return loss


def _refined(loss: Callable[[FloatArray], float], start: FloatArray) -> FloatArray:
    k = len(start)
    steps = np.vstack([start, start + 0.02 * np.eye(k)])
    found = minimize(
        loss, start, method="Nelder-Mead", options={"initial_simplex": steps, "maxfev": 100 * k}
    )
    best: FloatArray = found.x
    return best


def _cascade(chain: tuple[int, ...], thresholds: FloatArray) -> ThresholdCascade:
    return ThresholdCascade(chain, tuple(np.maximum(thresholds, 0.0).tolist()))
