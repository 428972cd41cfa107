"""The columns of the stacked estimate: what the replies seen so far say about each arm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.estimators.evidence import Evidence

# Beyond this logit more confidence means little: the second, clipped copy lets the fit bend there.
_KNEE = 2.0


def stacked_features(
    evidence: Evidence, seen: BoolArray, strength: FloatArray, targets: IndexArray
) -> FloatArray:
    """Return what the replies say about each target, shape (n, t, p).

    Three groups: the target's own confidence, which the context may bend; the other replies pooled
    (how many agree with the target, how sure those and the others are, how many agree among
    themselves); and the same reply by reply. The pooled group carries what is common to all arms,
    so that a ridge shrinks each arm's columns toward it.

    Args:
        evidence: What the replies say; only those in ``seen`` are looked at.
        seen: True where the arm has replied, shape (n, m).
        strength: ``evidence.strength`` without NaN.
        targets: Indices of the arms to speak about, shape (t,).
    """
    context = evidence.context[:, None, :]
    own = seen[:, targets].astype(np.float64)[:, :, None]
    sure = strength[:, targets, None] * own
    # From here on axis 1 is the target and axis 2 another arm that has replied.
    distinct = targets[:, None] != np.arange(evidence.n_arms)
    other = (seen[:, None, :] & distinct).astype(np.float64)
    others_sure = strength[:, None, :] * other
    others_bent = np.minimum(others_sure, _KNEE)
    agree = evidence.agreement(targets) * other * own
    agree_sure = agree * others_sure
    n_agree, total = agree.sum(2, keepdims=True), others_sure.sum(2, keepdims=True)
    consensus = _pairs_that_agree(evidence, seen)[:, targets, None]
    pooled = [
        n_agree,
        (n_agree == 0).astype(np.float64),
        n_agree * sure,
        agree_sure.sum(2, keepdims=True),
        total - agree_sure.sum(2, keepdims=True),
        others_bent.sum(2, keepdims=True),
        others_sure.max(2, keepdims=True),
        consensus,
        consensus * sure,
        n_agree * context,
        consensus * context,
        total * context,
    ]
    about_target = [
        np.broadcast_to(context, (*own.shape[:2], context.shape[2])),
        sure,
        np.minimum(sure, _KNEE),
        sure * context,
    ]
    by_arm = [other, others_sure, others_bent, agree, agree_sure, agree * sure]
    return np.concatenate([*about_target, *pooled, *by_arm], axis=2)


def _pairs_that_agree(evidence: Evidence, seen: BoolArray) -> FloatArray:
    """Return how many pairs of arms seen, the target not among them, agree; shape (n, m)."""
    codes = np.where(seen, evidence.answers, -1)
    with_each: FloatArray = replace(evidence, answers=codes).agreement().sum(axis=2)
    pairs: FloatArray = with_each.sum(axis=1, keepdims=True) / 2 - with_each
    return pairs
