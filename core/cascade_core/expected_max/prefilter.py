"""Arms that closed forms already rule out, before anything is integrated. Independent normals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max.decisions import Decisions
from cascade_core.expected_max.lattice import out_margin
from cascade_core.expected_max.normal_max import expected_excess
from cascade_core.expected_max.reduce import count, largest, smallest, total
from cascade_core.expected_max.subsets import TIE

# Levels above the best pair at which ceilings are taken, in largest deviations.
_LEVELS = np.array([0.0, 0.25, 0.6])
# Numbers of an array that the allocator keeps for the next one instead of asking for fresh pages.
_BLOCK = 1 << 13


def worth_it(rows: Decisions, live: BoolArray, dearest: bool) -> BoolArray:
    """Return ``live`` (n, m) without arms that are in no best set."""
    keep = live.copy()
    in_hand = rows.base > -np.inf
    for some in _parts(np.flatnonzero(in_hand), live):
        keep[some] &= _beats_reply(rows.rows(some), dearest)
    for none in _parts(np.flatnonzero(~in_hand & (count(live) > 1)), live):
        keep[none] &= _reaches_pair(rows.rows(none), live[none])
    return keep


def _parts(rows: IndexArray, live: BoolArray) -> Iterator[IndexArray]:
    size = max(1, _BLOCK // live.shape[1])
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _beats_reply(rows: Decisions, dearest: bool) -> BoolArray:
    """Return arms that add at least their price to the reply in hand alone."""
    excess = expected_excess(rows.mean, rows.sd, rows.base[:, None])
    return ~(excess < rows.price + out_margin(rows.price, dearest))


def _reaches_pair(rows: Decisions, live: BoolArray) -> BoolArray:
    r"""Return arms whose sets may be as good as a good pair, where nothing is in hand.

    $E[\max X_S] \le r + \sum_S E[(X_i - r)_+]$ for every level r.
    """
    mean, price = np.where(live, rows.mean, 0.0), np.where(live, rows.price, np.inf)
    sd = np.where(live, rows.sd, 0.0)
    known = _good_pair(mean, sd, price, rows.max_size > 1)
    # All levels at once, shape (levels, n, m): on few rows the calls cost more than the numbers.
    level = known + _LEVELS[:, None] * largest(sd)
    surplus = expected_excess(mean, sd, level[:, :, None]) - price
    everyone = level + total(np.maximum(surplus, 0.0), axis=2)
    ceiling = smallest(everyone[:, :, None] + np.minimum(surplus, 0.0), axis=0)
    return ceiling >= known[:, None] - TIE


def _good_pair(mean: FloatArray, sd: FloatArray, price: FloatArray, two: BoolArray) -> FloatArray:
    """Return the utility (n,) of the best single arm, with its best partner where that pays."""
    every = np.arange(len(mean))
    alone = mean - price
    first = alone.argmax(axis=1)
    spread = np.hypot(sd, sd[every, first, None])
    partner = expected_excess(mean, spread, mean[every, first, None]) - price
    partner[every, first] = 0.0
    best = alone[every, first]
    known: FloatArray = best + np.where(two, np.maximum(largest(partner), 0.0), 0.0)
    return known
