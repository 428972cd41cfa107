"""Exact search for the thresholds of a cascade that may abstain, on the data points."""

from __future__ import annotations

from numpy.typing import ArrayLike

from cascade_core.policies._rows import Rows
from cascade_core.policies._sweeps import ChainLoss, Cuts
from cascade_core.policies.abstention_loss import AbstentionLoss, TunedAbstention
from cascade_core.policies.early_abstention import EarlyAbstentionCascade
from cascade_core.policies.optimal_stopping import stopping_rule


def fit_early_abstention(
    score: ArrayLike,
    quality: ArrayLike,
    cost: ArrayLike,
    loss: AbstentionLoss,
    *,
    max_depth: int = 3,
    any_order: bool = False,
    early: bool = True,
) -> TunedAbstention:
    """Return the cascade of least loss on the rows, over all chains; to abstain at once is one.

    Zellinger, Liu and Thomson (2025) fit a copula model and descend from one start; here the loss
    on the rows itself is minimised by exact sweeps, from many starts and from the optimal stopping
    rule. A chain of two is searched exhaustively up to 2,000 different scores of its last model.

    With grades as ``quality`` this needs no calibration, but rows: on 300 it fits their noise, and
    ``fit_optimal_stopping`` does better on fresh ones (measured in
    ``tests/benchmarks/early_abstention.py``). With calibrated scores as ``quality``, too, the loss
    is the expected one, and most of that is made up for.

    Args:
        score: Estimated quality of each reply, shape (n, n_arms); -1 for rejected ones.
        quality: True quality, shape (n, n_arms).
        cost: Dollars, shape (n, n_arms).
        loss: What errors, dollars and abstentions weigh.
        max_depth: Longest chain.
        any_order: Try every order of the arms, not only cheapest first.
        early: Let every level abstain, not only the last.

    Raises:
        InvalidOutcomes: Rows that cannot be learnt from.
    """
    rows = Rows.of(score, quality, cost)
    at_once = loss.measure(EarlyAbstentionCascade((), (), ()), rows)
    candidates = (
        tune_chain(rows, chain, loss, early=early) for chain in rows.chains(max_depth, any_order)
    )
    # Of equals the shorter chain.
    return min((at_once, *candidates), key=lambda tuned: tuned.loss)


def tune_chain(
    rows: Rows, chain: tuple[int, ...], loss: AbstentionLoss, *, early: bool = True
) -> TunedAbstention:
    """Return the thresholds of least loss on the rows for one chain."""
    rows.check_chain(chain)
    search = ChainLoss(rows, chain, loss.cost_weight, loss.abstention, early=early)
    start = stopping_rule(rows, chain, loss)
    cuts = search.tune([_cuts(start)] if early else ()).cuts
    policy = EarlyAbstentionCascade(
        chain, tuple(low for low, _ in cuts), tuple(high for _, high in cuts[:-1])
    )
    return loss.measure(policy, rows)


def _cuts(policy: EarlyAbstentionCascade) -> Cuts:
    highs = (*policy.answer_above, policy.abstain_below[-1])
    return tuple(zip(policy.abstain_below, highs, strict=True))
