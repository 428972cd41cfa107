"""Outcomes from the reports that live replies carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes


@dataclass(frozen=True, slots=True)
class Cells:
    """Arrays of shape (n_requests, n_arms)."""

    quality: FloatArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    signals: Mapping[str, FloatArray]
    rejected: NDArray[np.bool_]


def cells_of_reports(
    arms: Sequence[str], rows: Iterable[Mapping[str, tuple[Mapping[str, Any], float]]]
) -> Cells:
    """Return the cells of ``OutcomeTable.from_reports``."""
    cells = [[_Cell.read(row, arm, i) for arm in arms] for i, row in enumerate(rows)]
    if not cells:
        raise InvalidOutcomes("Outcomes need at least one request, got none.")
    names = sorted({name for row in cells for cell in row for name in cell.signals})

    def column(read: Callable[[_Cell], float]) -> FloatArray:
        return np.array([[read(cell) for cell in row] for row in cells], dtype=np.float64)

    return Cells(
        quality=column(lambda cell: cell.quality),
        cost_usd=column(lambda cell: cell.cost_usd),
        latency_seconds=column(lambda cell: cell.latency_seconds),
        signals={name: column(partial(_signal, name)) for name in names},
        rejected=column(lambda cell: cell.rejected).astype(np.bool_),
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """One arm's outcome on one request."""

    quality: float
    cost_usd: float
    latency_seconds: float
    rejected: bool
    signals: Mapping[str, float]

    @classmethod
    def read(
        cls, row: Mapping[str, tuple[Mapping[str, Any], float]], arm: str, index: int
    ) -> _Cell:
        if arm not in row:
            raise InvalidOutcomes(f"Row {index} has no outcome of {arm!r}, only {sorted(row)}.")
        report, quality = row[arm]
        attempt: Mapping[str, Any] = report["attempts"][-1]
        if report["answered_by"] != arm or attempt["cost_usd"] is None:
            raise InvalidOutcomes(
                f"Row {index}, model {arm!r}: the report is of {report['answered_by']!r} at "
                f"{attempt['cost_usd']} dollars; a known cost of this very model is needed."
            )
        return cls(
            quality,
            attempt["cost_usd"],
            attempt["latency_seconds"],
            attempt["rejected_by"] is not None,
            attempt["signals"],
        )


def _signal(name: str, cell: _Cell) -> float:
    return cell.signals.get(name, float("nan"))
