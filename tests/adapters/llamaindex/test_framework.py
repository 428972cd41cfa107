"""Agents, engines and memory run on it as they run on a single model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, SummaryIndex, VectorStoreIndex
from llama_index.core.agent.workflow import (
    AgentOutput,
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.settings import Settings
from llama_index.core.tools import FunctionTool

from llamaindex_cascade import CascadeRouterLLM
from scripted_server import ScriptedServer, Text, ToolCalls

# LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones included.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    # Its ReAct agent calls what its workflows deprecate.
    pytest.mark.filterwarnings("ignore:is_running called from within:DeprecationWarning"),
]

Cascade = Callable[..., CascadeRouterLLM]
DRAFT = Text("DRAFT never to be seen", logprob=-3.0)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def script(*replies: Any) -> Callable[[Any], Any]:
    """Reply by how many tool results the conversation holds, whoever is asked."""

    def reply(body: Any) -> Any:
        done = sum(m["role"] == "tool" for m in body["messages"])
        return replies[min(done, len(replies) - 1)]

    return reply


def memory() -> ChatMemoryBuffer:
    """A memory in plain Python: the default one never closes its database."""
    return ChatMemoryBuffer.from_defaults(token_limit=10_000, tokenizer_fn=str.split)


async def run(agent: Any, text: str) -> tuple[str, str]:
    """Run an agent; return what it streamed and what it answered."""
    handler = agent.run(text, memory=memory())
    streamed = "".join(
        [e.delta async for e in handler.stream_events() if isinstance(e, AgentStream)]
    )
    output = await handler
    assert isinstance(output, AgentOutput)
    return streamed, output.response.content or ""


CALL = ToolCalls([("add", {"a": 1, "b": 2})])


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("poor", [False, True])
async def test_a_function_agent(
    poor: bool, streaming: bool, cascade: Cascade, server: ScriptedServer
) -> None:
    answer = Text("It is three.")
    server.set_script("cheap", script(CALL, DRAFT if poor else answer))
    server.set_script("strong", script(CALL, answer))
    llm = cascade("cheap", "strong")
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(add)], llm=llm, streaming=streaming)
    streamed, said = await run(agent, "What is 1 + 2?")
    assert said == "It is three."
    assert streamed == ("It is three." if streaming else "")
    assert server.calls == ({"cheap": 2, "strong": 1} if poor else {"cheap": 2})
    # What goes back to a model is what a single one would have got.
    assert all("cascade" not in str(request.body) for request in server.requests)
    assert [m["role"] for m in server.requests[-1].body["messages"]] == [
        "user",
        "assistant",
        "tool",
    ]


async def test_a_react_agent(cascade: Cascade, server: ScriptedServer) -> None:
    act = Text('Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}')
    done = Text("Thought: I can answer without using any more tools.\nAnswer: It is three.")

    def reply(body: Any) -> Text:
        return done if "Observation: 3" in str(body["messages"]) else act

    server.set_script("cheap", [DRAFT])
    server.set_script("strong", reply)
    agent = ReActAgent(
        tools=[FunctionTool.from_defaults(add)], llm=cascade("cheap", "strong"), streaming=True
    )
    streamed, said = await run(agent, "What is 1 + 2?")
    assert said == "It is three."
    assert "DRAFT" not in streamed


async def test_agents_that_hand_over(cascade: Cascade, server: ScriptedServer) -> None:
    handoff = ToolCalls([("handoff", {"to_agent": "second", "reason": "it adds"})])
    server.set_script("cheap", script(handoff, CALL, Text("It is three.")))
    llm = cascade("cheap", "strong")
    first = FunctionAgent(
        name="first", description="asks", llm=llm, can_handoff_to=["second"], system_prompt="Ask."
    )
    second = FunctionAgent(
        name="second",
        description="adds",
        llm=llm,
        tools=[FunctionTool.from_defaults(add)],
        system_prompt="Add.",
    )
    workflow = AgentWorkflow(agents=[first, second], root_agent="first")
    _, said = await run(workflow, "What is 1 + 2?")
    assert said == "It is three."


@pytest.fixture
def index(cascade: Cascade, server: ScriptedServer) -> Iterator[VectorStoreIndex]:
    server.set_script("cheap", [DRAFT])
    server.set_script("strong", [Text("Paris, says the text.")])
    Settings.llm = cascade("cheap", "strong")
    yield VectorStoreIndex.from_documents(
        [Document(text="The capital of France is Paris.")], embed_model=MockEmbedding(embed_dim=8)
    )


async def test_query_engines(index: VectorStoreIndex, cascade: Cascade) -> None:
    for mode in ("compact", "refine", "tree_summarize"):
        engine = index.as_query_engine(response_mode=mode)
        assert str(engine.query("What is the capital?")) == "Paris, says the text."
        assert str(await engine.aquery("What is the capital?")) == "Paris, says the text."
    streaming = index.as_query_engine(streaming=True)
    shown = "".join(streaming.query("What is the capital?").response_gen)
    assert shown == "Paris, says the text."
    summary = SummaryIndex.from_documents([Document(text="Paris.")])
    assert str(summary.as_query_engine().query("Where?")) == "Paris, says the text."


@pytest.mark.parametrize(
    "mode", ["simple", "context", "condense_question", "condense_plus_context"]
)
async def test_chat_engines(mode: Any, index: VectorStoreIndex) -> None:
    engine = index.as_chat_engine(chat_mode=mode, memory=memory())
    assert str(engine.chat("What is the capital?")) == "Paris, says the text."
    assert str(await engine.achat("Again?")) == "Paris, says the text."
    shown = "".join(engine.stream_chat("Once more?").response_gen)
    assert shown == "Paris, says the text."
    assert [m.content for m in engine.chat_history if m.role == "assistant"] == [
        "Paris, says the text."
    ] * 3


def test_a_chat_summary_memory_can_be_saved(child: Any) -> None:
    from llama_index.core.memory import ChatSummaryMemoryBuffer

    llm = CascadeRouterLLM([child("cheap")], prices={"cheap": (1, 2)})
    memory = ChatSummaryMemoryBuffer.from_defaults(
        [ChatMessage("hi")], llm=llm, tokenizer_fn=str.split
    )
    assert "CascadeRouterLLM" in memory.to_string()
