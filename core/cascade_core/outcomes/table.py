"""Graded outcomes of all arms on the same requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cascade_core._types import FloatArray
from cascade_core.errors import InvalidOutcomes


@dataclass(frozen=True, eq=False)
class OutcomeTable:
    """One row a request, one column an arm.

    Args:
        arms: Names of the arms, in the order of the columns.
        quality: Shape (n_requests, n_arms), in [0, 1]; 0 and 1 for wrong and right.
        cost_usd: Shape (n_requests, n_arms), US dollars, >= 0.
        latency_seconds: Shape (n_requests, n_arms), >= 0.
        signals: What was read from each reply, by name, each (n_requests, n_arms); NaN for none.
        rejected: Shape (n_requests, n_arms); True where a hard reason speaks against the reply.
    """

    arms: tuple[str, ...]
    quality: FloatArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    signals: Mapping[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    rejected: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def __post_init__(self) -> None:
        # Grades come as integers, booleans and lists too; what is computed from them does not.
        for name in ("quality", "cost_usd", "latency_seconds"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        signals = {n: np.asarray(s, dtype=np.float64) for n, s in self.signals.items()}
        object.__setattr__(self, "signals", signals)
        if self.rejected is not None:
            object.__setattr__(self, "rejected", np.asarray(self.rejected, dtype=np.bool_))
        self._check()

    def _check(self) -> None:
        shape = self.quality.shape
        if len(set(self.arms)) != len(self.arms):
            raise InvalidOutcomes(f"Every arm needs a name of its own, got {list(self.arms)}.")
        if len(shape) != 2 or shape[0] == 0 or shape[1] != len(self.arms) or shape[1] == 0:
            raise InvalidOutcomes(
                "Outcomes need quality of shape (n_requests, n_arms), at least (1, 1), got "
                f"{shape} for {len(self.arms)} arms."
            )
        columns = {"cost_usd": self.cost_usd, "latency_seconds": self.latency_seconds}
        others = {**columns, **self.signals}
        if self.rejected is not None:
            others["rejected"] = self.rejected.astype(np.float64)
        for name, column in others.items():
            if column.shape != shape:
                raise InvalidOutcomes(f"{name} needs the shape of quality {shape}: {column.shape}.")
        self._refuse("quality", self.quality, (self.quality >= 0) & (self.quality <= 1), "[0, 1]")
        for name, column in columns.items():
            self._refuse(name, column, (column >= 0) & np.isfinite(column), ">= 0")

    def _refuse(self, name: str, column: FloatArray, good: Any, possible: str) -> None:
        bad = np.argwhere(~good)
        if bad.size:
            row, arm = bad[0].tolist()
            raise InvalidOutcomes(
                f"Row {row}, model {self.arms[arm]!r}: {name} is {column[row, arm]!r}, which must "
                f"be in {possible}."
            )

    @classmethod
    def from_reports(
        cls, arms: Sequence[str], rows: Iterable[Mapping[str, tuple[Mapping[str, Any], float]]]
    ) -> OutcomeTable:
        """Return the table of requests that every arm has answered on its own.

        Args:
            arms: Names of the arms.
            rows: For every request, by arm: the report that the arm's reply carried as
                ``metadata["cascade"]``, called under ``SingleModelPolicy``, and its quality.

        Raises:
            InvalidOutcomes: No rows, an arm is missing in a row, or a cost is unknown.
        """
        cells = [[_Cell.read(row, arm, i) for arm in arms] for i, row in enumerate(rows)]
        if not cells:
            raise InvalidOutcomes("Outcomes need at least one request, got none.")
        names = sorted({name for row in cells for cell in row for name in cell.signals})

        def column(read: Callable[[_Cell], float]) -> FloatArray:
            return np.array([[read(cell) for cell in row] for row in cells], dtype=np.float64)

        return cls(
            tuple(arms),
            quality=column(lambda cell: cell.quality),
            cost_usd=column(lambda cell: cell.cost_usd),
            latency_seconds=column(lambda cell: cell.latency_seconds),
            signals={name: column(partial(_signal, name)) for name in names},
            rejected=column(lambda cell: cell.rejected).astype(np.bool_),
        )

    @property
    def n_requests(self) -> int:
        """Number of rows."""
        return int(self.quality.shape[0])

    def column(self, arm: str) -> int:
        """Return the index of an arm; the error names the possible ones."""
        if arm not in self.arms:
            raise InvalidOutcomes(f"No model {arm!r} in the outcomes, only {list(self.arms)}.")
        return self.arms.index(arm)


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
