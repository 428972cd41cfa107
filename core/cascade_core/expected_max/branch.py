"""Branch and bound over sets, for rows with too many undecided arms to compare all subsets.

A node is a row and a pair A, B: the sets between A and B. It is shrunk, bounded by

    U(S) <= U(A) + sum over the undecided of (gain given A - price)_+,

dropped if that does not beat the best set known of its row, finished by enumeration once few arms
are undecided, and otherwise split at the arm of the largest surplus. Where nothing is in hand the
sets are first told apart by their first member. When a row has used up its nodes, its best set is
polished by a local search and comes with the largest bound left as its gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max.enumerate_sets import Found, enumerate_between
from cascade_core.expected_max.lattice import MaxTable, Problem, shrink
from cascade_core.expected_max.local_search import greedy, polish
from cascade_core.expected_max.reduce import any_of, count, largest, total
from cascade_core.expected_max.subsets import TIE

# Nodes of one row.
MAX_NODES = 4000
# Numbers in the largest array of a batch of nodes.
_BATCH = 1 << 17


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Open nodes: rows (k,), bounds (k,), inside (k, u), maybe (k, u)."""

    row: IndexArray
    bound: FloatArray
    inside: BoolArray
    maybe: BoolArray

    def __len__(self) -> int:
        return len(self.row)

    def where(self, which: IndexArray | BoolArray | slice) -> Self:
        return type(self)(self.row[which], self.bound[which], self.inside[which], self.maybe[which])

    def and_then(self, *others: Self) -> Self:
        parts = (self, *others)
        return type(self)(
            np.concatenate([p.row for p in parts]),
            np.concatenate([p.bound for p in parts]),
            np.concatenate([p.inside for p in parts]),
            np.concatenate([p.maybe for p in parts]),
        )


def search(table: MaxTable, problem: Problem, inside: BoolArray, maybe: BoolArray) -> Found:
    """Return the best sets between ``inside`` and ``inside | maybe`` (n, u)."""
    n, u = len(inside), int(inside.shape[1])
    best = greedy(table, problem, inside, maybe)
    worse = _worse(table, problem)
    ceiling = table.ceilings(problem.price)
    maybe = maybe & (ceiling > best.value[:, None] - TIE)
    nodes = _roots(table, problem, _Nodes(np.arange(n), best.value, inside, maybe), ceiling, worse)
    used = np.zeros(n, dtype=np.intp)
    left = np.full(n, -np.inf)
    size = max(4, _BATCH // (u * table.width))
    while len(nodes):
        batch, nodes = nodes.where(slice(-size, None)), nodes.where(slice(-size))
        spent = used[batch.row] >= MAX_NODES
        np.maximum.at(left, batch.row[spent], batch.bound[spent])
        batch = batch.where(~spent)
        np.add.at(used, batch.row, 1)
        nodes = nodes.and_then(*_expand(table, problem, batch, best, worse))
    gap = left - best.value
    for row in np.flatnonzero(gap > TIE).tolist():
        polish(table, problem, inside[row], maybe[row], row, best)
    return Found(best.members, best.value, np.where(gap > TIE, left - best.value, 0.0).clip(0.0))


def _worse(table: MaxTable, problem: Problem) -> BoolArray:
    """Return (n, u, u): arm j makes arm i superfluous, as it is never worse nor dearer.

    Some best set then holds i only with j, so that j out means i out. Of equals the first leads.
    """
    mine, other = problem.price[:, :, None], problem.price[:, None, :]
    better = table.dominates() & ((mine == other) if problem.dearest else (mine <= other))
    return better & ~(better.transpose(0, 2, 1) & np.tri(better.shape[1], dtype=np.bool_))


def _roots(
    table: MaxTable, problem: Problem, rows: _Nodes, ceiling: FloatArray, worse: BoolArray
) -> _Nodes:
    """Return the first nodes of ``rows``, whose bounds so far are the values known."""
    every, inside, maybe = rows.row, rows.inside, rows.maybe
    best_case = np.maximum(largest(np.where(maybe, ceiling, -np.inf)), rows.bound)
    start = _Nodes(every, best_case, inside, maybe)
    anchored = problem.may_stop | any_of(inside)
    # Sets by their first member, in the order of what an arm is worth alone: the best come first
    # off the stack, and whatever follows in a set is worth less alone.
    alone = table.gains(inside) - problem.price
    order = np.argsort(np.where(maybe, alone, -np.inf), axis=1, kind="stable")
    open_rows = ~anchored
    nodes = start.where(anchored)
    before, later = np.zeros_like(maybe), maybe.copy()
    steps: list[_Nodes] = []
    for k in reversed(range(int(maybe.shape[1]))):
        arm = order[:, k]
        later[every, arm] = False
        superfluous = any_of(before[:, :, None] & worse)
        first = np.zeros_like(maybe)
        first[every, arm] = True
        fresh = open_rows & maybe[every, arm] & ~superfluous[every, arm]
        steps.append(_Nodes(every, ceiling[every, arm], first, later & ~superfluous).where(fresh))
        before[every, arm] = True
    return nodes.and_then(*reversed(steps))


def _expand(
    table: MaxTable, problem: Problem, batch: _Nodes, best: Found, worse: BoolArray
) -> list[_Nodes]:
    """Look at the nodes of ``batch``; write what is found into ``best`` and return the children."""
    if not len(batch):
        return []
    here, tasks = table.take(batch.row), problem.rows(batch.row)
    inside, maybe = shrink(here, tasks, batch.inside, batch.maybe)
    surplus = np.where(maybe, here.gains(inside) - tasks.price, -np.inf)
    bound = np.minimum(batch.bound, _bound(here, tasks, inside, surplus))
    found = Found(inside.copy(), np.full(len(batch), -np.inf), np.zeros(len(batch)))
    hope = bound > best.value[batch.row] + TIE
    undecided = count(maybe)
    few = hope & (undecided <= table.leaf)
    for u in np.unique(undecided[few]).tolist():
        rows = np.flatnonzero(few & (undecided == u))
        enumerate_between(here, tasks, inside, maybe, rows, found)
    for i in np.flatnonzero(few).tolist():
        row = batch.row[i]
        if found.value[i] > best.value[row] + TIE:
            best.value[row], best.members[row] = found.value[i], found.members[i]
    split = np.flatnonzero(hope & ~few & (bound > best.value[batch.row] + TIE))
    row, inside, maybe, bound = batch.row[split], inside[split], maybe[split], bound[split]
    arm = surplus[split].argmax(axis=1)
    one: BoolArray = np.arange(int(maybe.shape[1])) == arm[:, None]
    without: BoolArray = maybe & ~one & ~worse[row, arm]
    return [
        _Nodes(row, bound, inside, without),
        _Nodes(row, bound, inside | one, maybe & ~one),
    ]


def _bound(table: MaxTable, problem: Problem, inside: BoolArray, surplus: FloatArray) -> FloatArray:
    """Return an upper bound on the utility of the sets of each node."""
    room = problem.room - count(inside)
    best_first = -np.sort(-np.maximum(surplus, 0.0), axis=1)
    fits: BoolArray = np.arange(int(surplus.shape[1])) < room[:, None]
    value = table.value(inside) - total(np.where(inside, problem.price, 0.0))
    return np.where(room >= 0, value + total(np.where(fits, best_first, 0.0)), -np.inf)
