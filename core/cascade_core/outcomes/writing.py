"""Write a table of outcomes, so that reading it gives the same table."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cascade_core.errors import InvalidOutcomes
from cascade_core.outcomes.reading import format_of, require_polars
from cascade_core.outcomes.table import OutcomeTable

if TYPE_CHECKING:
    import polars as pl


def write_outcomes(table: OutcomeTable, path: str | os.PathLike[str]) -> None:
    """Write one row for every request and arm, in the columns that ``read_outcomes`` reads.

    The format is told by the name: ``.csv``, ``.jsonl`` or ``.parquet``. The file appears whole or
    not at all. Rows without prompt ids are numbered. Answers are written as their codes, signals
    that are not finite as none. The whole long table is held in memory.

    Raises:
        InvalidOutcomes: Two rows have the same prompt id and trial, or a prompt id or the name of
            an arm is empty: reading would not give the table back.
        InvalidConfiguration: Polars, of the extra ``learn``, is not installed.
        OSError: The file cannot be written.
    """
    require_polars()
    target = Path(path)
    kind = format_of(target)
    frame = _long(table)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if kind == "csv":
                frame.write_csv(file)
            elif kind == "jsonl":
                frame.write_ndjson(file)
            else:
                frame.write_parquet(file)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _long(table: OutcomeTable) -> pl.DataFrame:
    import polars as pl

    n, m = table.n_requests, len(table.arms)
    ids = [str(i) for i in (range(n) if table.prompt_ids is None else table.prompt_ids)]
    _check_keys(table, ids)
    text, number, whole = pl.String(), pl.Float64(), pl.Int64()
    columns = [_each(pl.Series("prompt_id", ids, text), m)]
    for name, values in (
        ("prompt", table.prompts),
        ("domain", table.domains),
        ("split", table.splits),
    ):
        if values is not None:
            columns.append(_each(pl.Series(name, values.tolist(), text), m))
    if table.trials is not None:
        columns.append(_each(pl.Series("trial", table.trials, whole), m))
    columns.append(pl.Series("model", table.arms, text).gather(np.tile(np.arange(m), n)))
    cells: dict[str, NDArray[Any] | None] = {
        "quality": table.quality,
        "cost_usd": table.cost_usd,
        "latency_s": table.latency_seconds,
        "input_tokens": table.input_tokens,
        "output_tokens": table.output_tokens,
        **{_signal_column(name, values): values for name, values in table.signals.items()},
    }
    for name, values in cells.items():
        if values is not None:
            finite = np.where(np.isfinite(values), values, np.nan).reshape(-1)
            columns.append(pl.Series(name, finite, number).fill_nan(None))
    if table.rejected is not None:
        columns.append(pl.Series("rejected", table.rejected.reshape(-1)))
    if table.answers is not None:
        codes = pl.Series("pred", table.answers.reshape(-1), whole)
        columns.append(codes.set(codes < 0, None).cast(text))
    return pl.DataFrame(columns)


def _each(values: pl.Series, n_arms: int) -> pl.Series:
    """Repeat the value of a request for each of its arms."""
    return values.gather(np.repeat(np.arange(len(values)), n_arms))


def _signal_column(name: str, values: NDArray[np.float64]) -> str:
    # Outside [0, 1] it would be read as a log-probability.
    probability = name == "confidence" and not np.any((values < 0) | (values > 1))
    return name if probability else f"signal_{name}"


def _check_keys(table: OutcomeTable, ids: Sequence[str]) -> None:
    if not all(table.arms) or not all(ids):
        raise InvalidOutcomes("Prompt ids and names of arms must not be empty to be written.")
    trials = [0] * len(ids) if table.trials is None else table.trials.tolist()
    keys = list(zip(ids, trials, strict=True))
    seen: dict[Any, int] = {}
    for row, key in enumerate(keys):
        first = seen.setdefault(key, row)
        if first != row:
            raise InvalidOutcomes(
                f"Rows {first} and {row} are both prompt {key[0]!r}, trial {key[1]!r}."
            )
