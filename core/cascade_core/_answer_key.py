"""When two answers are the same.

Free text says one thing in many ways. Compared is what is left after this, in order:

1. The marked final answer, if there is one: the last ``\\boxed{...}``, else what follows the last
   ``####`` on its line, else what follows the last "answer is" or "answer:" up to the sentence's
   end. A chain of thought without a mark is compared whole.
2. Lower case, white space collapsed, and punctuation, brackets, quotes and dollar signs at both
   ends removed.
3. Of a number: no thousands separators, no zeros after the point.

An answer of which nothing is left counts as none. The patterns mean the same to Python and to
Polars, which compares whole columns in ``outcomes/answers.py``.
"""

from __future__ import annotations

import re
from hashlib import blake2b

BOXED = r"(?s).*\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"
HASHES = r"(?s).*####[ \t]*([^\n]*)"
SAID = r"(?is).*\banswer(?:\s+is\b|\s*:)[\s:*]*(.+?)(?:[.!?](?:\s|$)|\n|$)"
START = " \t\r\n\"'`“”‘’()[]{}*$"
END = START + ".,;:!?…。"
# With a unit after it, "18 dollars", the number is the answer; "3/4" and "1:30" are not 3 and 1.
MARKED_NUMBER = r"^\$?(-?\d[\d,]*(?:\.\d+)?)(?:\s+[a-zA-Z%]|%|\.?\s*$)"
WITH_MARKS = r"^-?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+\.\d+)$"
ZEROS = r"\.0*$|(\.\d*?)0+$"


def answer_text(answer: str) -> str | None:
    """Return text that is equal for equal answers; None where there is no answer.

    Examples:
        >>> answer_text("So we get 1,234.50 in all. #### $1,234.50"), answer_text("(B).")
        ('1234.5', 'b')
    """
    text = re.sub(r"\s+", " ", _final(answer).lower())
    text = text.lstrip(START).rstrip(END)
    if re.search(WITH_MARKS, text):
        text = re.sub(ZEROS, lambda found: found[1] or "", text.replace(",", ""), count=1)
    return text or None


def answer_key(answer: str) -> str | None:
    """Return a hash that is equal for equal answers, so that no answer need be kept."""
    text = answer_text(answer)
    return None if text is None else blake2b(text.encode(), digest_size=12).hexdigest()


def _final(answer: str) -> str:
    boxed = re.search(BOXED, answer) if "\\boxed" in answer else None
    if boxed:
        return boxed[1]
    marked = re.search(HASHES, answer) if "####" in answer else None
    if marked:
        number = re.search(MARKED_NUMBER, marked[1])
        return number[1] if number else marked[1]
    said = re.search(SAID, answer)
    return said[1] if said else answer
