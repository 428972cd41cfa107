"""What is asked of a fit: a budget or a price of a dollar, and enough rows."""

from __future__ import annotations

import math

from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.outcomes import OutcomeTable

_MIN_REQUESTS = 20


def check_size(table: OutcomeTable) -> None:
    """Refuse a table that is too small to learn from."""
    if table.n_requests < _MIN_REQUESTS:
        raise InvalidOutcomes(
            f"Fitting needs at least {_MIN_REQUESTS} requests, got {table.n_requests}; a few "
            "hundred are better. Until then leave policy out: the cold start claims nothing."
        )


def check_dial(budget: float | None, cost_weight: float | None) -> None:
    """Refuse anything but one of the two, finite and >= 0."""
    given = [(n, v) for n, v in (("budget", budget), ("cost_weight", cost_weight)) if v is not None]
    if len(given) != 1:
        raise InvalidConfiguration(
            "Give either budget (mean US dollars per request) or cost_weight (quality per US "
            f"dollar), got budget={budget!r}, cost_weight={cost_weight!r}."
        )
    name, value = given[0]
    if not (math.isfinite(value) and value >= 0):
        raise InvalidConfiguration(f"{name} must be finite and >= 0, got {value!r}.")
