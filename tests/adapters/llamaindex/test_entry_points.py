"""Eight ways to ask, one decision: accepted, rejected, and what is shown and billed."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from llamaindex_cascade import CascadeRouterLLM
from scripted_server import ScriptedServer, Text, Usage

Cascade = Callable[..., CascadeRouterLLM]
Response = ChatResponse | CompletionResponse
Entry = Callable[[CascadeRouterLLM, str], Awaitable[Sequence[Response]]]

DRAFT = "DRAFT never to be seen"
POOR = Text(DRAFT, logprob=-2.0)
# (scripts of the models, the models that run, what is shown)
CASES: dict[str, tuple[dict[str, Text], list[str], str]] = {
    "the first is sure": ({}, ["cheap"], "the answer of cheap"),
    "the first is unsure": ({"cheap": POOR}, ["cheap", "middle"], "the answer of middle"),
    "the first is cut off": (
        {"cheap": Text(DRAFT, finish_reason="length")},
        ["cheap", "middle"],
        "the answer of middle",
    ),
    "the first is filtered": (
        {"cheap": Text(DRAFT, finish_reason="content_filter")},
        ["cheap", "middle"],
        "the answer of middle",
    ),
    "the first is empty": ({"cheap": Text("")}, ["cheap", "middle"], "the answer of middle"),
    "the first refuses": (
        {"cheap": Text("", refusal=DRAFT)},
        ["cheap", "middle"],
        "the answer of middle",
    ),
    "two are unsure": (
        {"cheap": POOR, "middle": POOR},
        ["cheap", "middle", "strong"],
        "the answer of strong",
    ),
    "all are unsure": (
        {"cheap": POOR, "middle": POOR, "strong": Text("a last resort", logprob=-3.0)},
        ["cheap", "middle", "strong"],
        "a last resort",
    ),
}


def report_of(response: Response) -> dict[str, Any]:
    report: dict[str, Any] = response.additional_kwargs["cascade"]
    return report


def shown(response: Response) -> str:
    if isinstance(response, ChatResponse):
        return response.message.content or ""
    return response.text


@pytest.mark.parametrize("case", CASES)
async def test_one_table(
    case: str,
    entry: Entry,
    cascade: Cascade,
    server: ScriptedServer,
    dollars: Callable[[], float],
) -> None:
    scripts, models, answer = CASES[case]
    for model, reply in scripts.items():
        server.set_script(model, [reply])
    chunks = await entry(cascade(), "What is it?")

    assert shown(chunks[-1]) == answer
    if len(chunks) > 1 or chunks[0].delta is not None:
        assert "".join(chunk.delta or "" for chunk in chunks) == answer
        texts = [shown(chunk) for chunk in chunks]
        assert all(b.startswith(a) for a, b in itertools.pairwise(texts))
    assert DRAFT not in "".join(repr(chunk.model_dump(exclude={"raw"})) for chunk in chunks)
    assert not any(DRAFT in str(chunk.raw) for chunk in chunks)

    report = report_of(chunks[-1])
    assert report["answered_by"] == models[-1]
    assert [a["model"] for a in report["attempts"]] == models
    assert [a["status"] for a in report["attempts"]] == ["rejected"] * (len(models) - 1) + [
        "accepted"
    ]
    assert server.calls == dict.fromkeys(models, 1)
    assert report["cost_usd"] == pytest.approx(dollars())
    assert report["usage"]["estimated"] is False
    # Only the last chunk carries the report; no message ever does, for it goes to the provider.
    assert sum("cost_usd" in c.additional_kwargs.get("cascade", {}) for c in chunks) == 1
    assert not any(
        isinstance(c, ChatResponse) and "cascade" in c.message.additional_kwargs for c in chunks
    )


async def test_signals_are_the_same_in_every_entry_point(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text("one two", logprob=[-0.1, -0.3])])
    report = report_of((await entry(cascade("cheap"), "hi"))[-1])
    assert report["attempts"][0]["signals"] == {
        "mean_token_probability": pytest.approx(0.8187307530779818),  # exp(-0.2)
        "min_token_probability": pytest.approx(0.7408182206817179),  # exp(-0.3)
    }


async def test_cached_tokens_are_billed_at_their_own_price(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text("yes", usage=Usage(1000, 10, cached_tokens=600))])
    report = report_of((await entry(cascade("cheap"), "hi"))[-1])
    assert report["cost_usd"] == pytest.approx((400 * 1.0 + 600 * 0.1 + 10 * 2.0) / 1e6)
    assert report["usage"]["cached_input_tokens"] == 600


async def test_a_stream_without_usage_is_estimated_and_says_so(
    cascade: Cascade, child: Callable[..., Any]
) -> None:
    llm = CascadeRouterLLM(models=[child("cheap", additional_kwargs={})], prices={"cheap": (1, 2)})
    *_, last = llm.stream_complete("How many words are these?")
    usage = report_of(last)["usage"]
    assert usage["estimated"] is True
    assert usage["input_tokens"] > 0 and usage["output_tokens"] > 0


async def test_keyword_arguments_reach_the_model(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    llm = cascade("cheap")
    llm.chat([_message("hi")], temperature=0.7, seed=5)
    await llm.achat([_message("hi")], temperature=0.7, seed=5)
    list(llm.stream_complete("hi", temperature=0.7, seed=5))
    assert [(r.body["temperature"], r.body["seed"]) for r in server.requests] == [(0.7, 5)] * 3


@pytest.mark.parametrize("formatted", [True, False])
async def test_a_prompt_is_formatted_by_the_model_unless_it_is(
    formatted: bool, child: Callable[..., Any], server: ScriptedServer
) -> None:
    model = child("cheap", completion_to_prompt=lambda prompt: f"<{prompt}>")
    llm = CascadeRouterLLM([model], prices={"cheap": (1, 2)})
    llm.complete("hi", formatted=formatted)
    await llm.acomplete("hi", formatted=formatted)
    list(llm.stream_complete("hi", formatted=formatted))
    [chunk async for chunk in await llm.astream_complete("hi", formatted=formatted)]
    sent = [request.body["messages"][0]["content"] for request in server.requests]
    assert sent == ["hi" if formatted else "<hi>"] * 4


@pytest.mark.parametrize("judged", [False, True])
async def test_a_stream_has_the_models_chunks_one_for_one(judged: bool, fake: Any) -> None:
    models = [fake(model="a"), fake(model="b", says="another")][: 2 if judged else 1]
    llm = CascadeRouterLLM(models, prices={model.model: (1, 2) for model in models})
    hi = [_message("hi")]
    bare = [(c.delta, c.message.content) for c in models[0].stream_chat(hi)]
    assert [(c.delta, c.message.content) for c in llm.stream_chat(hi)] == bare
    stream = await llm.astream_chat(hi)
    assert [(c.delta, c.message.content) async for c in stream] == bare


async def test_every_model_gets_its_own_list_of_messages(fake: Any) -> None:
    def appends(messages: list[Any]) -> str:
        messages.append(_message("mine"))
        return "unsure"

    models = [fake(model="a", says=appends), fake(model="b", says=appends)]
    prices = {"a": (1, 2), "b": (1, 2)}
    llm = CascadeRouterLLM(models, prices=prices, validators=[lambda r: False])
    given = [_message("hi")]
    llm.chat(given)
    await llm.achat(given)
    list(llm.stream_chat(given))
    [chunk async for chunk in await llm.astream_chat(given)]
    assert len(given) == 1
    assert [len(messages) for model in models for messages, _ in model.calls] == [2] * 8


async def test_the_childs_response_is_not_touched(fake: Any) -> None:
    kept = fake(model="cheap")._respond([], {})
    model = fake(model="cheap", says=kept)
    response = CascadeRouterLLM([model], prices={"cheap": (1, 2)}).chat([_message("hi")])
    assert "cascade" in response.additional_kwargs
    assert kept.additional_kwargs == {}


async def test_predict_and_stream_go_through_the_cascade(
    cascade: Cascade, server: ScriptedServer
) -> None:
    from llama_index.core.prompts import PromptTemplate

    server.set_script("cheap", [POOR])
    llm, prompt = cascade(), PromptTemplate("What is {x}?")
    assert llm.predict(prompt, x="this") == "the answer of middle"
    assert await llm.apredict(prompt, x="this") == "the answer of middle"
    assert "".join(llm.stream(prompt, x="this")) == "the answer of middle"
    assert "".join([t async for t in await llm.astream(prompt, x="this")]) == "the answer of middle"


def _message(text: str) -> Any:
    from llama_index.core.llms import ChatMessage

    return ChatMessage(text)
