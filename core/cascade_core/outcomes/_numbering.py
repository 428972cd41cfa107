"""Numbers for distinct values that arrive in batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

_NUMBER, _AT = "#number", "#at"


class Numbering:
    """Gives every distinct row of some columns the number of its first appearance.

    The values are kept once, however often they appear.
    """

    def __init__(self) -> None:
        self._known: pl.DataFrame | None = None

    def __len__(self) -> int:
        return 0 if self._known is None else len(self._known)

    def numbers(self, rows: pl.DataFrame) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the number of every row, -1 where a value is null, and where new ones are.

        The new ones are numbered in order; ``rows`` has the same columns in every call.
        """
        on = rows.columns
        frame = rows.with_row_index(_AT)
        distinct = frame.drop_nulls().unique(on, keep="first").sort(_AT)
        at = distinct[_AT].to_numpy().astype(np.int64)
        number = np.full(len(rows), -1, dtype=np.int32)
        if self._known is not None:
            # Inner: the hash table is built of the smaller side, which is the batch.
            found = distinct.join(self._known, on=on, how="inner")
            number[found[_AT].to_numpy()] = found[_NUMBER].to_numpy()
        new = at[number[at] < 0]
        number[new] = np.arange(len(self), len(self) + len(new), dtype=np.int32)
        self._keep(rows[new], number[new])
        codes = distinct.select(*on, pl.Series(_NUMBER, number[at]))
        joined = frame.join(codes, on=on, how="inner")
        number[joined[_AT].to_numpy()] = joined[_NUMBER].to_numpy()
        return number, new

    def _keep(self, values: pl.DataFrame, number: NDArray[np.int32]) -> None:
        # By way of a list: Polars' own selection would keep the text of the whole batch alive.
        copies = [pl.Series(c.name, c.to_list(), c.dtype) for c in values.get_columns()]
        new = pl.DataFrame([*copies, pl.Series(_NUMBER, number)])
        self._known = new if self._known is None else self._known.extend(new)

    def values(self, column: str) -> list[Any]:
        """Return the values of a column in the order of their numbers."""
        return [] if self._known is None else self._known[column].to_list()
