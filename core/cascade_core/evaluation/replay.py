"""What a policy would have done on logged outcomes, all requests at once."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core._cascade import FittedPolicy
from cascade_core._states import States, stack_beliefs
from cascade_core.estimators import CalibratedConfidence, ExPostEstimator, PriorEstimator
from cascade_core.estimators.stacked_belief import StackedBelief
from cascade_core.evaluation.live_replay import (
    check_arms,
    draws_of,
    replay_live,
    requests_of,
)
from cascade_core.evaluation.results import Results
from cascade_core.evaluation.simulation import (
    Replies,
    Update,
    VectorRule,
    gaussian_update,
    simulate,
)
from cascade_core.outcomes import OutcomeTable


def replay(policy: FittedPolicy, table: OutcomeTable) -> Results:
    """Return what ``policy`` does on the requests of ``table``, decided as they would be live.

    Rules over rows decide all requests at once; others, and joint estimators of the caller's own,
    run the live code request by request.

    Raises:
        InvalidOutcomes: The policy was fitted for other arms than the table has.
    """
    check_arms(policy, table)
    joint, rule = policy.joint, policy.policy
    known = joint is None or isinstance(joint, StackedBelief)
    if not (known and isinstance(rule, VectorRule)):
        return replay_live(policy, table)
    rejected = _rejected(table)
    replies = Replies(
        np.where(rejected, 0.0, _estimates(policy.ex_post, table)),
        table.cost_usd,
        table.latency_seconds,
        rejected,
    )
    update = stacked_update(joint, table) if isinstance(joint, StackedBelief) else gaussian_update
    paths = simulate(rule, _start(policy, table), replies, update)
    quality = paths.quality(table.quality)
    return Results(table.arms, quality, paths.cost_usd, paths.latency_seconds, paths.answer)


def stacked_update(joint: StackedBelief, table: OutcomeTable) -> Update:
    """Return how ``joint`` moves the beliefs about the requests of ``table``."""
    evidence = joint.reader.of_table(table)

    def update(states: States, rows: IndexArray, arm: IndexArray, replies: Replies) -> States:
        mean, sd = joint.beliefs(evidence.rows(rows), states.ran)
        return states.updated(mean=mean, sd=sd, covariance=None)

    return update


def _start(policy: FittedPolicy, table: OutcomeTable) -> States:
    draw, prior = draws_of(table), policy.ex_ante
    shape = table.quality.shape
    if isinstance(prior, StackedBelief):
        evidence = prior.reader.of_table(table)
        mean, sd = prior.beliefs(evidence, np.zeros(shape, dtype=np.bool_))
        return States.before_any_call(mean, sd, prior.costs(evidence), draw=draw)
    if isinstance(prior, PriorEstimator):
        mean, sd, cost = (
            np.broadcast_to(np.array(a, dtype=np.float64), shape)
            for a in (prior.mean, prior.sd, prior.cost)
        )
        return States.before_any_call(mean, sd, cost, draw=draw)
    beliefs = [prior.estimate(request) for request in requests_of(table)]
    mean, cost, covariance = stack_beliefs(beliefs)
    sd = np.stack([belief.sd for belief in beliefs])
    return States.before_any_call(mean, sd, cost, covariance=covariance, draw=draw)


def _estimates(ex_post: ExPostEstimator, table: OutcomeTable) -> FloatArray:
    if isinstance(ex_post, CalibratedConfidence):
        return ex_post.of_table(table)
    estimates = np.empty(table.quality.shape)
    for row, arm in np.ndindex(*table.quality.shape):
        read = {name: float(values[row, arm]) for name, values in table.signals.items()}
        known = {name: value for name, value in read.items() if np.isfinite(value)}
        estimates[row, arm] = ex_post.quality(arm, known)
    return estimates


def _rejected(table: OutcomeTable) -> BoolArray:
    none = np.zeros(table.quality.shape, dtype=np.bool_)
    return none if table.rejected is None else table.rejected
