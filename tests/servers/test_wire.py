"""Bad requests are answered in OpenAI's error format, and `serve` starts and stops cleanly."""

import socket
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NoReturn

import httpx
import pytest
from starlette.applications import Starlette

from openai_wire import JsonObject, WireError, chat_app, parse_chat_request, serve
from scripted_server import ScriptedServer, Text

GOOD: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def post(http: httpx.Client, url: str, body: JsonObject = GOOD) -> httpx.Response:
    return http.post(f"{url}/chat/completions", json=body)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": None}, "messages", "invalid_type"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role", "invalid_value"),
        ({"model": 7}, "model", "invalid_type"),
        ({"model": "other"}, "model", "model_not_found"),
        ({"top_logprobs": 3}, "top_logprobs", "invalid_value"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_type"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stop": ["a"] * 5}, "stop", "invalid_value"),
        ({"stop": 7}, "stop", "invalid_type"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content", "invalid_type"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"temperature": 2.5}, "temperature", "invalid_value"),
    ],
)
def test_a_bad_parameter_is_named(
    http: httpx.Client, server: ScriptedServer, change: JsonObject, param: str, code: str
) -> None:
    response = post(http, server.base_url, {**GOOD, **change})
    assert response.status_code == (404 if code == "model_not_found" else 400)
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["code"] == code
    assert error["param"] == param
    assert server.requests == []


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object(
    http: httpx.Client, server: ScriptedServer, data: bytes
) -> None:
    response = http.post(f"{server.base_url}/chat/completions", content=data)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


def test_null_is_absent() -> None:
    optional = ("stream", "stop", "n", "max_tokens", "temperature", "seed", "logprobs", "tools")
    request = parse_chat_request(
        b'{"model": "m", "messages": [{"role": "user", "content": null}], %s}'
        % ", ".join(f'"{name}": null' for name in optional).encode()
    )
    assert request.stops == ()
    assert request.token_limit is None
    assert request.messages[0].text == ""


def test_the_new_name_of_the_token_limit_wins() -> None:
    data = b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": 5, "stop": "x",'
    assert parse_chat_request(data + b'"max_completion_tokens": 7}').token_limit == 7


def test_unknown_paths_and_methods_have_the_error_format(
    http: httpx.Client, server: ScriptedServer
) -> None:
    assert "message" in http.get(f"{server.base_url}/nothing").json()["error"]
    response = http.get(f"{server.base_url}/chat/completions")
    assert (response.status_code, "message" in response.json()["error"]) == (405, True)
    assert http.get(f"{server.base_url}/models/none").json()["error"]["code"] == "model_not_found"


def test_a_huge_body_is_refused(http: httpx.Client, server: ScriptedServer) -> None:
    huge = b'"' + b"x" * (17 * 2**20) + b'"'
    try:
        response = http.post(f"{server.base_url}/chat/completions", content=huge)
    except httpx.TransportError:
        return  # The server closed while the client was still writing: refused all the same.
    assert response.status_code == 413


def test_serve_leaves_no_thread_and_no_listener(http: httpx.Client) -> None:
    before = set(threading.enumerate())
    with ScriptedServer({"m": [Text("a")]}) as server:
        url = server.base_url
        assert url.startswith("http://127.0.0.1:")
        assert post(http, server.base_url).status_code == 200
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        http.get(f"{url}/models")
    assert server.calls["m"] == 1


def test_a_server_can_be_started_again(http: httpx.Client) -> None:
    server = ScriptedServer({"m": [Text("a")]})
    for _ in range(2):
        with server:
            assert post(http, server.base_url).status_code == 200
    assert server.calls["m"] == 2


def test_serve_says_when_the_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), serve(Starlette(), port=port):
            pass


def test_serve_says_when_the_app_does_not_start() -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        raise OSError("no disk")
        yield

    with (
        pytest.raises(RuntimeError, match="did not start"),
        serve(Starlette(lifespan=lifespan)),
    ):
        pass


def test_an_error_of_the_handler_keeps_its_headers(http: httpx.Client) -> None:
    async def refuse(*_: object) -> NoReturn:
        raise WireError("later", status=429, headers={"retry-after": "1"})

    with serve(chat_app(["m"], refuse)) as url:
        response = post(http, url)
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


def test_a_request_on_an_open_connection_waits_for_no_acknowledgement(
    http: httpx.Client, server: ScriptedServer
) -> None:
    seconds = [post(http, server.base_url).elapsed.total_seconds() for _ in range(10)]
    assert min(seconds) < 0.03  # 0.04 when TCP_NODELAY is not set
