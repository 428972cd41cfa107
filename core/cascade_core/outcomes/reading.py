"""Read a table of outcomes from CSV, JSON lines or Parquet."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cascade_core.errors import InvalidConfiguration, InvalidOutcomes
from cascade_core.outcomes.table import OutcomeTable
from cascade_core.pricing import PriceLike, as_price

if TYPE_CHECKING:
    from cascade_core.outcomes._layout import Source


class IncompleteOutcomesWarning(UserWarning):
    """Some requests lack an outcome of some model and are left out."""


def read_outcomes(
    path: str | os.PathLike[str],
    *,
    models: Sequence[str] | None = None,
    prices: Mapping[str, PriceLike] | None = None,
    signals: Collection[str] | None = None,
    with_prompts: bool = False,
    allow_incomplete: bool = True,
) -> OutcomeTable:
    """Return the outcomes of a file in which one row is one outcome of one model on one prompt.

    The format is told by the name: ``.csv`` (comma, double quotes, a header), ``.jsonl`` or
    ``.ndjson`` (one object a line; line 1 has every key), ``.parquet`` or ``.pq``. Text is UTF-8.
    The file is read in batches: memory goes with the numbers, not with the text, so that files
    larger than the memory can be read.

    ===================  =======================================================================
    column               meaning
    ===================  =======================================================================
    prompt_id            Tells prompts apart; without it the prompt itself does. Needed.
    model                Name of the model. Needed.
    quality              In [0, 1]; true and false count as 1 and 0. Needed.
    cost_usd             US dollars, >= 0. Needed, or both tokens and ``prices``.
    latency_s            Seconds, >= 0; ``latency_ms`` counts where it is missing.
    input_tokens         >= 0, like ``output_tokens``.
    pred, answer         What ``OutcomeTable.answers`` compares, see ``outcomes.answers``. ``pred``,
                         already extracted, goes before ``answer``.
    confidence           Probability in [0, 1], or log-probability <= 0, which becomes one; never
                         both in one column. Only zeros are probabilities.
    signal_...           Finite numbers: further signals, named by what follows.
    rejected             True where a hard reason speaks against the reply; none is false.
    split, domain        One for all rows of a prompt.
    trial                Whole numbers, >= 0: repetitions of a prompt. Each is a row of the table.
    prompt               Kept ``with_prompts``, the first of each prompt id.
    ===================  =======================================================================

    Other columns are ignored. Empty cells mean "none"; NaN means the same, and is an error where
    a value is needed. Requests and models are in the order of their first appearance.

    Args:
        path: The file.
        models: The models to read, in this order; None for all. Rows of others are not checked.
        prices: US dollars per million tokens by model, used where ``cost_usd`` is empty.
        signals: The signals to keep, by name; None for all.
        with_prompts: Keep the text of the prompts.
        allow_incomplete: Leave out, with a warning, what not every model has answered. False
            makes it an error.

    Raises:
        InvalidOutcomes: The file holds something else; the message names file, row and column.
            Rows are counted as an editor or a table shows them: a header is row 1, so the first
            outcome of a CSV file is in row 2; of JSON lines in line 1, of Parquet in row 1. A
            model with outcomes for fewer than half of the requests is an error, too.
        InvalidConfiguration: Polars, of the extra ``learn``, is not installed.
        OSError: The file cannot be opened.

    Warns:
        IncompleteOutcomesWarning: Some requests are left out; says how many.
    """
    require_polars()
    # They import Polars.
    from cascade_core.outcomes._assembly import Assembly
    from cascade_core.outcomes._layout import Layout
    from cascade_core.outcomes._pivot import pivot

    dollars = {name: as_price(price) for name, price in (prices or {}).items()}
    source = _open(Path(path))
    layout = Layout.of(
        source.place,
        source.columns,
        signals=signals,
        with_prompts=with_prompts,
        has_prices=bool(dollars),
    )
    assembly = Assembly(source.place, layout, models, dollars)
    for batch in source.batches(layout):
        assembly.add(batch)
    return pivot(assembly, allow_incomplete=allow_incomplete)


def require_polars() -> None:
    """Raise if Polars is not installed, and say how to install it."""
    if importlib.util.find_spec("polars") is None:
        raise InvalidConfiguration(
            "Files of outcomes are read and written with Polars, which is not installed: "
            'pip install "cascade-router[learn]".'
        )


def format_of(path: Path) -> str:
    """Return "csv", "jsonl" or "parquet", told by the file's name."""
    suffixes = {"ndjson": "jsonl", "pq": "parquet"}
    suffix = path.suffix.lower().removeprefix(".")
    known = suffixes.get(suffix, suffix)
    if known not in ("csv", "jsonl", "parquet"):
        raise InvalidOutcomes(f"{path}: outcomes are in .csv, .jsonl or .parquet files.")
    return known


def _open(path: Path) -> Source:
    from cascade_core.outcomes._csv import CsvSource
    from cascade_core.outcomes._jsonl import JsonlSource
    from cascade_core.outcomes._parquet import ParquetSource

    kind = format_of(path)
    if kind == "csv":
        return CsvSource.open(path)
    return JsonlSource.open(path) if kind == "jsonl" else ParquetSource.open(path)
