"""Who sees what: the answer exactly once, a draft never, every token of usage once, one tree."""

from __future__ import annotations

import asyncio
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers import BaseTracer
from langgraph.graph import MessagesState, StateGraph

# LangChain has them since 1.4.
HAS_V3 = hasattr(BaseChatModel, "stream_events")
ONCE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}


@contextmanager
def beta() -> Iterator[None]:
    """Version 3 of the stream events warns that it is young."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Tracer(BaseTracer):
    """Keeps the finished roots."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)

    @staticmethod
    def shape(run: Any) -> Any:
        return (run.name, tuple(Tracer.shape(child) for child in run.child_runs))

    @staticmethod
    def tokens(run: Any) -> int:
        """The tokens that a tracer sums up over a tree."""
        generations = (run.outputs or {}).get("generations") or []
        own = 0
        if run.run_type in ("chat_model", "llm"):
            for generation in (g for each in generations for g in each):
                message = generation.get("message", {})
                fields = message.get("kwargs", message)
                own += (fields.get("usage_metadata") or {}).get("total_tokens", 0)
        return own + sum(Tracer.tokens(child) for child in run.child_runs)


def graph_of(model: Any, is_async: bool) -> Any:
    def node(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    built = StateGraph(MessagesState).add_node("m", anode if is_async else node)
    return built.add_edge("__start__", "m").compile()


INPUT: Any = {"messages": [("user", "hi")]}


def text_of(message: Any) -> str:
    return str(message.text)


async def langgraph_messages(model: Any, is_async: bool) -> str:
    graph = graph_of(model, is_async)
    if is_async:
        stream = graph.astream(INPUT, stream_mode="messages")
        return "".join([text_of(message) async for message, _ in stream])
    return "".join(text_of(message) for message, _ in graph.stream(INPUT, stream_mode="messages"))


async def v3_messages(model: Any, is_async: bool) -> str:
    graph = graph_of(model, is_async)
    with beta():
        if not is_async:
            run = graph.stream_events(INPUT, version="v3")
            return "".join("".join(map(str, message.text)) for message in run.messages)
        run = await graph.astream_events(INPUT, version="v3")
        seen = ""
        async for message in run.messages:
            seen += "".join([str(text) async for text in message.text])
        return seen


async def event_tokens(model: Any, is_async: bool) -> str:
    events = graph_of(model, is_async).astream_events(INPUT, version="v2")
    return "".join(
        [text_of(e["data"]["chunk"]) async for e in events if e["event"] == "on_chat_model_stream"]
    )


async def event_ends(model: Any, is_async: bool) -> str:
    events = graph_of(model, is_async).astream_events(INPUT, version="v2")
    return "".join(
        [text_of(e["data"]["output"]) async for e in events if e["event"] == "on_chat_model_end"]
    )


CHANNELS = [langgraph_messages, event_tokens, event_ends, *([v3_messages] if HAS_V3 else [])]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("tools", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("rejects", [False, True], ids=["accept", "reject"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.__name__)
async def test_the_answer_is_shown_once_and_a_draft_never(
    fake: Any, router: Any, channel: Any, nested: bool, rejects: bool, tools: bool, is_async: bool
) -> None:
    first = fake("a draft of it" if rejects else "the right answer", name="cheap")
    model = router(first, fake("the right answer", name="strong"))
    if nested:
        model = router(fake("another draft", name="c"), model)
    if tools:
        model = model.bind_tools([add])
    assert await channel(model, is_async) == "the right answer"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_tool_calls_are_streamed_once_and_those_of_a_draft_never(
    fake: Any, router: Any, is_async: bool
) -> None:
    def calling(a: int) -> AIMessage:
        call = {"name": "add", "args": {"a": a, "b": 2}, "id": f"call-{a}", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    def is_two(reply: Any) -> bool:
        return reply.value.tool_calls[0]["args"]["a"] == 2

    model = router(fake(calling(1)), fake(calling(2)), validators=[is_two]).bind_tools([add])
    graph, seen = graph_of(model, is_async), []
    if is_async:
        async for message, _ in graph.astream(INPUT, stream_mode="messages"):
            seen.append(message)
    else:
        seen = [message for message, _ in graph.stream(INPUT, stream_mode="messages")]
    calls = [chunk for message in seen for chunk in message.tool_call_chunks]
    assert [chunk["id"] for chunk in calls if chunk["id"]] == ["call-2"]
    assert "".join(chunk["args"] for chunk in calls) == '{"a": 2, "b": 2}'


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_node_that_streams_the_router_itself_shows_the_answer_once(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("a draft"), fake("the right answer")).bind_tools([add])

    def node(state: MessagesState) -> Any:
        chunks = list(model.stream(state["messages"]))
        return {"messages": [sum(chunks[1:], chunks[0])]}

    async def anode(state: MessagesState) -> Any:
        chunks = [chunk async for chunk in model.astream(state["messages"])]
        return {"messages": [sum(chunks[1:], chunks[0])]}

    built = StateGraph(MessagesState).add_node("m", anode if is_async else node)
    graph, seen = built.add_edge("__start__", "m").compile(), ""
    if is_async:
        async for message, _ in graph.astream(INPUT, stream_mode="messages"):
            seen += text_of(message)
    else:
        seen = "".join(text_of(m) for m, _ in graph.stream(INPUT, stream_mode="messages"))
    assert seen == "the right answer"


async def test_a_handler_that_prints_tokens_sees_the_answer_once(
    fake: Any, router: Any, tokens: Any
) -> None:
    def model() -> Any:
        return router(fake("a draft"), fake("the right answer"))

    config: Any = {"callbacks": [tokens]}
    assert "".join(text_of(chunk) for chunk in model().stream("hi", config)) == "the right answer"
    assert "".join(tokens.tokens) == "the right answer"
    assert [text_of(c) async for c in model().astream("hi", config)][:2] == ["the", " right"]
    assert "".join(tokens.tokens) == "the right answer" * 2
    assert len(tokens.starts) == len(tokens.ends) == 2


def by_invoke(model: Any, config: Any) -> Any:
    return model.invoke("hi", config)


def by_stream(model: Any, config: Any) -> Any:
    return list(model.stream("hi", config))


def by_batch(model: Any, config: Any) -> Any:
    return model.batch(["hi"], config)


def by_v3(model: Any, config: Any) -> Any:
    with beta():
        return model.stream_events("hi", config, version="v3").output


async def by_ainvoke(model: Any, config: Any) -> Any:
    return await model.ainvoke("hi", config)


async def by_astream(model: Any, config: Any) -> Any:
    return [chunk async for chunk in model.astream("hi", config)]


async def by_async_v3(model: Any, config: Any) -> Any:
    with beta():
        stream = await model.astream_events("hi", config, version="v3")
        output = await stream.output
        # Also for a plain model, the output is there before the callbacks have run.
        await stream._producer_task
        return output


V3_PATHS = [by_v3, by_async_v3] if HAS_V3 else []
PATHS = [by_invoke, by_stream, by_batch, by_ainvoke, by_astream, *V3_PATHS]


async def run(path: Any, model: Any, config: Any) -> Any:
    result = path(model, config)
    return await result if asyncio.iscoroutine(result) else result


class AsyncUsage(AsyncCallbackHandler):
    """A usage handler of the asynchronous kind, which opts in."""

    sees_cascade_children = True

    def __init__(self) -> None:
        self.total = 0

    async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        message = response.generations[0][0].message
        self.total += (message.usage_metadata or {}).get("total_tokens", 0)


class OldUsage(BaseCallbackHandler):
    """Counts as the community's OpenAI handler does, which also takes every token."""

    def __init__(self) -> None:
        self.total_tokens = 0

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None: ...

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        usage = response.generations[0][0].message.usage_metadata or {}
        self.total_tokens += usage.get("total_tokens", 0)


@pytest.mark.parametrize("bound", [False, True], ids=["plain", "tools"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
async def test_usage_is_counted_once(
    fake: Any, router: Any, path: Any, nested: bool, bound: bool
) -> None:
    model = router(fake("a draft", name="small"), fake("the right answer", name="big"))
    expected = {"small": ONCE, "big": ONCE}
    if nested:
        model = router(fake("another draft", name="tiny"), model)
        expected["tiny"] = ONCE
    if bound:
        model = model.bind_tools([add])
    given, tracer, waiting, old = (
        UsageMetadataCallbackHandler(),
        Tracer(),
        AsyncUsage(),
        OldUsage(),
    )
    with get_usage_metadata_callback() as ambient:
        await run(path, model, {"callbacks": [given, tracer, waiting, old]})
    assert given.usage_metadata == expected
    assert ambient.usage_metadata == expected
    assert waiting.total == old.total_tokens == 12 * len(expected)
    (root,) = tracer.roots
    assert Tracer.tokens(root) == 12 * len(expected)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
async def test_a_usage_handler_of_the_router_itself_counts_the_drafts_too(
    fake: Any, router: Any, path: Any
) -> None:
    own = UsageMetadataCallbackHandler()
    model = router(fake("a draft", name="small"), fake("right", name="big"), callbacks=[own])
    await run(path, model, None)
    assert own.usage_metadata == {"small": ONCE, "big": ONCE}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.__name__)
async def test_the_caller_and_other_handlers_get_the_usage_of_the_accepted_call(
    fake: Any, router: Any, tokens: Any, path: Any
) -> None:
    model = router(fake("a draft"), fake("the right answer"))
    result = await run(path, model, {"callbacks": [tokens]})
    if isinstance(result, list):
        result = sum(result[1:], result[0])
    assert result.usage_metadata == ONCE
    (end,) = tokens.ends
    assert end.generations[0][0].message.usage_metadata == ONCE


@pytest.mark.parametrize(
    "path", [by_invoke, by_batch, by_ainvoke, *V3_PATHS], ids=lambda path: path.__name__
)
async def test_a_tracer_takes_no_usage_from_other_handlers(
    fake: Any, router: Any, tokens: Any, path: Any
) -> None:
    model = router(fake("a draft"), fake("the right answer"))
    await run(path, model, {"callbacks": [Tracer(), tokens]})
    (end,) = tokens.ends
    assert end.generations[0][0].message.usage_metadata == ONCE


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_usage_and_tree_are_right_while_a_graph_streams(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("a draft", name="small"), fake("the right answer", name="big"))
    graph, tracer = graph_of(model, is_async), Tracer()
    config: Any = {"callbacks": [tracer]}
    with get_usage_metadata_callback() as usage:
        if is_async:
            stream = graph.astream(INPUT, config, stream_mode="messages")
            seen = [message async for message, _ in stream]
        else:
            seen = [message for message, _ in graph.stream(INPUT, config, stream_mode="messages")]
    assert usage.usage_metadata == {"small": ONCE, "big": ONCE}
    # The user interface gets the usage of what it shows.
    assert [message.usage_metadata for message in seen if message.usage_metadata] == [ONCE]
    (root,) = tracer.roots
    assert "('CascadeRouterLLM', (('FakeModel', ()), ('FakeModel', ())))" in str(Tracer.shape(root))


@pytest.mark.parametrize("path", [by_stream, by_astream], ids=lambda path: path.__name__)
async def test_a_stream_gives_its_usage_to_the_caller_also_beside_a_tracer(
    fake: Any, router: Any, path: Any
) -> None:
    model = router(fake("a draft"), fake("the right answer"))
    chunks = await run(path, model, {"callbacks": [Tracer()]})
    assert sum(chunks[1:], chunks[0]).usage_metadata == ONCE


def test_usage_in_a_chain_is_counted_once(fake: Any, router: Any) -> None:
    model = router(fake("a draft", name="small"), fake("the right answer", name="big"))
    with get_usage_metadata_callback() as usage:
        (RunnableLambda(lambda text: text) | model.bind_tools([add])).invoke("hi")
    assert usage.usage_metadata == {"small": ONCE, "big": ONCE}


async def test_one_shape_of_tree_under_interleaved_calls(fake: Any, router: Any) -> None:
    def model() -> Any:
        inner = router(fake("a draft"), fake("a draft still"))
        return router(inner, fake("right")).bind_tools([add])

    tracer = Tracer()
    config: Any = {"callbacks": [tracer]}

    async def one(i: int) -> None:
        if i % 2:
            await model().ainvoke("hi", config)
        else:
            async for _ in model().astream("hi", config):
                await asyncio.sleep(0)

    await asyncio.gather(*(one(i) for i in range(80)))
    shapes = Counter(Tracer.shape(root) for root in tracer.roots)
    inner = ("CascadeRouterLLM", (("FakeModel", ()), ("FakeModel", ())))
    assert shapes == {("CascadeRouterLLM", (inner, ("FakeModel", ()))): 80}


def test_one_shape_of_tree_in_threads(fake: Any, router: Any) -> None:
    tracer = Tracer()
    chain = RunnableLambda(lambda text: text) | router(fake("a draft"), fake("right"))

    def one(i: int) -> Any:
        config: Any = {"callbacks": [tracer]}
        return chain.invoke("hi", config) if i % 2 else list(chain.stream("hi", config))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    (shape,) = {Tracer.shape(root)[1][-1] for root in tracer.roots}
    assert shape == ("CascadeRouterLLM", (("FakeModel", ()), ("FakeModel", ())))
    assert len(tracer.roots) == 40


async def test_the_children_inherit_tags_and_metadata_and_not_the_routers_own(
    fake: Any, router: Any
) -> None:
    tracer = Tracer()
    config: Any = {"callbacks": [tracer], "tags": ["mine"], "metadata": {"user": "ada"}}
    model = router(fake("right", name="only"))
    model.invoke("hi", config)
    _ = list(model.stream("hi", config))
    for root in tracer.roots:
        (child,) = root.child_runs
        assert {"mine", "nostream"} <= set(child.tags)
        assert "nostream" not in root.tags
        assert child.extra["metadata"]["user"] == "ada"
        assert child.extra["metadata"]["ls_model_name"] == "only"
        assert root.extra["metadata"]["ls_provider"] == "cascade"


def test_a_child_that_is_no_model_does_not_pass_for_the_router(fake: Any, router: Any) -> None:
    tracer = Tracer()
    model = router(RunnableLambda(lambda messages: AIMessage("fine")))
    model.invoke("hi", {"callbacks": [tracer]})
    ((child,),) = (root.child_runs for root in tracer.roots)
    assert not [key for key in child.extra.get("metadata", {}) if key.startswith("ls_")]


def test_a_stream_leaves_no_trace_in_its_consumers_context(fake: Any, router: Any) -> None:
    tracer = Tracer()
    other = fake("by the consumer")
    for _ in router(fake("the right answer")).stream("hi", {"callbacks": [tracer]}):
        other.invoke("aside")
    assert [Tracer.shape(root) for root in tracer.roots] == [
        ("CascadeRouterLLM", (("FakeModel", ()),))
    ]


async def test_the_childs_failure_is_an_error_in_its_own_run(fake: Any, router: Any) -> None:
    tracer = Tracer()
    model = router(fake(ConnectionError("down")), fake("right"))
    await model.ainvoke("hi", {"callbacks": [tracer]})
    (root,) = tracer.roots
    assert root.error is None
    assert [child.error is None for child in root.child_runs] == [False, True]
