"""Each fault reaches a real client as the failure it stands for, and is billed as it should be."""

import json
import logging
import time
from contextlib import suppress

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion

from scripted_server import (
    Dies,
    Fault,
    Hang,
    Malformed,
    Reply,
    ScriptedServer,
    Slow,
    Text,
    ToolCalls,
    Usage,
)


def ask(client: openai.OpenAI, timeout: float = 5) -> ChatCompletion:
    return client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], timeout=timeout
    )


def stream(client: openai.OpenAI, got: list[str], timeout: float = 5) -> None:
    """Collect contents in `got`, so that what came before a failure can be seen."""
    chunks = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True, timeout=timeout
    )
    for chunk in chunks:
        got.append(chunk.choices[0].delta.content or "")


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (Fault(429), openai.RateLimitError, "rate_limit_exceeded"),
        (Fault(429, code="insufficient_quota"), openai.RateLimitError, "insufficient_quota"),
        (Fault(500), openai.InternalServerError, None),
        (Fault(503), openai.InternalServerError, None),
        (Fault(401), openai.AuthenticationError, "invalid_api_key"),
        (Fault(400), openai.BadRequestError, None),
        (Fault.content_filter(), openai.BadRequestError, "content_filter"),
        (Fault.context_length(), openai.BadRequestError, "context_length_exceeded"),
    ],
)
def test_a_status(
    client: openai.OpenAI,
    server: ScriptedServer,
    fault: Fault,
    error: type[openai.APIStatusError],
    code: str | None,
    streamed: bool,
) -> None:
    server.set_script("m", [fault])
    with pytest.raises(error) as caught:
        if streamed:
            stream(client, [])
        else:
            ask(client)
    assert caught.value.code == code
    assert server.usage() == {}
    assert server.calls["m"] == 1


def test_retry_after_is_a_header(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Fault(429, retry_after_seconds=2)])
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert caught.value.response.headers["retry-after"] == "2"


def test_the_clients_own_retry_gets_the_next_reply(server: ScriptedServer) -> None:
    server.set_script("m", [Fault(429, retry_after_seconds=0.01), Text("second")])
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=1) as client:
        assert ask(client).choices[0].message.content == "second"
    assert server.calls["m"] == 2


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hang_runs_into_the_time_out_and_is_not_billed(
    client: openai.OpenAI, server: ScriptedServer, streamed: bool
) -> None:
    server.set_script("m", [Hang(30)])
    with pytest.raises(openai.APITimeoutError):
        if streamed:
            stream(client, [], timeout=0.1)
        else:
            ask(client, timeout=0.1)
    assert server.usage() == {}


def test_a_short_hang_is_only_late(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Hang(0.1, Text("late but good"))])
    began = time.perf_counter()
    assert ask(client).choices[0].message.content == "late but good"
    assert time.perf_counter() - began >= 0.1


@pytest.mark.parametrize(
    ("after_chunks", "got", "billed"),
    [
        (0, [], Usage()),
        (1, [""], Usage(1, 0)),
        (2, ["", "one"], Usage(1, 1)),
        (3, ["", "one", " two"], Usage(1, 2)),
    ],
)
def test_a_stream_dies_after_so_many_chunks_and_bills_them(
    client: openai.OpenAI, server: ScriptedServer, after_chunks: int, got: list[str], billed: Usage
) -> None:
    server.set_script("m", [Dies(Text("one two three"), after_chunks)])
    seen: list[str] = []
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        stream(client, seen)
    assert seen == got
    assert server.usage().get("m", Usage()) == billed


def test_a_dead_stream_never_bills_more_than_the_script_says(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [Dies(Text("one two three", usage=Usage(10, 1)), 4)])
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        stream(client, [])
    assert server.usage() == {"m": Usage(10, 1)}


def test_a_reply_in_one_piece_dies_in_its_body_and_is_billed_whole(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [Dies(Text("one two three"))])
    with pytest.raises(openai.APIConnectionError):
        ask(client)
    assert server.usage() == {"m": Usage(1, 3)}


@pytest.mark.parametrize("content", [Text("one two three"), ToolCalls([("add", {"a": 1})])])
def test_malformed_json(client: openai.OpenAI, server: ScriptedServer, content: Reply) -> None:
    server.set_script("m", [Malformed(content)])
    with pytest.raises(json.JSONDecodeError):
        ask(client)
    seen: list[str] = []
    with pytest.raises(json.JSONDecodeError):
        stream(client, seen)
    assert len(seen) == 2


def test_a_malformed_stream_goes_on_for_a_client_that_forgives(
    http: httpx.Client, server: ScriptedServer
) -> None:
    server.set_script("m", [Malformed(Text("one two"), 1)])
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    text = http.post(f"{server.base_url}/chat/completions", json=body).text
    assert text.count("data: ") == 6
    assert text.endswith("data: [DONE]\n\n")


def test_a_slow_stream_pauses_before_each_chunk(
    client: openai.OpenAI, server: ScriptedServer
) -> None:
    server.set_script("m", [Slow(Text("one two"), 0.05)])
    began = time.perf_counter()
    stream(client, [])
    assert time.perf_counter() - began >= 0.2
    began = time.perf_counter()
    ask(client)
    assert time.perf_counter() - began >= 0.1


def test_wrappers_combine(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Hang(0.05, Slow(Dies(Text("one two three"), 2), 0.02)), Text("b")])
    seen: list[str] = []
    began = time.perf_counter()
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        stream(client, seen)
    assert time.perf_counter() - began >= 0.09
    assert seen == ["", "one"]
    assert ask(client).choices[0].message.content == "b"


def test_a_client_that_leaves_ends_the_bill(client: openai.OpenAI, server: ScriptedServer) -> None:
    server.set_script("m", [Slow(Text("word " * 100), 0.02)])
    chunks = client.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "hi"}], stream=True
    )
    next(iter(chunks))
    chunks.close()
    time.sleep(0.1)
    billed = server.usage()["m"]
    time.sleep(0.1)
    assert server.usage()["m"] == billed
    assert billed.completion_tokens < 10


def test_a_bug_in_a_script_is_a_logged_500(
    client: openai.OpenAI, server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def script(body: dict[str, object]) -> Reply:
        raise LookupError("no such line")

    server.set_script("m", script)
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(openai.InternalServerError, match="LookupError: no such line"),
    ):
        ask(client)
    assert "openai_wire" in caplog.text
    server.set_script("m", [Text("well again")])
    assert ask(client).choices[0].message.content == "well again"


def test_the_server_stops_soon_while_streams_hang() -> None:
    replies: dict[str, list[Reply]] = {"m": [Hang(60)], "s": [Slow(Text("a b"), 60)]}
    with httpx.Client(timeout=0.3) as client, ScriptedServer(replies) as server:
        url = f"{server.base_url}/chat/completions"
        body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
        with client.stream("POST", url, json={**body, "model": "s"}) as open_stream:
            assert open_stream.status_code == 200
            began = time.perf_counter()
            server.__exit__(None, None, None)
            assert time.perf_counter() - began < 2.5
            with suppress(httpx.TransportError):
                open_stream.read()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
