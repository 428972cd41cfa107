"""One server and one client for the folder: a start costs more than most of these tests."""

from collections.abc import Iterator

import httpx
import openai
import pytest

from scripted_server import ScriptedServer, Text


@pytest.fixture(scope="session")
def _running() -> Iterator[ScriptedServer]:
    with ScriptedServer({"m": [Text("one two three")]}) as server:
        yield server


@pytest.fixture
def server(_running: ScriptedServer) -> ScriptedServer:
    """A scripted server with clean records; its model "m" says "one two three"."""
    _running.set_script("m", [Text("one two three")])
    _running.reset()
    return _running


@pytest.fixture(scope="session")
def client(_running: ScriptedServer) -> Iterator[openai.OpenAI]:
    """The official client, without its retries."""
    with openai.OpenAI(base_url=_running.base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A plain client, kept for its TLS context: making one takes longer than a request."""
    with httpx.Client(timeout=5) as client:
        yield client
