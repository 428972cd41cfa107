"""Outcomes from a Parquet file, a slice of its rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import polars as pl

from cascade_core.outcomes._layout import BATCH_ROWS, Layout, Place


@dataclass(frozen=True, slots=True)
class ParquetSource:
    """A Parquet file; its first row is row 1."""

    place: Place
    schema: dict[str, pl.DataType]
    n_rows: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the footer."""
        place = Place(path, "row {}", 1)
        with path.open("rb") as file:
            if not file.read(1):
                raise place.error("the file is empty.")
        try:
            scan = pl.scan_parquet(path, glob=False)
            schema = dict(scan.collect_schema())
            n_rows = int(scan.select(pl.len()).collect().item())
        except pl.exceptions.PolarsError as error:
            raise place.error(f"this is not a Parquet file that can be read: {error}.") from error
        return cls(place, schema, n_rows)

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        return list(self.schema)

    def batches(self, layout: Layout) -> Iterator[pl.DataFrame]:
        """Yield the rows in order."""
        texts = [self._text(c) for c in layout.texts]
        scan = pl.scan_parquet(self.place.path, glob=False).select(
            *texts, *(self._number(c) for c in layout.numbers)
        )
        for row in range(0, self.n_rows, BATCH_ROWS):
            try:
                yield scan.slice(row, BATCH_ROWS).collect()
            except pl.exceptions.PolarsError as error:
                raise self.place.error(
                    f"this row or one of the {BATCH_ROWS} after it cannot be read: {error}.", row
                ) from error

    def _text(self, column: str) -> pl.Expr:
        kind = self.schema[column]
        text = isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null)
        if not text and not kind.is_integer():
            raise self.place.error(f"the column is {kind}, and text is needed.", 0, column)
        return pl.col(column).cast(pl.String)

    def _number(self, column: str) -> pl.Expr:
        kind = self.schema[column]
        if not kind.is_numeric() and not isinstance(kind, pl.Boolean | pl.Null):
            raise self.place.error(f"the column is {kind}, and numbers are needed.", 0, column)
        return pl.col(column).cast(pl.Float64)
