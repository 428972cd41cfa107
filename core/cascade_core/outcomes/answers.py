"""When two answers are the same.

Free text says one thing in many ways. Compared is what is left after this, in order:

1. The marked final answer, if there is one: the last ``\\boxed{...}``, else what follows the last
   ``####`` on its line, else what follows the last "answer is" or "answer:" up to the sentence's
   end. A chain of thought without a mark is compared whole.
2. Lower case, white space collapsed, and punctuation, brackets, quotes and dollar signs at both
   ends removed.
3. Of a number: no thousands separators, no zeros after the point.

An answer of which nothing is left counts as none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

_BOXED = r"(?s).*\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
_HASHES = r"(?s).*####[ \t]*([^\n]*)"
_SAID = r"(?is).*\banswer(?:\s+is\b|\s*:)[\s:*]*(.+?)(?:[.!?](?:\s|$)|\n|$)"
_START = " \t\r\n\"'`“”‘’()[]{}*$"
_END = _START + ".,;:!?…。"
# With a unit after it, "18 dollars", the number is the answer; "3/4" and "1:30" are not 3 and 1.
_MARKED_NUMBER = r"^\$?(-?\d[\d,]*(?:\.\d+)?)(?:\s+[a-zA-Z%]|%|\.?\s*$)"
_WITH_MARKS = r"^-?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)$"
_ZEROS = r"\.0*$|(\.\d*?)0+$"
_BLOCK = 4_000_000


def answer_keys(answers: pl.Series) -> pl.Series:
    """Return text that is equal for equal answers, same length; null where there is none."""
    text = _final(answers).str.to_lowercase()
    if text.str.contains(r"\s\s|[^\S ]").any():
        text = text.str.replace_all(r"\s+", " ")
    text = text.str.strip_chars_start(_START).str.strip_chars_end(_END)
    number = text.str.contains(_WITH_MARKS)
    if number.any():
        plain = text.str.replace_all(",", "", literal=True).str.replace(_ZEROS, "$1")
        text = plain.zip_with(number.fill_null(False), text)
    return text.set(text == "", None)


def _final(answers: pl.Series) -> pl.Series:
    """Return the marked final answers, and the others whole."""
    said = _extract(answers, "(?i)answer", _SAID, answers)
    hashes = _extract(answers, "####", _HASHES, said)
    number = _extract(hashes, "", _MARKED_NUMBER, hashes)
    marked = number.zip_with(answers.str.contains("####", literal=True).fill_null(False), said)
    return _extract(answers, r"\\boxed", _BOXED, marked)


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
