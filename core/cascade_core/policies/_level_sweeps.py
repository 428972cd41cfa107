"""Thresholds of one chain for many prices of a dollar, by exact sweeps of a level at a time.

``_sweeps`` searches one price to the optimum and knows abstention; here the sorting is done once,
and a price costs microseconds, which a cross-validation over a hundred chains needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray

# Sweeps settle after two or three rounds; each is exact, so more can only help.
_ROUNDS = 6
_NEVER = 1.1


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least scores that answer, by level but the last, and the mean value per row they give."""

    thresholds: tuple[float, ...]
    value: float


class LevelSweeps:
    """The levels of one chain.

    Args:
        score: Estimated quality of what a level would answer, shape (n, k); -1 for none.
        quality: Its true quality, shape (n, k).
        cost: Dollars of each level's call, shape (n, k).
    """

    def __init__(self, score: FloatArray, quality: FloatArray, cost: FloatArray) -> None:
        self._score, self._quality = score.T, quality.T
        self._spent = np.cumsum(cost, axis=1).T
        self._order = np.argsort(-self._score, axis=1, kind="stable")
        descending = np.take_along_axis(self._score, self._order, axis=1)
        following = np.column_stack([descending[:, 1:], np.full(len(descending), -2.0)])
        # Equal scores share a fate, and a rejected reply answers at no threshold.
        self._cut = (descending > following) & (descending >= 0)
        half_way = (descending + np.maximum(following, 0.0)) / 2
        self._threshold = np.where(half_way > following, half_way, descending)

    def best(self, cost_weight: float) -> Thresholds:
        """Return thresholds that no change of a single level improves."""
        value: FloatArray = self._quality - cost_weight * self._spent
        last = len(value) - 1
        thresholds = [0.5] * last
        for _ in range(_ROUNDS):
            before = list(thresholds)
            onward: FloatArray = value[last]
            for level in range(last - 1, -1, -1):
                thresholds[level] = self._swept(level, value[level] - onward, thresholds)
                answers = self._score[level] >= thresholds[level]
                onward = np.where(answers, value[level], onward)
            if thresholds == before or last <= 1:
                break
        return Thresholds(tuple(thresholds), float(self._value(value, thresholds).mean()))

    def _swept(self, level: int, gain: FloatArray, thresholds: list[float]) -> float:
        """Return the threshold of ``level`` with the greatest total ``gain`` of answering."""
        for earlier in range(level):
            gain = np.where(self._score[earlier] < thresholds[earlier], gain, 0.0)
        total = np.where(self._cut[level], np.cumsum(gain[self._order[level]]), -np.inf)
        best = int(total.argmax())
        return float(self._threshold[level, best]) if total[best] > 0 else _NEVER

    def _value(self, value: FloatArray, thresholds: list[float]) -> FloatArray:
        onward: FloatArray = value[-1]
        for level in range(len(thresholds) - 1, -1, -1):
            onward = np.where(self._score[level] >= thresholds[level], value[level], onward)
        return onward
