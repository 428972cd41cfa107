"""Good sets, not proven best: greedy, then single additions, removals and swaps while they help."""

from __future__ import annotations

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray
from cascade_core.expected_max.enumerate_sets import Found
from cascade_core.expected_max.lattice import MaxTable, Problem
from cascade_core.expected_max.reduce import any_of, count, total
from cascade_core.expected_max.subsets import TIE


def greedy(
    table: MaxTable,
    problem: Problem,
    inside: BoolArray,
    maybe: BoolArray,
    most: int | None = None,
) -> Found:
    """Return sets between ``inside`` and ``inside | maybe`` (n, u): add the arm of most surplus.

    At ``most`` so many are added. Where the set may not be empty, the first arm is added anyway.
    """
    current = inside.copy()
    every = np.arange(len(current))
    for _ in range(int(current.shape[1]) if most is None else most):
        surplus = table.gains(current) - problem.price
        surplus = np.where(maybe & ~current, surplus, -np.inf)
        surplus[count(current) >= problem.room] = -np.inf
        arm = surplus.argmax(axis=1)
        gain = surplus[every, arm]
        forced = ~(problem.may_stop | any_of(current)) & (gain > -np.inf)
        add = (gain > TIE) | forced
        if not add.any():
            break
        current[every[add], arm[add]] = True
    return Found(current, _utility(table, problem, current), np.zeros(len(current)))


def polish(
    table: MaxTable,
    problem: Problem,
    inside: BoolArray,
    maybe: BoolArray,
    row: int,
    best: Found,
) -> None:
    """Improve the set of ``row`` in ``best`` until no single move between the bounds helps."""
    one = np.array([row])
    while True:
        near = _neighbours(best.members[row], maybe)
        rows = np.repeat(one, len(near))
        values = np.full(len(near), -np.inf)
        size = max(1, (1 << 20) // (near.shape[1] * table.width))
        for start in range(0, len(near), size):
            part = slice(start, start + size)
            here, tasks = table.take(rows[part]), problem.rows(rows[part])
            values[part] = _utility(here, tasks, near[part])
        k = int(values.argmax()) if len(near) else 0
        if not len(near) or not values[k] > best.value[row] + TIE:
            return
        best.members[row], best.value[row] = near[k], values[k]


def _neighbours(current: BoolArray, maybe: BoolArray) -> BoolArray:
    """Return all sets that differ by an arm of ``maybe`` added, removed, or put for another."""
    flips = np.eye(len(current), dtype=np.bool_)[maybe]
    inside = any_of(flips & current)
    swaps = flips[~inside][:, None] | flips[inside][None, :]
    out: BoolArray = current ^ np.concatenate([flips, swaps.reshape(-1, len(current))])
    return out


def _utility(table: MaxTable, problem: Problem, sets: BoolArray) -> FloatArray:
    value = table.value(sets) - total(np.where(sets, problem.price, 0.0))
    size = count(sets)
    forbidden = ((size == 0) & ~problem.may_stop) | (size > problem.room)
    return np.where(forbidden, -np.inf, value)
