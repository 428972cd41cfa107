"""What the framework's observers see: each model's call once, in its place, and no second count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.llms import ChatMessage
from llama_index.core.settings import Settings
from llama_index.core.tools import FunctionTool

from llamaindex_cascade import CascadeRouterLLM
from scripted_server import ScriptedServer, Text, ToolCalls

Child = Callable[..., Any]
HI = [ChatMessage("two words")]
TWO = {"cheap": (1.0, 2.0), "strong": (3.0, 4.0)}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


TOOL = FunctionTool.from_defaults(add)


async def _chat_with_tools(llm: CascadeRouterLLM, _: str) -> Any:
    return llm.chat_with_tools([TOOL], user_msg="two words")


async def _astream_chat_with_tools(llm: CascadeRouterLLM, _: str) -> Any:
    stream = await llm.astream_chat_with_tools([TOOL], user_msg="two words")
    return [chunk async for chunk in stream]


def counting() -> TokenCountingHandler:
    return TokenCountingHandler(tokenizer=str.split)


def cascade_of(child: Child, *managers: CallbackManager | None, **options: Any) -> CascadeRouterLLM:
    models = [
        child(name, **({} if manager is None else {"callback_manager": manager}))
        for name, manager in zip(TWO, managers or (None, None), strict=True)
    ]
    return CascadeRouterLLM(models, prices=TWO, **options)


def cell_a(child: Child, counter: TokenCountingHandler) -> CascadeRouterLLM:
    """The handler on the cascade only."""
    return cascade_of(child, callback_manager=CallbackManager([counter]))


def cell_b(child: Child, counter: TokenCountingHandler) -> CascadeRouterLLM:
    """The handler on the cascade and on the models."""
    manager = CallbackManager([counter])
    return cascade_of(child, manager, manager, callback_manager=manager)


def cell_c(child: Child, counter: TokenCountingHandler) -> CascadeRouterLLM:
    """Set globally before the models are made."""
    Settings.callback_manager = CallbackManager([counter])
    Settings.llm = cascade_of(child)
    return _settings_llm()


def cell_d(child: Child, counter: TokenCountingHandler) -> CascadeRouterLLM:
    """Set globally after the models are made."""
    Settings.llm = cascade_of(child)
    Settings.callback_manager = CallbackManager([counter])
    return _settings_llm()


def _settings_llm() -> CascadeRouterLLM:
    llm = Settings.llm
    assert isinstance(llm, CascadeRouterLLM)
    return llm


@pytest.mark.parametrize("cell", [cell_a, cell_b, cell_c, cell_d])
async def test_tokens_are_counted_once_per_call(
    cell: Callable[..., CascadeRouterLLM],
    entry: Callable[..., Awaitable[Any]],
    child: Child,
    server: ScriptedServer,
) -> None:
    server.set_script("cheap", [Text("an unsure draft", logprob=-3)])
    counter = counting()
    await entry(cell(child, counter), "two words")
    assert len(counter.llm_token_counts) == 2
    billed = sum(u.prompt_tokens + u.completion_tokens for u in server.usage().values())
    assert counter.total_llm_token_count == billed


@pytest.mark.parametrize("ask", [_chat_with_tools, _astream_chat_with_tools])
@pytest.mark.parametrize("cell", [cell_a, cell_b, cell_c, cell_d])
async def test_tools_are_no_blind_spot(
    cell: Callable[..., CascadeRouterLLM], ask: Any, child: Child, server: ScriptedServer
) -> None:
    server.set_script("cheap", [ToolCalls([("add", {"a": 1, "b": 2})])])
    counter = counting()
    await ask(cell(child, counter), "")
    assert len(counter.llm_token_counts) == 1
    billed = server.usage()["cheap"]
    assert counter.total_llm_token_count == billed.prompt_tokens + billed.completion_tokens


def test_a_models_own_handlers_stay(child: Child, server: ScriptedServer) -> None:
    own, ours = counting(), counting()
    llm = cascade_of(child, CallbackManager([own]), None, callback_manager=CallbackManager([ours]))
    server.set_script("cheap", [Text("unsure", logprob=-3)])
    llm.chat(HI)
    assert len(own.llm_token_counts) == 1 and len(ours.llm_token_counts) == 1


def test_a_new_manager_replaces_the_one_that_was_lent(child: Child) -> None:
    first, second = counting(), counting()
    llm = cascade_of(child, callback_manager=CallbackManager([first]))
    llm.chat(HI)
    llm.callback_manager = CallbackManager([second])
    llm.chat(HI)
    assert len(first.llm_token_counts) == len(second.llm_token_counts) == 1


class _Ends(BaseEventHandler):
    """Notes the answers that are announced, and in which span."""

    seen: list[Any] = []  # noqa: RUF012

    @classmethod
    def class_name(cls) -> str:
        return "Ends"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, LLMChatEndEvent):
            self.seen.append(event)


@pytest.fixture
def observed() -> Iterator[tuple[SimpleSpanHandler, _Ends]]:
    root, spans, ends = get_dispatcher(), SimpleSpanHandler(), _Ends(seen=[])
    before = list(root.span_handlers), list(root.event_handlers)
    root.add_span_handler(spans)
    root.add_event_handler(ends)
    yield spans, ends
    root.span_handlers, root.event_handlers = before


def parents(spans: SimpleSpanHandler) -> list[tuple[str, str | None]]:
    """The outer spans of the models (theirs hold one of their base class), with their parents'."""

    def short(id_: str | None) -> str | None:
        return None if id_ is None else id_.split("-")[0]

    done = [(short(s.id_) or "", short(s.parent_id)) for s in spans.completed_spans]
    return [
        (span, parent)
        for span, parent in done
        if span.startswith("OpenAILike") and not (parent or "").startswith("OpenAILike")
    ]


