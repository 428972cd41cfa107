"""Outcomes from a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import polars as pl

from cascade_core.outcomes._layout import RECORD_LIMIT, Layout, Place

_ROWS = 50_000
_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class JsonlSource:
    """A file of JSON objects, one a line; the first line has the keys of all.

    A later line may leave keys out, which means none, but bring no key that would be read.
    """

    place: Place
    columns: tuple[str, ...]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the first line."""
        place = Place(path, "line {}", 1)
        with path.open("rb") as file:
            line = _line(place, file, 0)
        if not line.strip():
            raise place.error("the file is empty." if not line else "the line is blank.", 0)
        return cls(place, tuple(_record(place, line.removeprefix(b"\xef\xbb\xbf"), 0)))

    def batches(self, layout: Layout) -> Iterator[pl.DataFrame]:
        """Yield the rows in order."""
        row, blank = 0, None
        with self.place.path.open("rb") as file:
            file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)
            records: list[dict[str, Any]] = []
            size = 0
            while line := _line(self.place, file, row + len(records)):
                at = row + len(records)
                if blank is not None:
                    raise self.place.error("the line is blank; remove it.", blank)
                if not line.strip():
                    blank = at  # good at the end of the file
                    continue
                records.append(_record(self.place, line, at))
                size += len(line)
                if len(records) == _ROWS or size > _BYTES:
                    yield self._frame(records, row, layout)
                    row, records, size = at + 1, [], 0
            if records:
                yield self._frame(records, row, layout)

    def _frame(self, records: list[dict[str, Any]], row: int, layout: Layout) -> pl.DataFrame:
        self._check_keys(records, row)
        texts = [self._column(records, row, c, pl.String(), _text) for c in layout.texts]
        numbers = [self._column(records, row, c, pl.Float64(), _number) for c in layout.numbers]
        return pl.DataFrame([*texts, *numbers])

    def _check_keys(self, records: list[dict[str, Any]], row: int) -> None:
        known = frozenset(self.columns)
        for i, record in enumerate(records):
            if record.keys() <= known:
                continue
            late = sorted(record.keys() - known)
            raise self.place.error(
                f"the keys {late} are not in line 1. Give line 1 every key, with null for none.",
                row + i,
                late[0],
            )

    def _column(
        self,
        records: list[dict[str, Any]],
        row: int,
        name: str,
        kind: pl.DataType,
        convert: Callable[[Any], Any],
    ) -> pl.Series:
        values: list[Any] = []
        for i, record in enumerate(records):
            try:
                values.append(convert(record.get(name)))
            except (TypeError, ValueError, OverflowError) as error:
                raise self.place.error(f"{error}.", row + i, name) from error
        return pl.Series(name, values, dtype=kind)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        value.encode("utf-8")  # half of a surrogate pair is JSON, but no text
        return value
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise TypeError(f"text is needed, got {_short(value)}")


def _number(value: Any) -> float | None:
    if value is None or type(value) is float:
        return value
    if isinstance(value, int):
        return float(value)
    raise TypeError(f"a number is needed, got {_short(value)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(place: Place, file: BinaryIO, row: int) -> bytes:
    line = file.readline(RECORD_LIMIT)
    if len(line) == RECORD_LIMIT and not line.endswith(b"\n"):
        raise place.error(f"the line is longer than {RECORD_LIMIT >> 20} MiB.", row)
    return line


def _record(place: Place, line: bytes, row: int) -> dict[str, Any]:
    try:
        record: object = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise place.error(
            f"not UTF-8 (byte 0x{line[error.start]:02x}). Save the file as UTF-8.",
            row,
            _column_that_is_not_utf8(line),
        ) from error
    except (ValueError, RecursionError) as error:
        raise place.error(f"not JSON: {error}.", row) from error
    if not isinstance(record, dict):
        raise place.error(f"an object is needed, got {_short(record)}.", row)
    return cast("dict[str, Any]", record)


def _column_that_is_not_utf8(line: bytes) -> str | None:
    try:
        record: object = json.loads(line.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    items = cast("dict[str, Any]", record).items()
    return next((k for k, v in items if "\ufffd" in f"{k}{v}"), None)
