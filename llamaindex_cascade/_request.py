"""From LlamaIndex's messages to what a decision may look at, in time that no history lengthens."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from cascade_core import InvalidConfiguration, Request

# How far back the last user turn is looked for; behind it lie an agent's tool calls and results.
_LAST_MESSAGES = 8
# The instruction of a long turn stands at its beginning or at its end: both are kept.
_HALF_OF_A_TURN = 2_000


def about_messages(
    messages: Sequence[ChatMessage], unavailable: frozenset[int] = frozenset()
) -> Request:
    """Return the request whose text is the last user turn.

    Raises:
        InvalidConfiguration: There is no message.
    """
    if not messages:
        raise InvalidConfiguration(
            "A chat needs at least one message, got none. Give "
            '[ChatMessage(role="user", content=...)].'
        )
    return Request(_last_turn(messages), unavailable=unavailable)


def about_prompt(prompt: str) -> Request:
    """Return the request for a completion."""
    return Request(_bounded(prompt))


def about_tools(
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    unavailable: frozenset[int],
) -> Request:
    """Return the request for a chat with tools; the user's message comes after the history."""
    if isinstance(user_msg, str):
        return Request(_bounded(user_msg), unavailable=unavailable)
    messages = [user_msg] if user_msg is not None else chat_history or ()
    return about_messages(messages, unavailable)


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    """Return the texts of all messages, for counting their tokens."""
    return [message.content or "" for message in messages]


def _last_turn(messages: Sequence[ChatMessage]) -> str:
    recent = [messages[-i] for i in range(1, min(_LAST_MESSAGES, len(messages)) + 1)]
    turn = next((m for m in recent if m.role == MessageRole.USER), recent[0])
    return _bounded("\n".join(b.text for b in turn.blocks if isinstance(b, TextBlock)))


def _bounded(text: str) -> str:
    if len(text) <= 2 * _HALF_OF_A_TURN:
        return text
    return f"{text[:_HALF_OF_A_TURN]}\n…\n{text[-_HALF_OF_A_TURN:]}"
