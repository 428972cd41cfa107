"""The ex-post estimate from the model's confidence in its own tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cascade_core._arrays import FloatArray
from cascade_core.signals.platt import PlattCalibrator
from cascade_core.signals.token_probability import MEAN

if TYPE_CHECKING:
    from cascade_core.outcomes import OutcomeTable

# What a reply without any usable signal is taken for: good. A provider that sends no
# log-probabilities leaves validators, finish reason and refusal to decide.
NO_SIGNAL_QUALITY = 1.0


@dataclass(frozen=True, slots=True)
class AssumedConfidence:
    """Takes the mean token probability at its word; for a start without data.

    An assumption, not a measurement: models are often surer than they are right.
    """

    def quality(self, arm: int, signals: Mapping[str, float]) -> float:
        """Return the geometric mean of the token probabilities, 1 where there are none."""
        return signals.get(MEAN, NO_SIGNAL_QUALITY)


@dataclass(frozen=True, slots=True)
class CalibratedConfidence:
    """One signal of each arm, calibrated on its outcomes.

    Args:
        signals: The name of the signal that is used for each arm.
        calibrators: What maps it to a probability.
        base_rates: The arm's mean quality, for a reply that lacks the signal.
    """

    signals: tuple[str, ...]
    calibrators: tuple[PlattCalibrator, ...]
    base_rates: tuple[float, ...]

    def quality(self, arm: int, signals: Mapping[str, float]) -> float:
        """Return the calibrated probability that the reply is good."""
        value = signals.get(self.signals[arm])
        return self.base_rates[arm] if value is None else self.calibrators[arm](value)

    def of_table(self, table: OutcomeTable) -> FloatArray:
        """Return the estimate for every logged reply, shape (n, m)."""
        estimates = np.tile(np.array(self.base_rates), (table.n_requests, 1))
        for arm, (name, calibrator) in enumerate(zip(self.signals, self.calibrators, strict=True)):
            if name in table.signals:
                known = np.isfinite(table.signals[name][:, arm])
                values = table.signals[name][known, arm]
                estimates[known, arm] = calibrator.apply(values)
        return estimates
