"""How sure the model was of its own tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cascade_core._types import Reply
from cascade_core.signals._base import NOTHING, Reading

MEAN = "mean_token_probability"
MINIMUM = "min_token_probability"


@dataclass(frozen=True, slots=True)
class TokenProbabilitySignal:
    """Gives exp of the mean and of the minimum log-probability over the tokens of the reply.

    Both lie in [0, 1]. Nothing is given where the provider sent no log-probabilities (ask for them
    with ``logprobs=True`` where it can).
    """

    def read(self, reply: Reply[Any]) -> Reading:
        """Return the geometric mean and the minimum of the token probabilities."""
        logprobs = reply.token_logprobs
        if not logprobs:
            return NOTHING
        mean = sum(logprobs) / len(logprobs)
        if math.isnan(mean):  # min(0, NaN) is 0: a broken number would look like certainty
            return NOTHING
        # Providers send -9999 or -inf for "none": exp makes that 0, which is what it means. Some
        # round up to a hair above 0.
        return Reading(
            {
                MEAN: math.exp(min(0.0, mean)),
                MINIMUM: math.exp(min(0.0, *logprobs)),
            }
        )
