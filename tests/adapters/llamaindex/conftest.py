"""One scripted server and one client per model for the folder; a cascade over them per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.settings import Settings
from llama_index.llms.openai_like import OpenAILike
from pydantic import Field

from cascade_core import Price
from llamaindex_cascade import CascadeRouterLLM
from scripted_server import ScriptedServer, Text

MODELS = ("cheap", "middle", "strong")
PRICES = {
    "cheap": Price(input=1.0, output=2.0, cached_input=0.1),
    "middle": Price(input=10.0, output=20.0),
    "strong": Price(input=100.0, output=200.0),
}
GOOD = {model: [Text(f"the answer of {model}")] for model in MODELS}

Child = Callable[..., OpenAILike]
Cascade = Callable[..., CascadeRouterLLM]
Response = ChatResponse | CompletionResponse
Entry = Callable[[CascadeRouterLLM, str], Awaitable[Sequence[Response]]]


def user(text: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.USER, content=text)]


async def _chat(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [llm.chat(user(text))]


async def _achat(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [await llm.achat(user(text))]


async def _stream_chat(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return list(llm.stream_chat(user(text)))


async def _astream_chat(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [chunk async for chunk in await llm.astream_chat(user(text))]


async def _complete(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [llm.complete(text)]


async def _acomplete(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [await llm.acomplete(text)]


async def _stream_complete(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return list(llm.stream_complete(text))


async def _astream_complete(llm: CascadeRouterLLM, text: str) -> list[Response]:
    return [chunk async for chunk in await llm.astream_complete(text)]


ENTRIES: dict[str, Entry] = {
    "chat": _chat,
    "achat": _achat,
    "stream_chat": _stream_chat,
    "astream_chat": _astream_chat,
    "complete": _complete,
    "acomplete": _acomplete,
    "stream_complete": _stream_complete,
    "astream_complete": _astream_complete,
}


def text_of(response: Response) -> str:
    if isinstance(response, ChatResponse):
        return response.message.content or ""
    return response.text


class FakeLLM(FunctionCallingLLM):
    """An instant model that says what it is told to, with usage, or raises."""

    model: str = "fake"
    says: Any = "fake answer"
    calls: list[Any] = Field(default_factory=list)
    window: int = 4096
    tools: bool = True

    @classmethod
    def class_name(cls) -> str:
        return "FakeLLM"

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=self.window,
            is_chat_model=True,
            is_function_calling_model=self.tools,
            model_name=self.model,
        )

    def _respond(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> ChatResponse:
        self.calls.append((messages, dict(kwargs)))
        said = self.says(messages) if callable(self.says) else self.says
        if isinstance(said, Exception):
            raise said
        if isinstance(said, ChatResponse):
            return said
        return ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=said)]),
            raw={"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._respond(messages, kwargs)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._respond(messages, kwargs)

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        def chunks() -> Iterator[ChatResponse]:
            yield from _in_words(self._respond(messages, kwargs))

        return chunks()

    @llm_chat_callback()
    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        async def chunks() -> Any:
            for chunk in _in_words(self._respond(messages, kwargs)):
                yield chunk

        return chunks()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _prepare_chat_with_tools(
        self,
        tools: Any,
        user_msg: Any = None,
        chat_history: Any = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        history = chat_history or []
        if user_msg is not None:  # what the OpenAI integration does to its caller's list
            history.append(user_msg if isinstance(user_msg, ChatMessage) else user(user_msg)[0])
        return {
            "messages": history,
            "tools": [tool.metadata.name for tool in tools],
            "tool_required": tool_required,
            **kwargs,
        }


def _in_words(response: ChatResponse) -> Iterator[ChatResponse]:
    so_far = ""
    for word in (response.message.content or "").split(" "):
        delta = f" {word}" if so_far else word
        so_far += delta
        message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=so_far)])
        yield ChatResponse(message=message, delta=delta, raw=response.raw)


@pytest.fixture
def fake() -> type[FakeLLM]:
    return FakeLLM


@pytest.fixture
def tool_call() -> Callable[..., ChatResponse]:
    """Make a response that calls a tool."""

    def make(name: str, **arguments: Any) -> ChatResponse:
        block = ToolCallBlock(tool_call_id="1", tool_name=name, tool_kwargs=arguments)
        return ChatResponse(
            message=ChatMessage(role=MessageRole.ASSISTANT, blocks=[block]),
            raw={"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
        )

    return make


@pytest.fixture(params=ENTRIES)
def entry(request: pytest.FixtureRequest) -> Entry:
    """Each of the eight ways to ask, in turn."""
    return ENTRIES[request.param]


@pytest.fixture
def chats() -> list[Entry]:
    """The four ways to ask with messages, at once."""
    return [ENTRIES[name] for name in ("chat", "achat", "stream_chat", "astream_chat")]


@pytest.fixture(scope="session")
def _running() -> Iterator[ScriptedServer]:
    with ScriptedServer(GOOD) as server:
        yield server


@pytest.fixture
def server(_running: ScriptedServer) -> ScriptedServer:
    """The server, all of whose models give a good answer, with clean records."""
    for model, script in GOOD.items():
        _running.set_script(model, script)
    _running.reset()
    return _running


@pytest.fixture(scope="session")
async def _make_child(_running: ScriptedServer) -> AsyncIterator[Child]:
    # The integration never closes its clients: with one pair for all there is something to close.
    with httpx.Client() as http_client:
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=None)) as async_client:

            def make(model: str, **options: Any) -> OpenAILike:
                given = {
                    "api_base": _running.base_url,
                    "api_key": "sk-SECRET",
                    "is_chat_model": True,
                    "is_function_calling_model": True,
                    "max_retries": 0,
                    "timeout": 5,
                    "logprobs": True,
                    "top_logprobs": 2,
                    "additional_kwargs": {"stream_options": {"include_usage": True}},
                    "http_client": http_client,
                    "async_http_client": async_client,
                }
                return OpenAILike(model=model, **(given | options))

            yield make


@pytest.fixture
def child(server: ScriptedServer, _make_child: Child) -> Child:
    """Make a new client of a model of the server."""
    return _make_child


@pytest.fixture(scope="session")
def _clients(_make_child: Child) -> dict[str, OpenAILike]:
    return {model: _make_child(model) for model in MODELS}


@pytest.fixture
def cascade(server: ScriptedServer, _clients: dict[str, OpenAILike]) -> Cascade:
    """Make a cascade over the shared clients: of all models, or of those named."""

    def make(*names: str, **options: Any) -> CascadeRouterLLM:
        models = [_clients[name] for name in names or MODELS]
        prices = {name: PRICES[name] for name in names or MODELS}
        return CascadeRouterLLM(models=models, **({"prices": prices} | options))

    return make


@pytest.fixture
def dollars(server: ScriptedServer) -> Callable[[], float]:
    """Say what the server's own bills come to."""

    def bill() -> float:
        return sum(
            PRICES[model].cost_usd(u.prompt_tokens, u.completion_tokens, u.cached_tokens)
            for model, u in server.usage().items()
        )

    return bill


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    """Keep what one test sets globally from the next."""
    llm, manager = Settings._llm, Settings._callback_manager
    yield
    Settings._llm, Settings._callback_manager = llm, manager
