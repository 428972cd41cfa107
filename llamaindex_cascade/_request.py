"""From LlamaIndex's messages to what a decision may look at, in time that no history lengthens."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock

from cascade_core import Request
from cascade_core.conversation import request_about, request_for


def about_messages(
    messages: Sequence[ChatMessage], unavailable: frozenset[int] = frozenset()
) -> Request:
    """Return the request whose text is the last user turn.

    Raises:
        InvalidConfiguration: There is no message.
    """
    return request_about(messages, _is_user, _text, unavailable)


def about_prompt(prompt: str) -> Request:
    """Return the request for a completion."""
    return request_for(prompt)


def about_tools(
    user_msg: str | ChatMessage | None,
    chat_history: Sequence[ChatMessage] | None,
    unavailable: frozenset[int],
) -> Request:
    """Return the request for a chat with tools; the user's message comes after the history."""
    if isinstance(user_msg, str):
        return request_for(user_msg, unavailable)
    messages = [user_msg] if user_msg is not None else chat_history or ()
    return about_messages(messages, unavailable)


def texts(messages: Sequence[ChatMessage]) -> list[str]:
    """Return the texts of all messages, for counting their tokens.

    Not ``message.content``: it costs more than the counting does.
    """
    return [b.text for message in messages for b in message.blocks if isinstance(b, TextBlock)]


def _is_user(message: ChatMessage) -> bool:
    return message.role == MessageRole.USER


def _text(message: ChatMessage) -> str:
    return "\n".join(texts([message]))
