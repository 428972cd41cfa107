"""Text to token ids and back: one token a word, a digit or a mark, and spaces are restored."""

import re
from collections.abc import Sequence

from .problems import MONTHS, NAMES, NUMBER_WORDS, THINGS, UNITS, WEEKDAYS

_MARKS = tuple(".,?:+-=")
_WORDS = (
    "a add after ago and are away before biggest box boxes by comes convert date day divided "
    "does earlier for from gave gets gives had has have holds how in is it largest later left "
    "lowest many minus more multiply next number of or plus remainder remains smallest start "
    "subtract sum take taken the then time times to today was what when which will with be "
    "x"
)

# Display text of every token; the id of a token is its place here, so the order is part of the
# weights: a new word goes to the end, and the models are trained again.
VOCABULARY: tuple[str, ...] = tuple(
    dict.fromkeys(
        (
            "<pad>",
            "<unknown>",
            "<reply>",
            "<end>",
            *"0123456789",
            *_MARKS,
            *WEEKDAYS,
            *MONTHS,
            *NAMES,
            *THINGS,
            *(name for unit in UNITS for name in unit[:2]),
            *NUMBER_WORDS,
            *_WORDS.split(),
        )
    )
)
PAD, UNKNOWN, REPLY, END = range(4)

_IDS = {text.lower(): i for i, text in enumerate(VOCABULARY) if i > END}
_PIECE = re.compile(r"[a-z]+|(?<=\d)\s+(?=\d)|\S")


def encode(text: str) -> list[int]:
    """Token ids of any text; what the vocabulary lacks becomes UNKNOWN.

    White space carries nothing but between two digits, where it parts two numbers (as UNKNOWN).
    """
    return [_IDS.get(piece, UNKNOWN) for piece in _PIECE.findall(text.lower())]


def piece(token: int, previous: int | None) -> str:
    """Text of a token after `previous`, with the space that belongs before it.

    Words stand apart from words and numbers; digits and marks join what precedes them.
    """
    text = VOCABULARY[token]
    if previous is None or not text[0].isalnum():
        return text
    joined = text.isdigit() and not VOCABULARY[previous][0].isalpha()
    return text if joined else f" {text}"


def decode(tokens: Sequence[int]) -> str:
    """Text of a sequence of tokens.

    Examples:
        >>> decode(encode("april 16"))
        'April 16'
    """
    previous: list[int | None] = [None, *tokens]
    return "".join(map(piece, tokens, previous))
