"""Graded outcomes of all arms on the same requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_core._arrays import FloatArray
from cascade_core.errors import InvalidOutcomes
from cascade_core.outcomes._checks import check_cells, check_requests
from cascade_core.outcomes._reports import cells_of_reports
from cascade_core.outcomes.splits import folds_by_prompt

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class OutcomeTable:
    """One row a request, one column an arm.

    Args:
        arms: Names of the arms, in the order of the columns.
        quality: Shape (n_requests, n_arms), in [0, 1]; 0 and 1 for wrong and right.
        cost_usd: Shape (n_requests, n_arms), US dollars, >= 0.
        latency_seconds: Shape (n_requests, n_arms), >= 0; NaN where nobody measured it.
        signals: What was read from each reply, by name, each (n_requests, n_arms); NaN for none.
        rejected: Shape (n_requests, n_arms); True where a hard reason speaks against the reply.
        prompt_ids: Shape (n_requests,), text. Trials of one prompt share it.
        prompts: Shape (n_requests,), text or None.
        domains: Shape (n_requests,), text or None.
        splits: Shape (n_requests,), text or None, such as "train" and "test".
        trials: Shape (n_requests,), whole numbers: which repetition of its prompt a row is.
        answers: Shape (n_requests, n_arms), whole numbers: within a row equal codes mean equal
            answers, -1 means none. Codes of different rows have nothing to do with each other.
        input_tokens: Shape (n_requests, n_arms), >= 0; NaN where unknown.
        output_tokens: Shape (n_requests, n_arms), >= 0; NaN where unknown.

    Raises:
        InvalidOutcomes: A shape does not fit or a value is out of its range; the message names
            the row and the model.
    """

    arms: tuple[str, ...]
    quality: FloatArray
    cost_usd: FloatArray
    latency_seconds: FloatArray
    signals: Mapping[str, FloatArray] = field(default_factory=dict[str, FloatArray])
    rejected: BoolArray | None = None
    prompt_ids: TextArray | None = None
    prompts: TextArray | None = None
    domains: TextArray | None = None
    splits: TextArray | None = None
    trials: IntArray | None = None
    answers: IntArray | None = None
    input_tokens: FloatArray | None = None
    output_tokens: FloatArray | None = None

    def __post_init__(self) -> None:
        # Grades come as integers, booleans and lists too; what is computed from them does not.
        for name in ("quality", "cost_usd", "latency_seconds", "input_tokens", "output_tokens"):
            self._become(name, np.float64)
        for name in ("trials", "answers"):
            self._become(name, np.int64)
        for name in ("prompt_ids", "prompts", "domains", "splits"):
            self._become(name, np.object_)
        self._become("rejected", np.bool_)
        signals = {n: np.asarray(s, dtype=np.float64) for n, s in self.signals.items()}
        object.__setattr__(self, "signals", signals)
        object.__setattr__(self, "arms", tuple(self.arms))
        check_cells(self.arms, self.quality, self._by_cell(), self.rejected)
        check_requests(self.n_requests, self._by_request())

    def _become(self, name: str, kind: type[np.generic]) -> None:
        given = getattr(self, name)
        if given is not None:
            object.__setattr__(self, name, np.asarray(given, dtype=kind))

    def _by_cell(self) -> dict[str, NDArray[Any]]:
        """Return what has a value per request and arm, quality and ``rejected`` left out."""
        columns = {
            "cost_usd": self.cost_usd,
            "latency_seconds": self.latency_seconds,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "answers": self.answers,
        }
        return {n: c for n, c in {**self.signals, **columns}.items() if c is not None}

    def _by_request(self) -> dict[str, NDArray[Any]]:
        columns = {
            "prompt_ids": self.prompt_ids,
            "prompts": self.prompts,
            "domains": self.domains,
            "splits": self.splits,
            "trials": self.trials,
        }
        return {n: c for n, c in columns.items() if c is not None}

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
        cells = cells_of_reports(arms, rows)
        return cls(
            tuple(arms),
            cells.quality,
            cells.cost_usd,
            cells.latency_seconds,
            cells.signals,
            cells.rejected,
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

    def select(self, rows: NDArray[np.integer[Any]] | BoolArray) -> OutcomeTable:
        """Return the table of some rows: by index, in that order, or where a mask is True.

        Raises:
            InvalidOutcomes: Nothing is selected, or an index or the mask's length does not fit.
        """
        chosen = np.asarray(rows)
        if chosen.size == 0:
            raise InvalidOutcomes("No row is selected, and outcomes need at least one.")
        try:
            return replace(self, **self._map(lambda column: column[chosen]))
        except IndexError as error:
            raise InvalidOutcomes(
                f"Rows are indices below {self.n_requests} or a mask of that length: {error}."
            ) from error

    def with_arms(self, names: Sequence[str]) -> OutcomeTable:
        """Return the table of some arms, in the order of ``names``."""
        columns = [self.column(name) for name in names]
        changed = self._map(lambda c: c[:, columns] if c.ndim == 2 else c)
        return replace(self, arms=tuple(names), **changed)

    def where(self, *, split: str | None = None, domain: str | None = None) -> OutcomeTable:
        """Return the table of the rows of a split, of a domain, or of both.

        Raises:
            InvalidOutcomes: No row is of them; the message names those that there are.
        """
        mask = np.ones(self.n_requests, dtype=np.bool_)
        for name, wanted, values in (
            ("split", split, self.splits),
            ("domain", domain, self.domains),
        ):
            if wanted is not None:
                mask &= _equal(name, wanted, values)
        if not mask.any():
            raise InvalidOutcomes(f"No row is of split {split!r} and domain {domain!r} at once.")
        return self.select(mask)

    def shuffled_folds(self, k: int, rng: np.random.Generator) -> IntArray:
        """Return the fold of every row, shape (n_requests,), in 0 ... k - 1.

        Trials of one prompt are in one fold: rows that share a prompt id never straddle the line
        between fitting and scoring. Without prompt ids every row is a prompt of its own. The
        folds do not depend on the order of the rows that have ids.

        Raises:
            InvalidOutcomes: ``k`` is below 2 or above the number of prompts.
        """
        return folds_by_prompt(self.prompt_ids, self.n_requests, k, rng)

    def agreement(self, a: int, b: int) -> BoolArray:
        """Return where two arms, by index, gave the same answer, shape (n_requests,).

        Where one of them gave none, they do not agree.

        Raises:
            InvalidOutcomes: The outcomes hold no answers.
        """
        if self.answers is None:
            raise InvalidOutcomes("These outcomes hold no answers, so no agreement is known.")
        first = self.answers[:, a]
        return np.asarray((first == self.answers[:, b]) & (first >= 0))

    def _map(self, change: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, Any]:
        """Return every array, changed, under the name of its field."""
        names = [f.name for f in fields(self) if f.name not in ("arms", "signals")]
        given = {n: c for n in names if (c := getattr(self, n)) is not None}
        signals = {n: change(s) for n, s in self.signals.items()}
        return {"signals": signals, **{n: change(c) for n, c in given.items()}}


def _equal(name: str, wanted: str, values: TextArray | None) -> BoolArray:
    if values is None:
        raise InvalidOutcomes(f"These outcomes hold no {name}, so none is {wanted!r}.")
    mask = np.asarray(values == wanted, dtype=np.bool_)
    if not mask.any():
        raise InvalidOutcomes(
            f"No row is of {name} {wanted!r}, only of {sorted(set(values), key=str)}."
        )
    return mask
