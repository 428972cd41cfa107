"""LangChain's own suites, over real clients and a scripted server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_cascade import CascadeRouterLLM
from scripted_server import Reply, ScriptedServer, Text, ToolCalls

PRICES = {"cheap": (1, 4), "strong": (10, 40)}


def value_for(schema: dict[str, Any]) -> Any:
    """Return something that fits a JSON Schema."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: value_for(each) for name, each in schema.get("properties", {}).items()}
    return {"integer": 3, "number": 3, "boolean": True, "array": []}.get(kind, "cat")


def arguments(function: dict[str, Any], question: str) -> dict[str, Any]:
    """Return arguments for a tool, numbers taken from the question where there are any."""
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    made = value_for({"type": "object", **function.get("parameters", {})})
    quoted = re.findall(r"'([^']+)'", question)
    for name, value in made.items():
        if isinstance(value, int) and not isinstance(value, bool) and numbers:
            made[name] = numbers.pop(0)
        elif isinstance(value, str) and quoted:
            made[name] = quoted[0]
    return made


def assistant(body: Any) -> Reply:
    """Answer as the suite's questions want: call the first tool, give JSON, or talk."""
    question = str(body["messages"][-1].get("content"))
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    if body.get("response_format"):
        return Text(json.dumps(value_for(schema or JOKE)))
    if body.get("tools") and body["messages"][-1]["role"] == "user":
        function = body["tools"][0]["function"]
        return ToolCalls([(function["name"], arguments(function, question))])
    return Text("hello there, this is a reply of several words")


JOKE = {
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
}


def rejected(body: Any) -> Reply:
    """Answer in the same way, but cut off."""
    reply = assistant(body)
    if isinstance(reply, ToolCalls):
        return Text("no tool call at all", finish_reason="length")
    assert isinstance(reply, Text)
    return Text(reply.text, finish_reason="length")


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    with ScriptedServer({"cheap": assistant, "strong": assistant}) as server:
        _Suite.base_url = server.base_url
        _Suite.server = server
        yield


class _Suite:
    base_url = "http://127.0.0.1:9/v1"
    server: ScriptedServer | None = None
    draft: Any = staticmethod(assistant)

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return CascadeRouterLLM

    @property
    def chat_model_params(self) -> dict[str, Any]:
        if self.server is not None:
            self.server.set_script("cheap", self.draft)
        models = [
            ChatOpenAI(
                model=name,
                base_url=self.base_url,
                api_key="none",
                max_retries=0,
                stream_usage=True,
            )
            for name in PRICES
        ]
        return {"models": models, "prices": PRICES}

    @property
    def model_override_value(self) -> str:
        return "strong"

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestUnit(_Suite, ChatModelUnitTests):
    pass


class TestDraftsAccepted(_Suite, ChatModelIntegrationTests):
    pass


class TestDraftsRejected(_Suite, ChatModelIntegrationTests):
    draft: Any = staticmethod(rejected)