@pytest.mark.parametrize("poor", [False, True])
async def test_every_models_span_lies_in_the_cascades(
    poor: bool,
    entry: Callable[..., Awaitable[Any]],
    child: Child,
    server: ScriptedServer,
    observed: tuple[SimpleSpanHandler, _Ends],
) -> None:
    if poor:
        server.set_script("cheap", [Text("an unsure draft", logprob=-3)])
    llm = cascade_of(child)
    await entry(llm, "two words")
    method = entry.__name__.removeprefix("_")
    routed = (f"OpenAILike.{method}", f"CascadeRouterLLM.{method}")
    assert parents(observed[0]) == [routed] * (2 if poor else 1)


@pytest.mark.parametrize("ask", [_chat_with_tools, _astream_chat_with_tools])
async def test_spans_of_tools_lie_in_the_cascades(
    ask: Any, child: Child, server: ScriptedServer, observed: tuple[SimpleSpanHandler, _Ends]
) -> None:
    await ask(cascade_of(child), "")
    method = ask.__name__.removeprefix("_")
    assert {parent for _, parent in parents(observed[0])} == {f"CascadeRouterLLM.{method}"}


async def test_answers_are_announced_by_the_models_only(
    child: Child, server: ScriptedServer, observed: tuple[SimpleSpanHandler, _Ends]
) -> None:
    server.set_script("cheap", [Text("an unsure draft", logprob=-3)])
    llm = cascade_of(child)
    llm.chat(HI)
    assert len(observed[1].seen) == 2
    list(llm.stream_chat(HI))
    assert len(observed[1].seen) == 4
    assert all(event.span_id is not None for event in observed[1].seen)


def test_the_listener_for_structured_output_is_added_once(
    child: Child, server: ScriptedServer
) -> None:
    from llama_index.core.prompts import PromptTemplate
    from pydantic import BaseModel

    class Answer(BaseModel):
        value: int

    server.set_script("cheap", [ToolCalls([("Answer", {"value": 1})])])
    llm = cascade_of(child)
    for _ in range(3):
        llm.structured_predict(Answer, PromptTemplate("x"))
    handlers = get_dispatcher("llama_index.core.llms.callbacks").event_handlers
    assert len([h for h in handlers if h.class_name() == "CascadeListener"]) == 1
