"""The chat models that users already have talk to the scripted server."""

# The signatures of both frameworks hold bare `dict` and `type`, which pyright calls unknown.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]
from pydantic import BaseModel, SecretStr

from scripted_server import Fault, Hang, ScriptedServer, Text, ToolCalls, Usage


class Answer(BaseModel):
    """The answer."""

    value: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def langchain(server: ScriptedServer) -> ChatOpenAI:
    return ChatOpenAI(
        model="m",
        base_url=server.base_url,
        api_key=SecretStr("none"),
        max_retries=0,
        timeout=5,
        logprobs=True,
        top_logprobs=2,
        stream_usage=True,
    )


@pytest.fixture
def llamaindex(server: ScriptedServer) -> OpenAILike:
    return OpenAILike(
        model="m",
        api_base=server.base_url,
        api_key="none",
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=0,
        timeout=5,
        logprobs=True,
        top_logprobs=2,
    )


def test_langchain_text_logprobs_and_usage(langchain: ChatOpenAI) -> None:
    message = langchain.invoke("hello there")
    assert message.text == "one two three"
    tokens = [entry["token"] for entry in message.response_metadata["logprobs"]["content"]]
    assert tokens == ["one", " two", " three"]
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 5


def test_langchain_stream(langchain: ChatOpenAI) -> None:
    whole = AIMessageChunk(content="")
    for chunk in langchain.stream("hello there"):
        whole += chunk
    assert whole.text == "one two three"
    assert whole.usage_metadata is not None and whole.usage_metadata["total_tokens"] == 5
    assert len(whole.response_metadata["logprobs"]["content"]) == 3


async def test_langchain_async(langchain: ChatOpenAI) -> None:
    assert (await langchain.ainvoke("hello there")).text == "one two three"
    chunks = [chunk.text async for chunk in langchain.astream("hello there")]
    assert "".join(chunks) == "one two three"


def test_langchain_tools_in_one_piece_and_streamed(
    langchain: ChatOpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [ToolCalls([("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})])])
    model = langchain.bind_tools([add])
    arguments = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    message = model.invoke("add")
    assert [call["args"] for call in message.tool_calls] == arguments
    whole = AIMessageChunk(content="")
    for chunk in model.stream("add"):
        assert isinstance(chunk, AIMessageChunk)
        whole += chunk
    assert [call["args"] for call in whole.tool_calls] == arguments
    assert server.requests[0].body["tools"][0]["function"]["name"] == "add"


def test_langchain_structured_output(langchain: ChatOpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Text('{"value": 7}')])
    assert langchain.with_structured_output(Answer).invoke("seven") == Answer(value=7)
    server.set_script("m", [ToolCalls([("Answer", {"value": 8})])])
    model = langchain.with_structured_output(Answer, method="function_calling")
    assert model.invoke("eight") == Answer(value=8)


def test_langchain_bills_what_the_server_bills(
    langchain: ChatOpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [Text("a", usage=Usage(1000, 10, cached_tokens=600))])
    usage = langchain.invoke("hi").usage_metadata
    billed = server.usage()["m"]
    assert usage is not None
    assert (usage["input_tokens"], usage["output_tokens"]) == (
        billed.prompt_tokens,
        billed.completion_tokens,
    )
    cached = usage.get("input_token_details", {}).get("cache_read")
    assert cached == billed.cached_tokens == 600


def test_llamaindex_text_logprobs_and_usage(llamaindex: OpenAILike) -> None:
    reply = llamaindex.chat([ChatMessage("hello there")])
    assert reply.message.content == "one two three"
    assert reply.logprobs is not None
    assert [tokens[0].token for tokens in reply.logprobs] == ["one", " two", " three"]
    assert reply.raw is not None and reply.raw.usage.total_tokens == 5


def test_llamaindex_stream(llamaindex: OpenAILike) -> None:
    stream = llamaindex.stream_chat(
        [ChatMessage("hello there")], stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.delta or "" for chunk in chunks) == "one two three"
    assert chunks[-1].raw is not None and chunks[-1].raw.usage.total_tokens == 5


async def test_llamaindex_async(llamaindex: OpenAILike) -> None:
    assert (await llamaindex.achat([ChatMessage("hi")])).message.content == "one two three"
    stream = await llamaindex.astream_chat([ChatMessage("hi")])
    assert "".join([chunk.delta or "" async for chunk in stream]) == "one two three"


def test_llamaindex_tools_in_one_piece_and_streamed(
    llamaindex: OpenAILike, server: ScriptedServer
) -> None:
    server.set_script("m", [ToolCalls([("add", {"a": 1, "b": 2})])])
    tool = FunctionTool.from_defaults(add)
    reply = llamaindex.chat_with_tools([tool], user_msg="add")
    (call,) = llamaindex.get_tool_calls_from_response(reply)
    assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})
    *_, last = llamaindex.stream_chat_with_tools([tool], user_msg="add")
    (call,) = llamaindex.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"a": 1, "b": 2}


def test_faults_reach_both(
    langchain: ChatOpenAI, llamaindex: OpenAILike, server: ScriptedServer
) -> None:
    server.set_script("m", [Fault(429)])
    with pytest.raises(Exception, match="429"):
        langchain.invoke("hi")
    with pytest.raises(Exception, match="429"):
        llamaindex.chat([ChatMessage("hi")])
    server.set_script("m", [Hang(20)])
    with pytest.raises(Exception, match="timed out"):
        langchain.invoke("hi", timeout=0.1)
    assert server.usage() == {}
