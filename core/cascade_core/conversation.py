"""What of a conversation a decision may look at, in time that no history lengthens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar

from cascade_core._types import Request
from cascade_core.errors import InvalidConfiguration

M = TypeVar("M")

# How far back the last user turn is looked for; behind it lie an agent's tool calls and results.
_LAST_MESSAGES = 8
# The instruction of a long turn stands at its beginning or at its end: both are kept.
_HALF_OF_A_TURN = 2_000


def request_about(
    messages: Sequence[M],
    is_user: Callable[[M], bool],
    text_of: Callable[[M], str],
    unavailable: frozenset[int] = frozenset(),
    run: str = "",
) -> Request:
    """Return the request whose text is the last user turn, or the last message if there is none.

    Args:
        messages: The conversation, in a framework's own messages.
        is_user: True for a message of the user.
        text_of: The text of a message; asked of one message only.
        unavailable: The arms that cannot serve this request.
        run: What tells this run from others, as in ``request_for``.

    Raises:
        InvalidConfiguration: There is no message.
    """
    if not messages:
        raise InvalidConfiguration(
            "A chat needs at least one message, got none. Give the user's question."
        )
    recent = [messages[-i] for i in range(1, min(_LAST_MESSAGES, len(messages)) + 1)]
    turn = next(filter(is_user, recent), recent[0])
    return request_for(text_of(turn), unavailable, run)


def request_for(text: str, unavailable: frozenset[int] = frozenset(), run: str = "") -> Request:
    """Return the request for a prompt; of a long one, its beginning and its end.

    Args:
        text: The prompt.
        unavailable: The arms that cannot serve this request.
        run: What tells this run from others, such as its id; the text itself if there is nothing.
            A hash of it is the request's draw, so the same run is decided the same way again.

    Examples:
        >>> len(request_for("word " * 100_000).text)
        4003
    """
    if len(text) > 2 * _HALF_OF_A_TURN:
        text = f"{text[:_HALF_OF_A_TURN]}\n…\n{text[-_HALF_OF_A_TURN:]}"
    return Request(text, unavailable=unavailable, draw=draw_of(run or text))


def draw_of(run: str) -> float:
    """Return a number in [0, 1) that looks random and is always the same for ``run``.

    Examples:
        >>> draw_of("run 1") == draw_of("run 1") != draw_of("run 2")
        True
    """
    digest = blake2b(run.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits: as many as a float below 1 holds, so that it never rounds up to 1.
    return (int.from_bytes(digest, "big") >> 11) * 2.0**-53
