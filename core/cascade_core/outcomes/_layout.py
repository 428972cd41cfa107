"""Which columns of a file of outcomes are read, and where its rows are for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cascade_core.errors import InvalidOutcomes

if TYPE_CHECKING:
    import polars as pl

# The greatest record, so that an unclosed quote does not read a whole file into memory.
RECORD_LIMIT = 256 << 20
# Rows of a batch, where rows are counted, and bytes of one, where they are not.
BATCH_ROWS = 500_000
BATCH_BYTES = 32 << 20

_SIGNAL = "signal_"
_NUMBERS = ("quality", "cost_usd", "input_tokens", "output_tokens", "confidence", "rejected")


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and how its rows are counted."""

    path: Path
    row: str  # with {} for the number
    first: int  # the number of the first row of data

    def error(
        self, problem: str, row: int | None = None, column: str | None = None
    ) -> InvalidOutcomes:
        """Return the error about a row of data, counted from 0, and a column."""
        where = [str(self.path)]
        where += [] if row is None else [self.row.format(row + self.first)]
        where += [] if column is None else [f"column {column!r}"]
        return InvalidOutcomes(f"{', '.join(where)}: {problem}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that are read, by what they mean.

    Attributes:
        key: The column that tells prompts apart: prompt_id, else prompt.
        answer: The column of the answers: pred, which is already extracted, else answer.
        latency: The column of the latency, and how many of its units make a second.
        signals: Columns of signals by the signal's name, ``confidence`` left out.
        texts: All columns of text that are read.
        numbers: All columns of numbers that are read.
    """

    key: str
    answer: str | None
    latency: tuple[str, float] | None
    signals: Mapping[str, str]
    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(
        cls,
        place: Place,
        columns: Sequence[str],
        *,
        signals: Collection[str] | None,
        with_prompts: bool,
        has_prices: bool,
    ) -> Layout:
        """Return what is read of a file that has ``columns``."""
        _check_columns(place, columns, with_prompts=with_prompts, has_prices=has_prices)
        key = "prompt_id" if "prompt_id" in columns else "prompt"
        answer = next((c for c in ("pred", "answer") if c in columns), None)
        units = {"latency_s": 1.0, "latency_ms": 1000.0}
        latency = next(((c, unit) for c, unit in units.items() if c in columns), None)
        named = {c.removeprefix(_SIGNAL): c for c in columns if c.startswith(_SIGNAL)}
        if "confidence" in named and "confidence" in columns:
            raise place.error("one signal is in both 'confidence' and 'signal_confidence'.")
        there = {*named, *(["confidence"] if "confidence" in columns else [])}
        wanted = there if signals is None else set(signals)
        if wanted - there:
            raise place.error(
                f"no signals {sorted(wanted - there)}, only {sorted(there)}; a signal is "
                "'confidence' or a column of numbers named 'signal_...'."
            )
        chosen = {name: c for name, c in named.items() if name in wanted}
        ignored = () if "confidence" in wanted else ("confidence",)
        texts = [key, "model", answer, "domain", "split", "prompt" if with_prompts else None]
        numbers = [*_NUMBERS, "trial", latency[0] if latency else None, *chosen.values()]
        return cls(
            key=key,
            answer=answer,
            latency=latency,
            signals=chosen,
            texts=tuple(dict.fromkeys(c for c in texts if c in columns and c is not None)),
            numbers=tuple(c for c in numbers if c in columns and c and c not in ignored),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return self.texts + self.numbers


def _check_columns(
    place: Place, columns: Sequence[str], *, with_prompts: bool, has_prices: bool
) -> None:
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise place.error(f"the columns {twice} occur twice; every column needs its own name.")
    needed = [
        ("prompt_id (or prompt)", "prompt_id" in columns or "prompt" in columns),
        ("model", "model" in columns),
        ("quality", "quality" in columns),
        ("prompt", "prompt" in columns or not with_prompts),
    ]
    missing = [name for name, there in needed if not there]
    if missing:
        raise place.error(
            f"no column {', '.join(missing)} among {list(columns)}. One row is one outcome of one "
            "model on one prompt: prompt_id, model, quality in [0, 1] and cost_usd at least."
        )
    tokens = "input_tokens" in columns and "output_tokens" in columns
    if "cost_usd" not in columns and not (tokens and has_prices):
        raise place.error(
            "no column cost_usd. Add it, in US dollars per outcome, or give the prices of the "
            "models and the columns input_tokens and output_tokens: "
            "read_outcomes(path, prices={'model': Price(input=0.25, output=2.0)})."
        )


class Source(Protocol):
    """An opened file: its columns, and its rows in batches."""

    @property
    def place(self) -> Place:
        """The file, for errors."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of all its columns, none read yet."""
        ...

    def batches(self, layout: Layout) -> Iterator[pl.DataFrame]:
        """Yield the rows in order: text as String, numbers as Float64, null for none."""
        ...
