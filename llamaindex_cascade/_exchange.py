"""What is asked and how it is read: the part of an entry point that is not the call itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from cascade_core import Reply, Request
from llamaindex_cascade._reply import Prompt, read_chat, read_completion, shows, stamped

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Exchange(Generic[C, R]):
    """One request, and how what a model returns becomes a reply and then the user's answer.

    Attributes:
        request: What the decision may look at.
        read: Makes the core's reply of the chunks of one call; a whole response is one chunk.
        shows: True if a chunk shows something to the user.
        passed: Makes the user's chunk of one that more follow, given the name of its model.
        ended: Makes the user's answer, or last chunk, given the report on the whole request.
    """

    request: Request
    read: Callable[[Sequence[C]], Reply[C]]
    shows: Callable[[C], bool]
    passed: Callable[[C, str], R]
    ended: Callable[[C, Mapping[str, Any]], R]


def chat_exchange(request: Request, prompt: Prompt) -> Exchange[ChatResponse, ChatResponse]:
    """Return the exchange of a chat, with or without tools."""
    return Exchange(request, partial(read_chat, prompt), shows, _passed_chat, stamped)


def completion_exchange(
    request: Request, prompt: Prompt
) -> Exchange[CompletionResponse, CompletionResponse]:
    """Return the exchange of a completion."""
    return Exchange(request, partial(read_completion, prompt), shows, _passed_completion, stamped)


def _passed_chat(chunk: ChatResponse, model: str) -> ChatResponse:
    # Agents look for tool calls in every chunk, and only the model that wrote it can read them.
    return stamped(chunk, {"answered_by": model})


def _passed_completion(chunk: CompletionResponse, model: str) -> CompletionResponse:
    return chunk
