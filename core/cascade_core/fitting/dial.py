"""What is asked of a fit: a budget or a price of a dollar, enough rows, and not too many arms."""

from __future__ import annotations

import math

import numpy as np

from cascade_core._arrays import IndexArray
from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.outcomes import OutcomeTable

_MIN_REQUESTS = 20
_MIN_OUTSIDE_A_FOLD = _MIN_REQUESTS // 2
# The regressions of the joint beliefs grow with the square of the arms: minutes from here on.
_MAX_ARMS = 16
# A mean of equal costs differs from each of them in the last bits.
_ROUNDING = 1e-9


def check_size(table: OutcomeTable) -> None:
    """Refuse a table that is too small to learn from."""
    if table.n_requests < _MIN_REQUESTS:
        raise InvalidOutcomes(
            f"Fitting needs at least {_MIN_REQUESTS} requests, got {table.n_requests}; a few "
            "hundred are better. Until then leave policy out: the cold start claims nothing."
        )


def check_arms(table: OutcomeTable) -> None:
    """Refuse a table of so many arms that fitting their joint beliefs would take too long."""
    n = len(table.arms)
    if n > _MAX_ARMS:
        raise InvalidOutcomes(
            f"Kinds of rule are compared for up to {_MAX_ARMS} models, got {n}. Give those that "
            "may win: table.with_arms([...])."
        )


def check_folds(fold: IndexArray) -> None:
    """Refuse folds of which one leaves too few rows to fit on."""
    n, largest = len(fold), int(np.bincount(fold).max())
    if n - largest < _MIN_OUTSIDE_A_FOLD:
        raise InvalidOutcomes(
            f"A fold has {largest} of {n} requests, which leaves fewer than {_MIN_OUTSIDE_A_FOLD} "
            "to fit on: trials of one prompt share a fold, and most rows are of few prompts. "
            "Grade more prompts."
        )


def affords(budget: float) -> float:
    """Return the most that may be spent: the budget, with room for rounding."""
    return budget * (1.0 + _ROUNDING)


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
