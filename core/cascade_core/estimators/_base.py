"""What an estimator is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from cascade_core._types import Belief, Request


@runtime_checkable
class ExAnteEstimator(Protocol):
    """Says what to expect of every arm before any of them has answered."""

    def estimate(self, request: Request) -> Belief:
        """Return the belief about all arms on this request."""
        ...


@runtime_checkable
class ExPostEstimator(Protocol):
    """Says how good a reply probably is, from the signals that were read from it."""

    def quality(self, arm: int, signals: Mapping[str, float]) -> float:
        """Return the probability, in [0, 1], that a reply of ``arm`` with these signals is good."""
        ...
