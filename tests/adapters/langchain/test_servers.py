"""Real clients over HTTP: what OpenAI's client makes of good replies, bad ones and none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, ValidationError

from langchain_cascade import AllModelsFailed, CascadeRouterLLM
from scripted_server import (
    Dies,
    EmptyChoices,
    Fault,
    Hang,
    Malformed,
    Reply,
    ScriptedServer,
    Slow,
    Text,
    ToolCalls,
)

PRICES = {"cheap": (1.0, 4.0, 0.5), "strong": (10.0, 40.0, 5.0)}
DRAFT = Text("a poor draft", logprob=-2.0)
ANSWER = Text("the right answer", logprob=-0.01)


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer({"cheap": [DRAFT], "strong": [ANSWER]}) as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.set_script("cheap", [DRAFT])
    running.set_script("strong", [ANSWER])
    running.reset()
    return running


@pytest.fixture(scope="module")
def model(running: ScriptedServer) -> CascadeRouterLLM:
    return CascadeRouterLLM([client(running, name) for name in PRICES], prices=PRICES)


def client(server: ScriptedServer, name: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=server.base_url,
        api_key="none",
        max_retries=0,
        timeout=0.7,
        logprobs=True,
        stream_usage=True,
    )


def bill(server: ScriptedServer) -> float:
    """The dollars that the server's own counts come to."""
    dollars = 0.0
    for name, used in server.usage().items():
        fresh, output, cached = PRICES[name]
        dollars += (used.prompt_tokens - used.cached_tokens) * fresh
        dollars += used.cached_tokens * cached + used.completion_tokens * output
    return dollars / 1e6


async def invoke(model: Any) -> Any:
    return model.invoke("hi")


async def ainvoke(model: Any) -> Any:
    return await model.ainvoke("hi")


async def stream(model: Any) -> Any:
    chunks = list(model.stream("hi"))
    return sum(chunks[1:], chunks[0])


async def astream(model: Any) -> Any:
    chunks = [chunk async for chunk in model.astream("hi")]
    return sum(chunks[1:], chunks[0])


ways = pytest.mark.parametrize(
    "way", [invoke, ainvoke, stream, astream], ids=lambda way: way.__name__
)


@ways
async def test_log_probabilities_reject_a_draft(
    server: ScriptedServer, model: CascadeRouterLLM, way: Any
) -> None:
    message = await way(model)
    assert message.text == "the right answer"
    report = message.response_metadata["cascade"]
    first, second = report["attempts"]
    assert first["status"] == "rejected"
    assert first["estimated_quality"] == pytest.approx(0.135, abs=1e-3)
    assert second["estimated_quality"] == pytest.approx(0.99, abs=1e-3)
    assert report["cost_usd"] == pytest.approx(bill(server), abs=1e-15)
    assert message.response_metadata["model_name"] == "strong"


@ways
async def test_a_sure_draft_is_the_answer(
    server: ScriptedServer, model: CascadeRouterLLM, way: Any
) -> None:
    server.set_script("cheap", [Text("sure thing", logprob=-0.05, cached_tokens=1)])
    message = await way(model)
    assert message.text == "sure thing"
    assert server.calls["strong"] == 0
    assert message.response_metadata["cascade"]["cost_usd"] == pytest.approx(bill(server))


FAULTS: dict[str, Reply] = {
    "429": Fault(429),
    "500": Fault(500),
    "401": Fault(401),
    "content filter": Fault.content_filter(),
    "hangs": Hang(5.0),
    "dies": Dies(Text("a draft that breaks off"), 2),
    "bad JSON": Malformed(Text("a draft that breaks off"), 1),
    "no choices": EmptyChoices(),
}


@ways
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_hands_over(
    server: ScriptedServer, model: CascadeRouterLLM, way: Any, fault: str
) -> None:
    server.set_script("cheap", [FAULTS[fault]])
    message = await way(model)
    assert message.text == "the right answer"
    first, second = message.response_metadata["cascade"]["attempts"]
    # An empty stream is a reply to the client, and no answer to us.
    assert first["status"] == "failed" or first["rejected_by"] == "empty"
    assert second["status"] == "accepted"


@ways
async def test_all_faults_are_one_error_with_every_cause(
    server: ScriptedServer, model: CascadeRouterLLM, way: Any
) -> None:
    server.set_script("cheap", [Fault(429)])
    server.set_script("strong", [Fault(500)])
    with pytest.raises(AllModelsFailed) as caught:
        await way(model)
    first, second = caught.value.exceptions
    assert isinstance(first, openai.RateLimitError)
    assert isinstance(second, openai.InternalServerError)


@ways
async def test_a_cut_off_draft_and_a_refused_one_are_rejected(
    server: ScriptedServer, model: CascadeRouterLLM, way: Any
) -> None:
    # LangChain's client drops the words of a refusal that is streamed.
    refused = "empty" if way in (stream, astream) else "refusal"
    for draft, reason in (
        (Text("half a", logprob=-0.01, finish_reason="length"), "truncated"),
        (Text("", refusal="I must not.", logprob=-0.01), refused),
        (Text("x", logprob=-0.01, finish_reason="content_filter"), "refusal"),
    ):
        server.set_script("cheap", [draft])
        message = await way(model)
        assert message.text == "the right answer"
        assert message.response_metadata["cascade"]["attempts"][0]["rejected_by"] == reason


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_live_stream_that_dies_is_the_callers_to_see(
    server: ScriptedServer, model: CascadeRouterLLM, is_async: bool
) -> None:
    server.set_script("strong", [Dies(Text("the right answer"), 3)])
    seen: list[str] = []
    with pytest.raises(Exception, match=r"(?i)peer closed|incomplete|disconnect|connection"):
        if is_async:
            async for chunk in model.astream("hi"):
                seen.append(str(chunk.text))
        else:
            for chunk in model.stream("hi"):
                seen.append(str(chunk.text))
    assert "".join(seen).startswith("the right")


