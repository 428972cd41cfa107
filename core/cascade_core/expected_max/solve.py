"""The best set of each row of a table: shrink the lattice, then compare all subsets left."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import BoolArray
from cascade_core.expected_max.branch import search
from cascade_core.expected_max.enumerate_sets import Found, enumerate_all, enumerate_between
from cascade_core.expected_max.lattice import MaxTable, Problem, shrink
from cascade_core.expected_max.local_search import greedy
from cascade_core.expected_max.reduce import count
from cascade_core.expected_max.subsets import TIE


def solve(table: MaxTable, problem: Problem) -> Found:
    """Return the best set of every row."""
    n, u = problem.price.shape
    if u <= table.direct:
        return enumerate_all(table, problem)
    everything = np.ones((n, u), dtype=np.bool_)
    maybe = everything if problem.may_stop.all() else _worth_it(table, problem, everything)
    inside, maybe = shrink(table, problem, ~everything, maybe)
    return _finish(table, problem, inside, maybe)


def _worth_it(table: MaxTable, problem: Problem, maybe: BoolArray) -> BoolArray:
    """Return ``maybe`` without arms whose sets cannot reach what a greedy set does.

    With nothing in hand an arm cannot be told to be too dear otherwise: it might be the only one.
    """
    value = greedy(table, problem, ~maybe, maybe, most=3).value
    return maybe & (table.ceilings(problem.price) > value[:, None] - TIE)


def _finish(table: MaxTable, problem: Problem, inside: BoolArray, maybe: BoolArray) -> Found:
    """Return the best sets between ``inside`` and ``inside | maybe``."""
    n = len(inside)
    found = Found(inside.copy(), np.empty(n), np.zeros(n))
    undecided = count(maybe)
    few = undecided <= table.enumerable
    for u in np.unique(undecided[few]).tolist():
        rows = np.flatnonzero(undecided == u)
        enumerate_between(table, problem, inside, maybe, rows, found)
    many = np.flatnonzero(~few)
    if many.size:
        best = search(table.take(many), problem.rows(many), inside[many], maybe[many])
        found.members[many], found.value[many], found.gap[many] = best.members, best.value, best.gap
    return found
