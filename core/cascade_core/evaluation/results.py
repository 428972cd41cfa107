"""What a policy did, request by request, live or replayed; and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.evaluation.intervals import Interval, bootstrap_interval


@dataclass(frozen=True, eq=False)
class Results:
    """What happened, request by request; every array has shape (n_requests,).

    Attributes:
        arms: Names of the arms.
        quality: Quality of the answer.
        cost_usd: Dollars of all calls.
        latency_seconds: Seconds of all calls, one after the other.
        answered_by: Index of the arm that answered.
    """

    arms: tuple[str, ...]
    quality: FloatArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    answered_by: np.ndarray[tuple[int], np.dtype[np.intp]]

    def shares(self) -> dict[str, float]:
        """Return the share of requests that each arm answered."""
        return {arm: float((self.answered_by == m).mean()) for m, arm in enumerate(self.arms)}


@dataclass(frozen=True, slots=True)
class Summary:
    """One row of a comparison.

    Attributes:
        name: What was measured.
        quality: Mean quality with its 95 % interval.
        cost_per_1000: US dollars per 1,000 requests.
        latency_seconds: Mean seconds per request.
        shares: Share of the requests that each arm answered.
    """

    name: str
    quality: Interval
    cost_per_1000: float
    latency_seconds: float
    shares: Mapping[str, float]


def summarise(name: str, results: Results, rng: np.random.Generator) -> Summary:
    """Return the figures of ``results`` under ``name``."""
    return Summary(
        name,
        bootstrap_interval(results.quality, rng),
        float(results.cost_usd.mean()) * 1000,
        float(results.latency_seconds.mean()),
        results.shares(),
    )
