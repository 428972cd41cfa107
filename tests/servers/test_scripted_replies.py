"""The scripted server says what its script says, in the shapes of OpenAI."""

import asyncio
import json
import math

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionToolParam
from pydantic import BaseModel

from scripted_server import EmptyChoices, ScriptedServer, Text, ToolCalls, Usage, word_tokens

ADD: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
}


def stream(client: openai.OpenAI, model: str = "m") -> list[ChatCompletionChunk]:
    chunks = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "hello there"}],
        stream=True,
        stream_options={"include_usage": True},
        logprobs=True,
        top_logprobs=2,
    )
    return list(chunks)


@pytest.mark.parametrize("text", ["", " ", "a", "a b", " a\n\nb  c ", '{"a": 1}\n'])
def test_word_tokens_join_to_the_text(text: str) -> None:
    assert "".join(word_tokens(text)) == text


def test_text_in_one_piece(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Text("one two", logprob=[-0.5, -1.5])])
    reply = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hello there"}],
        logprobs=True,
        top_logprobs=3,
    )
    choice = reply.choices[0]
    assert (choice.message.content, choice.finish_reason) == ("one two", "stop")
    assert choice.logprobs is not None and choice.logprobs.content is not None
    first, second = choice.logprobs.content
    assert [(t.token, t.logprob) for t in (first, second)] == [("one", -0.5), (" two", -1.5)]
    assert second.bytes == list(b" two")
    assert len(first.top_logprobs) == 3
    assert reply.usage is not None and reply.usage.total_tokens == 4


def test_logprobs_only_when_asked_for(client: openai.OpenAI, server: ScriptedServer) -> None:
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert server.calls["m"] == 1
    assert reply.choices[0].logprobs is None


@pytest.mark.parametrize("logprob", [0.0, -0.1, -1.0, -5.0])
def test_made_up_alternatives_are_a_distribution(
    client: openai.OpenAI, server: ScriptedServer, logprob: float
) -> None:
    server.set_script("m", [Text("word", logprob=logprob)])
    reply = client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        logprobs=True,
        top_logprobs=20,
    )
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    top = [t.logprob for t in logprobs.content[0].top_logprobs]
    assert top == sorted(top, reverse=True)
    assert sum(map(math.exp, top)) == pytest.approx(1.0, abs=1e-4)
    assert logprob in top


def test_given_alternatives_are_sent(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Text("yes", logprob=-0.2, top=[[("yes", -0.2), ("no", -1.7)]])])
    chunks = stream(client)
    logprobs = chunks[1].choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None
    assert [t.token for t in logprobs.content[0].top_logprobs] == ["yes", "no"]


def test_a_stream_opens_with_the_role_and_ends_with_usage(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    chunks = stream(client)
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert deltas[0].role == "assistant"
    assert [delta.content for delta in deltas[1:-1]] == ["one", " two", " three"]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    assert server.usage() == {"m": Usage(2, 3)}


def test_no_usage_in_a_stream_unless_asked_for(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    chunks = list(
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
    )
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert server.usage() == {"m": Usage(1, 3)}


def test_finish_reason_usage_and_cached_tokens_are_as_scripted(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script(
        "m",
        [
            Text("cut", finish_reason="length", usage=Usage(100, 50, cached_tokens=80)),
            Text("a", cached_tokens=1),
        ],
    )
    chunks = stream(client)
    assert chunks[-2].choices[0].finish_reason == "length"
    usage = chunks[-1].usage
    assert usage is not None and usage.prompt_tokens_details is not None
    assert (usage.total_tokens, usage.prompt_tokens_details.cached_tokens) == (150, 80)
    stream(client)
    assert server.usage() == {"m": Usage(102, 51, 81)}


def test_a_refusal_has_no_content(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Text("", refusal="I cannot say.")])
    message = (
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        .choices[0]
        .message
    )
    assert (message.content, message.refusal) == (None, "I cannot say.")
    deltas = [chunk.choices[0].delta for chunk in stream(client)[:-1]]
    assert "".join(delta.refusal or "" for delta in deltas) == "I cannot say."
    assert not any(delta.content for delta in deltas)


def test_tool_calls_in_one_piece(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [ToolCalls([("add", {"a": 1}), ("add", "no json")], text="let me")])
    choice = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], tools=[ADD]
    ).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "let me"
    calls = choice.message.tool_calls
    assert calls is not None and len({call.id for call in calls}) == 2
    assert [c.function.arguments for c in calls if c.type == "function"] == ['{"a": 1}', "no json"]


def test_tool_call_deltas_split_the_arguments(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [ToolCalls([("add", {"a": 1, "b": 2}), ("sub", {"c": 3})])])
    deltas = [
        call
        for chunk in stream(client)
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    heads = [d for d in deltas if d.id]
    assert [d.function.name for d in heads if d.function] == ["add", "sub"]
    assert [d.index for d in heads] == [0, 1]
    assert len(deltas) > 4
    parts = [d.function.arguments or "" for d in deltas if d.index == 0 and d.function]
    assert json.loads("".join(parts)) == {"a": 1, "b": 2}


def test_json_text_serves_a_response_format(client: openai.OpenAI, server: ScriptedServer) -> None:
    class Answer(BaseModel):
        value: int

    server.set_script("m", [Text('{"value": 7}')])
    reply = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": "hi"}], response_format=Answer
    )
    assert reply.choices[0].message.parsed == Answer(value=7)


def test_empty_choices(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [EmptyChoices()])
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices == []
    assert all(chunk.choices == [] for chunk in stream(client))
    assert server.usage() == {"m": Usage(3, 0)}


def test_the_last_reply_of_a_sequence_repeats(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [Text("a"), Text("b")])
    said = [
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        .choices[0]
        .message.content
        for _ in range(3)
    ]
    assert said == ["a", "b", "b"]


def test_a_function_sees_the_body(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", lambda body: Text(body["messages"][-1]["content"].upper()))
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert reply.choices[0].message.content == "HI"


def test_requests_are_recorded_with_their_headers(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        temperature=0.5,
        extra_headers={"X-Trace": "7"},
    )
    (request,) = server.requests
    assert request.model == "m"
    assert request.body["temperature"] == 0.5
    assert request.headers["x-trace"] == "7"
    assert request.headers["authorization"] == "Bearer none"


def test_the_models_are_listed(client: openai.OpenAI, server: ScriptedServer) -> None:
    assert "m" in [model.id for model in client.models.list()]
    assert client.models.retrieve("m").id == "m"
    assert server.requests == []


async def test_eighty_requests_at_once(server: ScriptedServer) -> None:
    async def ask(model: openai.AsyncOpenAI, number: int) -> str:
        chunks = await model.chat.completions.create(
            model="m", messages=[{"role": "user", "content": str(number)}], stream=True
        )
        return "".join([c.choices[0].delta.content or "" async for c in chunks])

    server.set_script("m", lambda body: Text(f"it is {body['messages'][0]['content']}"))
    url = server.base_url
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        answers = await asyncio.gather(*(ask(client, number) for number in range(80)))
    assert answers == [f"it is {number}" for number in range(80)]
    assert server.usage() == {"m": Usage(80, 240)}


def test_a_script_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one logprob per token, got 1 for 2: \['a', ' b'\]"):
        Text("a b", logprob=[-1.0])
    with pytest.raises(ValueError, match="at least one reply"):
        ScriptedServer({"m": []})
    with pytest.raises(RuntimeError, match="inside its `with` block"):
        _ = ScriptedServer({}).base_url