def test_a_batch(server: ScriptedServer, model: CascadeRouterLLM) -> None:
    messages = model.batch(["one", "two", "three"])
    assert [message.text for message in messages] == ["the right answer"] * 3
    total = sum(message.response_metadata["cascade"]["cost_usd"] for message in messages)
    assert total == pytest.approx(bill(server))


async def test_fifty_at_once_do_not_mix(server: ScriptedServer, model: CascadeRouterLLM) -> None:
    def sure_if_even(body: Any) -> Reply:
        number = int(body["messages"][-1]["content"])
        return Text(f"cheap {number}", logprob=-0.01 if number % 2 == 0 else -3.0)

    def strong(body: Any) -> Reply:
        number = int(body["messages"][-1]["content"])
        return Slow(Text(f"strong {number}"), 0.002) if number % 3 else Text(f"strong {number}")

    server.set_script("cheap", sure_if_even)
    server.set_script("strong", strong)

    async def ask(number: int) -> Any:
        if number % 5 == 0:
            chunks = [chunk async for chunk in model.astream(str(number))]
            return sum(chunks[1:], chunks[0])
        return await model.ainvoke(str(number))

    with get_usage_metadata_callback() as usage:
        messages = await asyncio.gather(*(ask(number) for number in range(50)))
    for number, message in enumerate(messages):
        name = "cheap" if number % 2 == 0 else "strong"
        assert message.text == f"{name} {number}"
        assert message.response_metadata["cascade"]["answered_by"] == name
    assert server.calls == {"cheap": 50, "strong": 25}
    counted = server.usage()
    for name in PRICES:
        assert usage.usage_metadata[name]["input_tokens"] == counted[name].prompt_tokens
        assert usage.usage_metadata[name]["output_tokens"] == counted[name].completion_tokens
    dollars = sum(message.response_metadata["cascade"]["cost_usd"] for message in messages)
    assert dollars == pytest.approx(bill(server))


class City(BaseModel):
    """A city."""

    name: str
    people: int


GOOD, BAD = {"name": "Ulm", "people": 126000}, {"name": "Ulm", "people": "many"}


def test_a_tool_call_that_breaks_the_schema_escalates(
    server: ScriptedServer, model: CascadeRouterLLM
) -> None:
    server.set_script("cheap", [ToolCalls([("City", BAD)])])
    server.set_script("strong", [ToolCalls([("City", GOOD)])])
    assert model.with_structured_output(City).invoke("hi") == City(**GOOD)
    assert server.calls == {"cheap": 1, "strong": 1}


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
async def test_native_json_that_breaks_the_schema_escalates_and_is_billed(
    server: ScriptedServer, model: CascadeRouterLLM, method: Any
) -> None:
    server.set_script("cheap", [Text(json.dumps(BAD), logprob=-0.01)])
    server.set_script("strong", [Text(json.dumps(GOOD), logprob=-0.01)])
    structured = model.with_structured_output(City, method=method, include_raw=True)
    with get_usage_metadata_callback() as usage:
        result = structured.invoke("hi in JSON")
        assert await structured.ainvoke("hi in JSON")
    assert result["parsed"] == City(**GOOD)
    assert set(usage.usage_metadata) == {"cheap", "strong"}
    cascade = result["raw"].response_metadata["cascade"]
    assert cascade["attempts"][0]["rejected_by"] == "schema"
    assert 2 * cascade["cost_usd"] == pytest.approx(bill(server))
    assert "response_format" in server.requests[0].body


def test_native_json_of_the_last_model_is_langchains_own_error(
    server: ScriptedServer, model: CascadeRouterLLM
) -> None:
    for name in PRICES:
        server.set_script(name, [Text(json.dumps(BAD), logprob=-0.01)])
    structured = model.with_structured_output(City, method="json_schema", include_raw=True)
    result = structured.invoke("hi")
    assert isinstance(result["parsing_error"], ValueError | ValidationError)
    assert result["raw"].response_metadata["cascade"]["cost_usd"] == pytest.approx(bill(server))


@tool
def population(city: str) -> int:
    """Return how many people live in a city."""
    return {"Ulm": 126000}[city]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agent(server: ScriptedServer, model: CascadeRouterLLM, is_async: bool) -> None:
    server.set_script(
        "cheap", [ToolCalls([("population", {"city": "Ulm"})]), Text("some", logprob=-3.0)]
    )
    server.set_script("strong", [Text("126,000 people live in Ulm.")])
    agent = create_agent(model, [population], name="geographer")
    question: Any = {"messages": [("user", "How many people live in Ulm?")]}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    assert state["messages"][-1].text == "126,000 people live in Ulm."
    assert state["messages"][-2].content == "126000"
    spent = [
        message.response_metadata["cascade"]["cost_usd"]
        for message in state["messages"]
        if message.type == "ai"
    ]
    assert sum(spent) == pytest.approx(bill(server))
