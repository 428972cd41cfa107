"""Exact coordinate sweeps: one level's thresholds at a time, on the data points.

With n rows the two cuts of a level matter only where they fall between two scores. Given all other
levels, the loss of every row that reaches the level is known for each of its three fates (abstain,
go on, answer), and the best pair of cuts a <= b follows from cumulative sums over the sorted scores
in O(n log n): sweep b, keep the best a so far. The last level has one cut, between abstaining and
answering. Each sweep is exact, so the loss never rises. Where the later levels have few
combinations of cuts all are tried, and the optimum is exact; else sweeps start from many points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.policies._rows import Rows, between

# Below every estimate: nobody abstains, or everybody answers. And at the top: the opposite.
ALL_ABOVE, NONE_ABOVE = -1.0, 1.0
# So many combinations of the later levels' cuts are tried one by one. Beyond it, so many starts.
MAX_ENUMERATED = 2000
N_STARTS = 32
_MAX_ROUNDS = 50

Cuts = tuple[tuple[float, float], ...]
"""For every level: abstain at or below the first, answer above the second, else go on."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """Cuts, and the mean loss per row that they give."""

    cuts: Cuts
    loss: float


class ChainLoss:
    """One chain of arms, and what every fate of every row costs at every level.

    Args:
        rows: The n graded requests.
        chain: The arms in order, k of them.
        cost_weight: λ, quality per US dollar.
        abstention: Loss of an abstention; None where abstaining is not possible.
        early: Abstaining is possible at every level, not only at the last.
    """

    def __init__(
        self,
        rows: Rows,
        chain: tuple[int, ...],
        cost_weight: float,
        abstention: float | None = None,
        early: bool = True,
    ) -> None:
        self._last = len(chain) - 1
        score = rows.score[:, chain]
        self._rejected: BoolArray = score < 0
        # Nobody goes on from the last level: there a rejected reply is one of no quality.
        self._rejected[:, self._last] = False
        self._score = np.maximum(score, 0.0)
        spent = cost_weight * np.cumsum(rows.cost[:, chain], axis=1)
        self._answer = spent + (1.0 - rows.quality[:, chain])
        # From a loss of 2 on an answer of quality 0 is the better choice, always: no infinities.
        self._abstain = spent + min(2.0, 2.0 if abstention is None else abstention)
        self._may_abstain = [
            abstention is not None and (early or level == self._last)
            for level in range(self._last + 1)
        ]
        self._sorted: list[IndexArray] = [
            order[~self._rejected[order, level]]
            for level in range(self._last + 1)
            for order in (np.argsort(self._score[:, level], kind="stable"),)
        ]

    def tune(self, starts: Iterable[Cuts] = ()) -> Tuned:
        """Return the best cuts found; ``starts`` are tried in addition to our own."""
        own, exact = self._starts()
        best: Tuned | None = None
        for start in (*own, *starts):
            # The first sweep sets the first level exactly; with every combination of the others
            # tried, only the best needs more, and it needs none.
            found = self._swept(start, 0) if exact else self._descended(start)
            if best is None or found.loss < best.loss - 1e-15:
                best = found
        assert best is not None, "there is always a start"
        return self._descended(best.cuts)

    def loss(self, cuts: Cuts) -> float:
        """Return the mean loss per row."""
        return float(self._onward(cuts, 0).mean())

    def _descended(self, cuts: Cuts) -> Tuned:
        tuned = Tuned(cuts, self.loss(cuts))
        for _ in range(_MAX_ROUNDS):
            new = tuned
            for level in range(self._last, -1, -1):
                new = self._swept(new.cuts, level)
            if new.loss >= tuned.loss - 1e-14:
                return tuned if tuned.loss <= new.loss else new
            tuned = new
        return tuned

    def _swept(self, cuts: Cuts, level: int) -> Tuned:
        """Return the cuts with those of ``level`` replaced by the best there are."""
        new = (*cuts[:level], self._best(cuts, level), *cuts[level + 1 :])
        return Tuned(new, self.loss(new))

    def _best(self, cuts: Cuts, level: int) -> tuple[float, float]:
        order = self._sorted[level]
        order = order[self._reaching(cuts, level)[order]]
        if not len(order):
            return cuts[level]
        score = self._score[order, level]
        # Equal scores share a fate: only between different ones, and at both ends, is a cut.
        ends = np.append(np.flatnonzero(np.append(True, score[1:] > score[:-1])), len(order))
        answer = _totals(self._answer[order, level], ends)
        abstain = _totals(self._abstain[order, level], ends)
        if level == self._last:
            a = int((abstain - answer).argmin()) if self._may_abstain[level] else 0
            cut = _cut(score, int(ends[a]))
            return cut, cut
        on = _totals(self._onward(cuts, level + 1)[order], ends)
        # Abstain the first a, go on to b, answer the rest: (abstain - on)(a) + (on - answer)(b).
        below = abstain - on
        if not self._may_abstain[level]:
            below[1:] = np.inf
        b = int((np.minimum.accumulate(below) + on - answer).argmin())
        a = int(below[: b + 1].argmin())
        return _cut(score, int(ends[a])), _cut(score, int(ends[b]))

    def _reaching(self, cuts: Cuts, level: int) -> BoolArray:
        reaching = np.ones(len(self._score), dtype=np.bool_)
        for j in range(level):
            low, high = cuts[j]
            score = self._score[:, j]
            reaching &= self._rejected[:, j] | ((score > low) & (score <= high))
        return reaching

    def _onward(self, cuts: Cuts, level: int) -> FloatArray:
        """Return the loss of every row from ``level`` on, were it to get there, shape (n,)."""
        loss: FloatArray | None = None
        for j in range(self._last, level - 1, -1):
            low, high = cuts[j]
            score = self._score[:, j]
            here = np.where(score <= low, self._abstain[:, j], self._answer[:, j])
            if loss is not None:
                on = self._rejected[:, j] | ((score > low) & (score <= high))
                here = np.where(on, loss, here)
            loss = here
        assert loss is not None, "a chain has a last level"
        return loss

    def _starts(self) -> tuple[Iterator[Cuts], bool]:
        """Return cuts to start from, and whether they are all there are behind the first level."""
        values = [self._values(level) for level in range(self._last + 1)]
        later = [self._n_pairs(level, values[level]) for level in range(1, self._last + 1)]
        if prod(later) <= MAX_ENUMERATED:
            pairs = [list(self._pairs(level, values[level])) for level in range(1, self._last + 1)]
            return (((ALL_ABOVE, ALL_ABOVE), *tail) for tail in product(*pairs)), True
        return self._spread(values), False

    def _values(self, level: int) -> list[float]:
        """Return every cut of a level, ascending."""
        unique = np.unique(self._score[self._sorted[level], level]).tolist()
        inner = [between(x, y) for x, y in pairwise(unique)]
        return [ALL_ABOVE, *inner, NONE_ABOVE]

    def _n_pairs(self, level: int, values: list[float]) -> int:
        if not self._may_abstain[level]:
            return 1 if level == self._last else len(values)
        return len(values) if level == self._last else len(values) * (len(values) + 1) // 2

    def _pairs(self, level: int, values: list[float]) -> Iterator[tuple[float, float]]:
        lows = values if self._may_abstain[level] else [ALL_ABOVE]
        if level == self._last:
            return ((low, low) for low in lows)
        return ((low, high) for low in lows for high in values if low <= high)

    def _spread(self, values: list[list[float]]) -> Iterator[Cuts]:
        """Yield starts that cover the quantiles of all levels evenly, the same ones every time."""
        k = self._last + 1
        # Roberts (2018), the R-sequence: steps of powers of the root of x^(d+1) = x + 1.
        d, root = 2 * k, 2.0
        for _ in range(60):
            root = (1.0 + root) ** (1.0 / (d + 1))
        steps = root ** -np.arange(1.0, d + 1)
        for i in range(N_STARTS):
            u = (0.5 + i * steps) % 1.0
            yield tuple(self._at(level, values[level], *u[2 * level :][:2]) for level in range(k))

    def _at(
        self, level: int, values: list[float], first: float, second: float
    ) -> tuple[float, float]:
        low, high = (values[int(u * len(values))] for u in sorted((first, second)))
        low = low if self._may_abstain[level] else ALL_ABOVE
        return (low, low) if level == self._last else (low, high)


def _totals(values: FloatArray, ends: IndexArray) -> FloatArray:
    """Return the sum of the first k values for every k in ``ends``."""
    return np.append(0.0, np.cumsum(values))[ends]


def _cut(score: FloatArray, below: int) -> float:
    """Return the cut with the first ``below`` of the ascending scores at or below it."""
    if below == 0:
        return ALL_ABOVE
    if below == len(score):
        return NONE_ABOVE
    return between(float(score[below - 1]), float(score[below]))
