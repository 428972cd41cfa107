"""Codes of equal answers, for whole columns; what equal means is in ``_answer_key``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cascade_core._answer_key import (
    BOXED,
    END,
    HASHES,
    MARKED_NUMBER,
    SAID,
    START,
    WITH_MARKS,
    ZEROS,
)

if TYPE_CHECKING:
    import polars as pl

_BLOCK = 4_000_000


def answer_keys(answers: pl.Series) -> pl.Series:
    """Return text that is equal for equal answers, same length; null where there is none."""
    text = _final(answers).str.to_lowercase()
    if text.str.contains(r"\s\s|[^\S ]").any():
        text = text.str.replace_all(r"\s+", " ")
    text = text.str.strip_chars_start(START).str.strip_chars_end(END)
    number = text.str.contains(WITH_MARKS)
    if number.any():
        plain = text.str.replace_all(",", "", literal=True).str.replace(ZEROS, "$1")
        text = plain.zip_with(number.fill_null(False), text)
    return text.set(text == "", None)


def _final(answers: pl.Series) -> pl.Series:
    """Return the marked final answers, and the others whole."""
    said = _extract(answers, "(?i)answer", SAID, answers)
    hashes = _extract(answers, "####", HASHES, said)
    number = _extract(hashes, "", MARKED_NUMBER, hashes)
    marked = number.zip_with(answers.str.contains("####", literal=True).fill_null(False), said)
    return _extract(answers, r"\\boxed", BOXED, marked)


def _extract(texts: pl.Series, mark: str, pattern: str, otherwise: pl.Series) -> pl.Series:
    """Return what the pattern finds in the texts that have the mark; the mark is cheap to see."""
    there = texts.str.contains(mark)
    if not there.any():
        return otherwise
    found = texts.str.extract(pattern)
    return found.zip_with(found.is_not_null(), otherwise)


def codes_within_rows(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Replace every key by the first column of its row that has the same; -1 stays.

    Args:
        keys: Shape (n, m), changed in place: numbers that are equal for equal answers.
    """
    n, m = keys.shape
    step = max(1, _BLOCK // (m * m))
    for start in range(0, n, step):
        block: NDArray[Any] = keys[start : start + step]
        first = (block[:, :, None] == block[:, None, :]).argmax(axis=2)
        keys[start : start + step] = np.where(block == -1, -1, first)
    return keys
