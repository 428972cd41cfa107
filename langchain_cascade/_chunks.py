"""The chunks of a stream: read from a child, and shown to the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks

from cascade_core import Outcome
from langchain_cascade._messages import KEY, accepted, as_message, lasting_id


def as_chunk(given: object, name: str) -> AIMessageChunk:
    """Return what a child's stream gave as a chunk; a child without streams gives whole messages.

    Raises:
        InvalidConfiguration: The child gave something else.
    """
    if isinstance(given, AIMessageChunk):
        return given
    message = as_message(given, name)
    return AIMessageChunk(
        content=cast("Any", message.content),
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        tool_calls=message.tool_calls,
        invalid_tool_calls=message.invalid_tool_calls,
        usage_metadata=message.usage_metadata,
        id=message.id,
    )


def merged(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    """Return the message that the chunks make up."""
    if not chunks:
        return AIMessage(content="")
    whole = chunks[0] if len(chunks) == 1 else add_ai_message_chunks(chunks[0], *chunks[1:])
    return as_message(whole, "")


def shows(chunk: AIMessageChunk) -> bool:
    """Tell whether a chunk shows the user anything: text, a thought, a part of a tool call."""
    return bool(chunk.content or chunk.tool_call_chunks or _reasoning(chunk))


def passed(chunk: AIMessageChunk) -> AIMessageChunk:
    """Return the user's copy of a child's chunk: not the last one, and without a report."""
    metadata = cast("dict[str, Any]", chunk.response_metadata)
    return chunk.model_copy(
        update={
            "id": lasting_id(chunk),
            "chunk_position": None,
            # A cascade as a child reports in its last chunk: two reports would be added up.
            "response_metadata": {k: v for k, v in metadata.items() if k != KEY},
        }
    )


def ended(outcome: Outcome[AIMessage]) -> AIMessageChunk:
    """Return the last chunk of the answer: no text, and the one report.

    Raises:
        CascadeAbstained: The policy chose to give no answer.
    """
    plain = isinstance(cast("object", accepted(outcome).value.content), str)
    return AIMessageChunk(
        content="" if plain else [],
        chunk_position="last",
        response_metadata={KEY: outcome.report()},
    )


def _reasoning(chunk: AIMessageChunk) -> object:
    return cast("dict[str, Any]", chunk.additional_kwargs).get("reasoning_content")
