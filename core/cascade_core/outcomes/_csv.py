"""Outcomes from a CSV file, in blocks that end where a record ends."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

import polars as pl

from cascade_core.outcomes._layout import BATCH_BYTES, RECORD_LIMIT, Layout, Place

_BOM = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'"[^"]*(?:"|$)')


@dataclass(frozen=True, slots=True)
class CsvSource:
    """A CSV file: comma, double quotes, UTF-8, one header row that is row 1."""

    place: Place
    columns: tuple[str, ...]
    header_bytes: int

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the header."""
        place = Place(path, "row {} (the header is row 1)", 2)
        with path.open("rb") as file:
            # -1: what is read next, the header, is one row before the data.
            header, _ = _record_end(place, file, b"", row=-1, size=1 << 16)
        if not header.strip(_BOM + b"\r\n"):
            raise place.error("the file is empty." if not header else "the header is blank.", -1)
        first = header[: _first_record(header)]
        text = _utf8(place, first, row=-1).removeprefix("\ufeff")
        try:
            columns = next(csv.reader([text], strict=True))
        except csv.Error as error:
            raise place.error(f"the header cannot be read: {error}.", -1) from error
        return cls(place, tuple(columns), len(first))

    def batches(self, layout: Layout) -> Iterator[pl.DataFrame]:
        """Yield the rows in order."""
        row = 0
        with self.place.path.open("rb") as file:
            file.seek(self.header_bytes)
            rest = b""
            while True:
                block, rest = _record_end(self.place, file, rest, row, BATCH_BYTES)
                if not rest and _at_end(file):
                    block = block.rstrip(b"\r\n")
                if not block:
                    return
                frame = self._parse(block, row, layout)
                yield frame
                row += len(frame)

    def _parse(self, block: bytes, row: int, layout: Layout) -> pl.DataFrame:
        # Own names: those of the file need no quoting then.
        names = [f"c{i}" for i in range(len(self.columns))]
        index = {column: names[i] for i, column in enumerate(self.columns)}
        wanted = [index[c] for c in layout.columns]
        header = ",".join(names).encode() + b"\n"
        try:
            raw = pl.read_csv(
                header + block,
                infer_schema=False,
                columns=list(dict.fromkeys([*wanted, names[-1]])),
            )
        except pl.exceptions.PolarsError as error:
            _utf8(self.place, block, row, self.columns)
            self._check_width(block, row)
            last = row + block.count(b"\n")
            raise self.place.error(
                f"a quote is misplaced in this row or in the up to {last - row} after it "
                f"({str(error).splitlines()[0]}).",
                row,
            ) from error
        if raw[names[-1]].null_count():
            # Polars fills up a record that is too short.
            self._check_width(block, row)
        texts = [raw[index[c]].alias(c) for c in layout.texts]
        numbers = [self._number(raw[index[c]].alias(c), row) for c in layout.numbers]
        return pl.DataFrame([*texts, *numbers])

    def _number(self, texts: pl.Series, row: int) -> pl.Series:
        numbers = texts.cast(pl.Float64, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
        plain = texts.str.strip_chars().str.to_lowercase()
        plain = plain.replace(["", "true", "false"], [None, "1", "0"])
        numbers = plain.cast(pl.Float64, strict=False)
        bad = (numbers.is_null() & plain.is_not_null()).arg_true()
        if len(bad):
            raise self.place.error(
                f"a number is needed, got {_short(texts[bad[0]])}.", row + bad[0], texts.name
            )
        return numbers

    def _check_width(self, block: bytes, row: int) -> None:
        """Raise if a record has more or fewer fields than the header."""
        width = len(self.columns)
        for i, record in enumerate(_QUOTED.sub(b"", block).splitlines()):
            fields = record.count(b",") + 1
            if not record and width > 1:
                # What was quoted is gone, so an empty record may be one quoted field.
                fields = 0
            if fields != width:
                raise self.place.error(
                    f"{fields or 'no'} columns where the header has {width}.", row + i
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _at_end(file: BinaryIO) -> bool:
    ahead = file.read(1)
    file.seek(-len(ahead), 1)
    return not ahead


def _record_end(
    place: Place, file: BinaryIO, rest: bytes, row: int, size: int
) -> tuple[bytes, bytes]:
    """Return whole records and the start of the next one; all that is left at the file's end."""
    block = rest
    while True:
        # Doubling: a record that is larger than a block is not scanned again and again.
        more = file.read(max(size, len(block)))
        block += more
        if not more:
            return block, b""
        end = _last_record_end(block)
        if end:
            return block[:end], block[end:]
        if len(block) > RECORD_LIMIT:
            raise place.error(
                f"this row is longer than {RECORD_LIMIT >> 20} MiB; a quote may not be closed.", row
            )


def _last_record_end(block: bytes) -> int:
    """Return where the last whole record ends: after a newline that is not inside quotes."""
    inside = block.count(b'"') % 2
    end, after = len(block), 0
    while (newline := block.rfind(b"\n", 0, end)) >= 0:
        after += block.count(b'"', newline, end)
        if (inside - after) % 2 == 0:
            return newline + 1
        end = newline
    return 0


def _first_record(block: bytes) -> int:
    """Return where the first record ends."""
    quotes, start = 0, 0
    while (newline := block.find(b"\n", start)) >= 0:
        quotes += block.count(b'"', start, newline)
        start = newline + 1
        if quotes % 2 == 0:
            return start
    return len(block)


def _utf8(place: Place, block: bytes, row: int, columns: tuple[str, ...] = ()) -> str:
    """Return the text; the error names the row and the column that is not UTF-8."""
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError as error:
        before = _QUOTED.sub(b"", block[: error.start])
        field = before.rsplit(b"\n", 1)[-1].count(b",")
        raise place.error(
            f"not UTF-8 (byte 0x{block[error.start]:02x}). Save the file as UTF-8.",
            row + before.count(b"\n"),
            columns[field] if field < len(columns) else None,
        ) from error
