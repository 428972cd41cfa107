"""The graded rows that a rule is fitted on, and the chains that it may be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import ArrayLike

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.errors import InvalidConfiguration, InvalidOutcomes

REJECTED = -1.0


@dataclass(frozen=True, eq=False)
class Rows:
    """n graded requests, each answered by m arms; all of shape (n, m).

    Attributes:
        score: Estimated quality of each reply, in [0, 1]; -1 for rejected ones.
        quality: True quality, in [0, 1].
        cost: Dollars, >= 0.
    """

    score: FloatArray
    quality: FloatArray
    cost: FloatArray

    @classmethod
    def of(cls, score: ArrayLike, quality: ArrayLike, cost: ArrayLike) -> Rows:
        """Return the rows, checked.

        Raises:
            InvalidOutcomes: No rows, shapes that differ, or a number that is none of the possible.
        """
        rows = cls(*(np.asarray(a, dtype=np.float64) for a in (score, quality, cost)))
        shape = rows.score.shape
        if len(shape) != 2 or 0 in shape or {rows.quality.shape, rows.cost.shape} != {shape}:
            raise InvalidOutcomes(
                "Fitting needs score, quality and cost of one shape (n_requests, n_arms), at least "
                f"(1, 1), got {shape}, {rows.quality.shape} and {rows.cost.shape}."
            )
        graded = (rows.quality >= 0) & (rows.quality <= 1)
        scored = (rows.score == REJECTED) | ((rows.score >= 0) & (rows.score <= 1))
        _refuse("score", rows.score, scored, "in [0, 1], or -1 for a rejected reply")
        _refuse("quality", rows.quality, graded, "in [0, 1]")
        _refuse("cost", rows.cost, (rows.cost >= 0) & np.isfinite(rows.cost), "US dollars >= 0")
        return rows

    @property
    def n(self) -> int:
        """Number of requests."""
        return int(self.score.shape[0])

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return int(self.score.shape[1])

    @property
    def rejected(self) -> BoolArray:
        """True where a hard reason speaks against the reply, shape (n, m)."""
        return self.score < 0

    def cheapest_first(self) -> list[int]:
        """Return the arms by ascending mean cost."""
        order: IndexArray = np.argsort(self.cost.mean(axis=0), kind="stable")
        return [int(arm) for arm in order]

    def chains(self, max_depth: int, any_order: bool) -> list[tuple[int, ...]]:
        """Return the chains of at most ``max_depth`` arms, short ones first.

        Args:
            max_depth: Longest chain, >= 1.
            any_order: Every order of the arms; else cheapest first only.
        """
        if max_depth < 1:
            raise InvalidConfiguration(f"A chain needs max_depth >= 1, got {max_depth!r}.")
        arms = self.cheapest_first()
        choose = permutations if any_order else combinations
        return [
            chain
            for depth in range(1, min(max_depth, len(arms)) + 1)
            for chain in choose(arms, depth)
        ]

    def check_chain(self, order: tuple[int, ...]) -> None:
        """Refuse an order that is no chain of these arms."""
        possible = all(0 <= arm < self.n_arms for arm in order)
        if not order or not possible or len(set(order)) != len(order):
            raise InvalidConfiguration(
                f"A chain needs distinct arms from 0 to {self.n_arms - 1}, got {order!r}."
            )


def between(below: float, above: float) -> float:
    """Return a cut c with below <= c < above, half-way wherever floats are that fine."""
    middle = (below + above) / 2
    return middle if middle < above else below


def _refuse(name: str, column: FloatArray, good: BoolArray, possible: str) -> None:
    if good.all():
        return
    row, arm = np.argwhere(~good)[0].tolist()
    raise InvalidOutcomes(
        f"Row {row}, arm {arm}: {name} is {float(column[row, arm])!r}, not {possible}."
    )
