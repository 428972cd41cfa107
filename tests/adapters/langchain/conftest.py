"""Models without a network: what each says is written down, and what each was asked is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from langchain_cascade import CascadeRouterLLM

USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


class FakeModel(BaseChatModel):
    """Says its texts in turn, the last one again and again; streams them word by word.

    Args:
        model_name: Its name, as providers have one.
        says: Texts, messages, or exceptions to raise.
        dies_after: Chunks after which a stream breaks, with ``ConnectionError``.
        states_usage: False for a provider that counts no tokens.
    """

    model_name: str = "fake"
    says: list[Any] = Field(default_factory=lambda: ["fine"])
    dies_after: int | None = None
    states_usage: bool = True
    asked: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list)
    closed: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "says": [str(each) for each in self.says]}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:  # type: ignore[override]
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def next_message(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        said = self.says[min(len(self.asked), len(self.says) - 1)]
        self.asked.append((list(messages), kwargs))
        if isinstance(said, Exception):
            raise said
        message = AIMessage(said) if isinstance(said, str) else said
        metadata = {"model_name": self.model_name, "finish_reason": "stop"}
        return message.model_copy(
            update={
                "response_metadata": {**metadata, **message.response_metadata},
                "usage_metadata": dict(USAGE) if self.states_usage else None,
            }
        )

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        message = self.next_message(messages, kwargs)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return self._generate(messages, **kwargs)

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        try:
            for count, chunk in enumerate(pieces(self.next_message(messages, kwargs))):
                if count == self.dies_after:
                    raise ConnectionError("died in mid-stream")
                generation = ChatGenerationChunk(message=chunk)
                if run_manager:
                    run_manager.on_llm_new_token(chunk.content, chunk=generation)
                yield generation
        finally:
            self.closed.append(1)

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            for count, chunk in enumerate(pieces(self.next_message(messages, kwargs))):
                if count == self.dies_after:
                    raise ConnectionError("died in mid-stream")
                yield ChatGenerationChunk(message=chunk)
        finally:
            self.closed.append(1)


def pieces(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Return the chunks of a message as OpenAI cuts them: usage comes after the last word."""
    words = str(message.content).split(" ")
    for place, word in enumerate(words if message.content else []):
        yield AIMessageChunk(word if place == 0 else f" {word}")
    for index, call in enumerate(message.tool_calls):
        written = json.dumps(call["args"])
        half = len(written) // 2
        for part, text in enumerate((written[:half], written[half:])):
            chunk: Any = {
                "name": call["name"] if part == 0 else None,
                "id": call["id"] if part == 0 else None,
                "args": text,
                "index": index,
                "type": "tool_call_chunk",
            }
            yield AIMessageChunk(content="", tool_call_chunks=[chunk])
    yield AIMessageChunk(
        content="",
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )


def make_fake(*says: Any, name: str = "fake", **fields: Any) -> FakeModel:
    """Return a fake that says these things."""
    return FakeModel(model_name=name, says=list(says) or ["fine"], **fields)


NAMES: dict[int, list[str]] = {
    1: ["strong"],
    2: ["cheap", "strong"],
    3: ["cheap", "middle", "strong"],
}


def make_router(*children: Any, **options: Any) -> CascadeRouterLLM:
    """Return a router of priced children; drafts that contain the word "draft" are rejected."""
    models = dict(zip(NAMES[len(children)], children, strict=True))
    prices = {
        name: (1.0 * 10**place, 4.0 * 10**place)
        for place, (name, model) in enumerate(models.items())
        if not isinstance(model, CascadeRouterLLM)  # states its own cost
    }
    options.setdefault("validators", {"no_draft": lambda reply: "draft" not in reply.text})
    options.setdefault("prices", prices)
    return CascadeRouterLLM(models, **options)


@pytest.fixture
def fake() -> Callable[..., FakeModel]:
    return make_fake


@pytest.fixture
def router() -> Callable[..., CascadeRouterLLM]:
    return make_router


class Tokens(BaseCallbackHandler):
    """Prints tokens, as StreamingStdOutCallbackHandler does, into a list."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.starts: list[str] = []
        self.ends: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.starts.append(kwargs["name"])

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response)


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()
