"""What a table of outcomes must be, with errors that name the row and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes

_UNKNOWN_ALLOWED = ("latency_seconds", "input_tokens", "output_tokens")


def check_cells(
    arms: Sequence[str],
    quality: FloatArray,
    columns: Mapping[str, NDArray[Any]],
    rejected: NDArray[np.bool_] | None,
) -> None:
    """Check what has a value per request and arm."""
    shape = quality.shape
    if len(set(arms)) != len(arms):
        raise InvalidOutcomes(f"Every arm needs a name of its own, got {list(arms)}.")
    if len(shape) != 2 or shape[0] == 0 or shape[1] != len(arms) or shape[1] == 0:
        raise InvalidOutcomes(
            "Outcomes need quality of shape (n_requests, n_arms), at least (1, 1), got "
            f"{shape} for {len(arms)} arms."
        )
    shaped = columns if rejected is None else {**columns, "rejected": rejected}
    for name, column in shaped.items():
        if column.shape != shape:
            raise InvalidOutcomes(f"{name} needs the shape of quality {shape}: {column.shape}.")
    _refuse(arms, "quality", quality, (quality >= 0) & (quality <= 1), "[0, 1]")
    for name in ("cost_usd", *_UNKNOWN_ALLOWED):
        if name in columns:
            good = (columns[name] >= 0) & np.isfinite(columns[name])
            if name in _UNKNOWN_ALLOWED:
                good |= np.isnan(columns[name])
            _refuse(arms, name, columns[name], good, ">= 0")
    if "answers" in columns:
        _refuse(arms, "answers", columns["answers"], columns["answers"] >= -1, ">= -1")


def check_requests(n_requests: int, columns: Mapping[str, NDArray[Any]]) -> None:
    """Check what has a value per request."""
    for name, column in columns.items():
        if column.shape != (n_requests,):
            raise InvalidOutcomes(f"{name} needs the shape ({n_requests},): {column.shape}.")


def _refuse(
    arms: Sequence[str],
    name: str,
    column: NDArray[Any],
    good: NDArray[np.bool_],
    possible: str,
) -> None:
    # ``all`` first: positions of what is bad would cost as much as the table when all is good.
    if good.all():
        return
    row, arm = np.argwhere(~good)[0].tolist()
    raise InvalidOutcomes(
        f"Row {row}, model {arms[arm]!r}: {name} is {column[row, arm]!r}, which must "
        f"be in {possible}."
    )
