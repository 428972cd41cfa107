"""A cascade is an LLM, so it may be a model of another one; its money stays counted once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from cascade_core import Outcome
from llamaindex_cascade import AllModelsFailed, CascadeRouterLLM
from scripted_server import Fault, ScriptedServer, Text, ToolCalls

Cascade = Callable[..., CascadeRouterLLM]
Dollars = Callable[[], float]
POOR = Text("DRAFT", logprob=-3.0)


@pytest.fixture
def nested(cascade: Cascade) -> CascadeRouterLLM:
    """(cheap, middle), and then strong; the inner one has no price and needs none."""
    inner = cascade("cheap", "middle")
    strong = cascade("strong").models["strong"]
    return CascadeRouterLLM([inner, strong], prices={"strong": (100.0, 200.0)})


async def test_the_inner_answers(
    entry: Callable[..., Awaitable[Any]],
    nested: CascadeRouterLLM,
    server: ScriptedServer,
    dollars: Dollars,
) -> None:
    server.set_script("cheap", [POOR])
    chunks = await entry(nested, "hi")
    report = chunks[-1].additional_kwargs["cascade"]
    assert report["answered_by"] == "cascade(cheap,middle)"
    assert server.calls == {"cheap": 1, "middle": 1}
    assert report["cost_usd"] == pytest.approx(dollars())
    assert "DRAFT" not in "".join(str(chunk) for chunk in chunks)


async def test_the_outer_rejects_what_the_inner_gave(
    entry: Callable[..., Awaitable[Any]],
    nested: CascadeRouterLLM,
    server: ScriptedServer,
    dollars: Dollars,
) -> None:
    server.set_script("cheap", [POOR])
    server.set_script("middle", [POOR])
    chunks = await entry(nested, "hi")
    report = chunks[-1].additional_kwargs["cascade"]
    assert report["answered_by"] == "strong"
    assert report["cost_usd"] == pytest.approx(dollars())
    assert "DRAFT" not in "".join(str(chunk) for chunk in chunks)


async def test_an_inner_that_fails_is_a_model_that_failed(
    entry: Callable[..., Awaitable[Any]],
    nested: CascadeRouterLLM,
    server: ScriptedServer,
    dollars: Dollars,
) -> None:
    server.set_script("cheap", [POOR])
    server.set_script("middle", [Fault(500)])
    report = (await entry(nested, "hi"))[-1].additional_kwargs["cascade"]
    assert report["answered_by"] == "strong"
    assert report["attempts"][0]["error"] == "AllModelsFailed"
    # The inner draft that nobody saw was paid for.
    assert report["cost_usd"] == pytest.approx(dollars())


async def test_tools_and_their_calls(nested: CascadeRouterLLM, server: ScriptedServer) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    server.set_script("cheap", [ToolCalls([("add", {"a": 1, "b": 2})])])
    tool = FunctionTool.from_defaults(add)
    assert nested.predict_and_call([tool], user_msg="add").response == "3"
    *_, last = [c async for c in await nested.astream_chat_with_tools([tool], user_msg="add")]
    (call,) = nested.get_tool_calls_from_response(last)
    assert call.tool_kwargs == {"a": 1, "b": 2}


class Answer(BaseModel):
    """The answer."""

    value: int


@pytest.mark.parametrize("awaited", [False, True])
async def test_structured_output_is_paid_for_once(
    awaited: bool,
    nested: CascadeRouterLLM,
    server: ScriptedServer,
    dollars: Dollars,
    monkeypatch: Any,
) -> None:
    reports: list[Any] = []
    original = Outcome.report

    def noting(self: Outcome[Any]) -> dict[str, Any]:
        reports.append(original(self))
        return reports[-1]

    monkeypatch.setattr(Outcome, "report", noting)
    server.set_script("cheap", [ToolCalls([("Answer", {"value": "no"})])])
    server.set_script("middle", [ToolCalls([("Answer", {"value": 7})])])
    prompt = PromptTemplate("What is {x}?")
    if awaited:
        answer = await nested.astructured_predict(Answer, prompt, x="this")
    else:
        answer = nested.structured_predict(Answer, prompt, x="this")
    assert answer == Answer(value=7)
    assert reports[-1]["answered_by"] == "cascade(cheap,middle)"
    assert reports[-1]["cost_usd"] == pytest.approx(dollars())


async def test_structured_output_that_the_inner_cannot_give(
    nested: CascadeRouterLLM, server: ScriptedServer
) -> None:
    bad = ToolCalls([("Answer", {"value": "no"})])
    server.set_script("cheap", [bad])
    server.set_script("middle", [bad])
    server.set_script("strong", [ToolCalls([("Answer", {"value": 7})])])
    assert nested.structured_predict(Answer, PromptTemplate("x")) == Answer(value=7)


def test_tokens_are_counted_once(child: Callable[..., Any], server: ScriptedServer) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    inner = CascadeRouterLLM([child("cheap")], prices={"cheap": (1, 2)})
    outer = CascadeRouterLLM(
        {"inner": inner, "strong": child("strong")},
        prices={"strong": (1, 2)},
        callback_manager=CallbackManager([counter]),
    )
    outer.complete("hi")
    assert len(counter.llm_token_counts) == 1


def test_all_of_all_fail(nested: CascadeRouterLLM, server: ScriptedServer) -> None:
    for model in ("cheap", "middle", "strong"):
        server.set_script(model, [Fault(500)])
    with pytest.raises(AllModelsFailed) as caught:
        nested.complete("hi")
    inner, strong = caught.value.exceptions
    assert isinstance(inner, AllModelsFailed) and len(inner.exceptions) == 2
    assert not isinstance(strong, AllModelsFailed)
