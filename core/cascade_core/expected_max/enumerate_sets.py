"""The best set of each row of a table, by comparing all subsets of few arms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max import subsets
from cascade_core.expected_max.lattice import MaxTable, Problem
from cascade_core.expected_max.reduce import any_of, count, total


@dataclass(frozen=True, slots=True)
class Found:
    """The best sets over the arms of a table: members (n, u), E[max] less prices (n,), gap (n,)."""

    members: BoolArray
    value: FloatArray
    gap: FloatArray


def enumerate_all(table: MaxTable, problem: Problem) -> Found:
    """Return the best of all subsets of the table's arms."""
    n, u = len(problem.price), int(problem.price.shape[1])
    utility = table.all_values()
    utility -= subsets.sums(problem.price)
    utility[~problem.may_stop, 0] = -np.inf
    if (problem.room < u).any():
        utility[subsets.sizes(u) > problem.room[:, None]] = -np.inf
    codes = subsets.pick(utility, problem.price, problem.dearest)
    return Found(subsets.members(codes, u), utility[np.arange(n), codes], np.zeros(n))


def enumerate_between(
    table: MaxTable,
    problem: Problem,
    inside: BoolArray,
    maybe: BoolArray,
    rows: IndexArray,
    found: Found,
) -> None:
    """Write the best sets of ``rows``, which have equally many undecided arms, into ``found``."""
    inside, u = inside[rows], int(maybe[rows[0]].sum())
    arms = np.nonzero(maybe[rows])[1].reshape(len(rows), u)
    price = problem.price[rows]
    below = Problem(
        np.take_along_axis(price, arms, axis=1),
        problem.may_stop[rows] | any_of(inside),
        problem.room[rows] - count(inside),
        problem.dearest,
    )
    best = enumerate_all(table.absorb(rows, inside, arms), below)
    found.members[rows[:, None], arms] = best.members
    found.value[rows] = best.value - total(np.where(inside, price, 0.0))
