"""What of a conversation a decision may look at, in time that no history lengthens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
) -> Request:
    """Return the request whose text is the last user turn, or the last message if there is none.

    Args:
        messages: The conversation, in a framework's own messages.
        is_user: True for a message of the user.
        text_of: The text of a message; asked of one message only.
        unavailable: The arms that cannot serve this request.

    Raises:
        InvalidConfiguration: There is no message.
    """
    if not messages:
        raise InvalidConfiguration(
            "A chat needs at least one message, got none. Give the user's question."
        )
    recent = [messages[-i] for i in range(1, min(_LAST_MESSAGES, len(messages)) + 1)]
    turn = next(filter(is_user, recent), recent[0])
    return request_for(text_of(turn), unavailable)


def request_for(text: str, unavailable: frozenset[int] = frozenset()) -> Request:
    """Return the request for a prompt; of a long one, its beginning and its end.

    Examples:
        >>> len(request_for("word " * 100_000).text)
        4003
    """
    if len(text) > 2 * _HALF_OF_A_TURN:
        text = f"{text[:_HALF_OF_A_TURN]}\n…\n{text[-_HALF_OF_A_TURN:]}"
    return Request(text, unavailable=unavailable)
