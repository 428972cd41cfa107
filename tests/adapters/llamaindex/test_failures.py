"""A model that fails is replaced; a caller's own error is not taken for a model's."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import openai
import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from cascade_core import Abstain, Call, Reply, SingleModelPolicy, Trace
from llamaindex_cascade import (
    AllModelsFailed,
    CascadeAbstained,
    CascadeRouterLLM,
    InvalidConfiguration,
    ThresholdCascade,
    ValidatorError,
)
from scripted_server import Dies, EmptyChoices, Fault, Hang, Malformed, ScriptedServer, Slow, Text

Cascade = Callable[..., CascadeRouterLLM]
Response = ChatResponse | CompletionResponse
Entry = Callable[[CascadeRouterLLM, str], Awaitable[Sequence[Response]]]

DRAFT = Text("DRAFT never to be seen at all")
HI = [ChatMessage("hi")]
FAULTS = {
    "429": Fault(429),
    "500": Fault(500),
    "503": Fault(503),
    "401": Fault(401),
    "context length": Fault.context_length(),
    "hangs": Hang(20),
    "dies": Dies(DRAFT, after_chunks=3),
    "bad JSON": Malformed(DRAFT, after_chunks=3),
}


def last_report(chunks: Sequence[Response]) -> dict[str, Any]:
    report: dict[str, Any] = chunks[-1].additional_kwargs["cascade"]
    return report


@pytest.fixture
def pair(child: Callable[..., Any]) -> CascadeRouterLLM:
    """A hasty cheap model and a strong one."""
    prices = {"cheap": (1.0, 2.0), "strong": (100.0, 200.0)}
    return CascadeRouterLLM(
        [child("cheap", timeout=0.5), child("strong", timeout=0.5)], prices=prices
    )


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_next_model_takes_over(
    fault: str, entry: Entry, pair: CascadeRouterLLM, server: ScriptedServer
) -> None:
    server.set_script("cheap", [FAULTS[fault]])
    chunks = await entry(pair, "hi")
    report = last_report(chunks)
    assert report["answered_by"] == "strong"
    failed = report["attempts"][0]
    assert failed["status"] == "failed" and failed["error"]
    assert "DRAFT" not in "".join(map(str, chunks))


async def test_a_reply_without_choices_is_the_models_failure(
    entry: Entry, pair: CascadeRouterLLM, server: ScriptedServer
) -> None:
    server.set_script("cheap", [EmptyChoices()])
    report = last_report(await entry(pair, "hi"))
    assert report["answered_by"] == "strong"


@pytest.mark.parametrize("fault", ["500", "dies"])
async def test_a_stream_that_breaks_before_it_showed_anything_falls_back_even_when_live(
    fault: str, pair: CascadeRouterLLM, child: Callable[..., Any], server: ScriptedServer
) -> None:
    broken = {"500": Fault(500), "dies": Dies(DRAFT, after_chunks=1)}[fault]
    server.set_script("cheap", [broken])
    models = [child("cheap"), child("strong")]
    prices = {"cheap": (1, 2), "strong": (1, 2)}
    llm = CascadeRouterLLM(models, prices=prices, policy=SingleModelPolicy(0))
    *_, last = llm.stream_chat(HI)
    assert last.message.content == "the answer of strong"
    *_, last = [chunk async for chunk in await llm.astream_chat(HI)]
    assert last.message.content == "the answer of strong"


async def test_a_live_stream_that_breaks_says_so_at_its_place(
    cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Dies(Text("one two three four"), after_chunks=3)])
    llm, seen = cascade("cheap"), []
    with pytest.raises(Exception, match="peer closed connection"):
        for chunk in llm.stream_chat(HI):
            seen.append(chunk.delta)
    assert "".join(seen) == "one two"
    seen.clear()
    with pytest.raises(Exception, match="peer closed connection"):
        async for chunk in await llm.astream_chat(HI):
            seen.append(chunk.delta)
    assert "".join(seen) == "one two"
    assert server.calls["cheap"] == 2


async def test_what_a_broken_draft_had_said_is_billed(
    pair: CascadeRouterLLM, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Dies(Text("one two three four"), after_chunks=3)])
    *_, last = pair.stream_chat(HI)
    failed = last_report([last])["attempts"][0]
    assert failed["usage"]["estimated"] is True
    assert failed["cost_usd"] > 0


@pytest.mark.parametrize(("fault", "may_be_billed"), [(Hang(20), True), (Fault(500), False)])
async def test_a_time_out_may_be_billed_and_a_refusal_to_serve_is_not(
    fault: Any, may_be_billed: bool, entry: Entry, pair: CascadeRouterLLM, server: ScriptedServer
) -> None:
    server.set_script("cheap", [fault])
    report = last_report(await entry(pair, "hi"))
    failed = report["attempts"][0]
    assert failed["may_be_billed"] is may_be_billed
    assert failed["cost_usd"] == 0 and report["cost_usd"] > 0


def test_a_refused_connection_is_not_billed(child: Callable[..., Any]) -> None:
    with socket.socket() as reserved:  # bound and not listening: nobody answers there
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        models = [child("cheap", api_base=address), child("strong")]
        llm = CascadeRouterLLM(models, prices={"cheap": (1, 2), "strong": (3, 4)})
        report = last_report([llm.chat(HI)])
    assert report["attempts"][0]["error"] == "APIConnectionError"
    assert report["attempts"][0]["may_be_billed"] is False


async def test_all_fail_and_every_cause_is_told(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Fault(429)])
    server.set_script("middle", [Fault(500)])
    server.set_script("strong", [Fault(401)])
    with pytest.raises(AllModelsFailed) as caught:
        await entry(cascade(), "hi")
    kinds = [type(error) for error in caught.value.exceptions]
    assert kinds == [
        openai.RateLimitError,
        openai.InternalServerError,
        openai.AuthenticationError,
    ]
    assert caught.value.trace is not None and len(caught.value.trace.failures) == 3


async def test_a_spent_token_budget_surfaces_and_buys_no_dearer_model(
    entry: Entry, child: Callable[..., Any], server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text("unsure", logprob=-3)])
    counter = TokenCountingHandler(tokenizer=str.split, token_budget=1)
    # On the first model only: the handler itself must not be what keeps the second one quiet.
    models = [child("cheap", callback_manager=CallbackManager([counter])), child("strong")]
    llm = CascadeRouterLLM(models, prices={"cheap": (1, 2), "strong": (1, 2)})
    with pytest.raises(ValueError, match="Token budget exceeded"):
        await entry(llm, "a question of several words")
    assert server.calls["strong"] == 0


@pytest.mark.parametrize("error", [KeyError("slip"), IndexError("slip"), ValueError("slip")])
def test_a_bug_surfaces(error: Exception, fake: Any) -> None:
    llm = CascadeRouterLLM(
        [fake(model="a", says=error), fake(model="b")], prices={"a": (1, 2), "b": (1, 2)}
    )
    with pytest.raises(type(error)):
        llm.chat(HI)


def test_escalate_on_adds_to_the_models_failures(fake: Any) -> None:
    class Mine(Exception):
        pass

    models = [fake(model="a", says=Mine("down")), fake(model="b")]
    prices = {"a": (1, 2), "b": (1, 2)}
    with pytest.raises(Mine):
        CascadeRouterLLM(models, prices=prices).chat(HI)
    for given in (Mine, (Mine,)):
        llm = CascadeRouterLLM(models, prices=prices, escalate_on=given)
        assert llm.chat(HI).message.content == "fake answer"


async def test_a_validator_that_raises_is_the_validators_error(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    def broken(reply: Reply[Any]) -> bool:
        raise RuntimeError("my slip")

    with pytest.raises(ValidatorError, match="broken") as caught:
        await entry(cascade("cheap", "strong", validators=[broken]), "hi")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert server.calls["strong"] == 0


async def test_a_validator_decides_in_every_entry_point(
    entry: Entry, cascade: Cascade, server: ScriptedServer
) -> None:
    def from_strong(reply: Reply[Any]) -> bool:
        return "strong" in reply.text

    report = last_report(await entry(cascade(validators={"strong": from_strong}), "hi"))
    assert report["answered_by"] == "strong"
    assert [a["rejected_by"] for a in report["attempts"]][:2] == ["validator strong"] * 2


async def test_an_asynchronous_validator_is_awaited(cascade: Cascade) -> None:
    async def no(reply: Reply[Any]) -> bool:
        await asyncio.sleep(0)
        return False

    llm = cascade("cheap", "strong", validators=[no])
    assert last_report([await llm.achat(HI)])["answered_by"] == "strong"
    with pytest.raises(ValidatorError, match="asynchronous"):
        llm.chat(HI)


class _Abstains:
    """Asks the first arm, and then prefers silence."""

    needs_cost = False

    def check(self, n_arms: int) -> None:
        pass

    def decide(self, trace: Trace) -> Call | Abstain:
        return Abstain("not sure enough") if trace.attempts else Call(0)


async def test_an_abstention_is_raised_with_its_reason_and_trace(
    entry: Entry, cascade: Cascade
) -> None:
    with pytest.raises(CascadeAbstained, match="not sure enough") as caught:
        await entry(cascade(policy=_Abstains()), "hi")
    assert caught.value.trace is not None and len(caught.value.trace.attempts) == 1


async def test_no_messages_is_a_clear_error(cascade: Cascade, server: ScriptedServer) -> None:
    llm = cascade()
    for ask in (llm.chat, llm.stream_chat):
        with pytest.raises(InvalidConfiguration, match="at least one message"):
            ask([])
    for ask_async in (llm.achat, llm.astream_chat):
        with pytest.raises(InvalidConfiguration, match="at least one message"):
            await ask_async([])
    with pytest.raises(InvalidConfiguration, match="at least one message"):
        llm.chat_with_tools([])
    assert server.calls == {}


async def test_cancelling_reaches_the_model_and_asks_no_other(
    cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Hang(20)])
    llm = cascade()
    for ask in (llm.achat, llm.astream_chat):
        task = asyncio.create_task(ask(HI))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert set(server.calls) == {"cheap"}


async def test_the_loop_is_never_blocked(cascade: Cascade, server: ScriptedServer) -> None:
    server.set_script("cheap", [Hang(0.3, Text("unsure", logprob=-3))])
    server.set_script("middle", [Slow(Text("one two three"), 0.05)])
    llm = cascade()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    [chunk async for chunk in await llm.astream_chat(HI)]
    await llm.achat(HI)
    ticking.cancel()
    assert ticks > 20


async def test_a_final_call_streams_while_it_arrives(
    cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Slow(Text("one two three four five six"), 0.1)])
    llm = cascade("cheap")
    start = time.perf_counter()
    times = [time.perf_counter() - start async for _ in await llm.astream_chat(HI)]
    assert times[0] < 0.5 * times[-1]
    start = time.perf_counter()
    times = [time.perf_counter() - start for _ in llm.stream_chat(HI)]
    assert times[0] < 0.5 * times[-1]


async def test_closing_a_stream_closes_the_models(fake: Any) -> None:
    closed: list[str] = []
    kept: list[Any] = []  # else the garbage collector would close them for us

    class Closing(fake):  # type: ignore[misc]
        def stream_chat(self, messages: Any, **kwargs: Any) -> Any:
            def chunks() -> Any:
                try:
                    for word in ("one", "two", "three"):
                        yield ChatResponse(message=ChatMessage(word, role="assistant"), delta=word)
                finally:
                    closed.append("sync")

            kept.append(chunks())
            return kept[-1]

        async def astream_chat(self, messages: Any, **kwargs: Any) -> Any:
            async def chunks() -> Any:
                try:
                    for word in ("one", "two", "three"):
                        yield ChatResponse(message=ChatMessage(word, role="assistant"), delta=word)
                finally:
                    closed.append("async")

            kept.append(chunks())
            return kept[-1]

    llm = CascadeRouterLLM([Closing(model="a")], prices={"a": (1, 2)})
    stream = llm.stream_chat(HI)
    next(stream)
    stream.close()
    assert closed == ["sync"]
    awaited = await llm.astream_chat(HI)
    await anext(awaited)
    await awaited.aclose()
    assert closed == ["sync", "async"]


async def test_fifty_at_once_do_not_mix(
    cascade: Cascade, server: ScriptedServer, dollars: Callable[[], float]
) -> None:
    def echo(sure: bool) -> Callable[[Any], Text]:
        def reply(body: Any) -> Text:
            asked = body["messages"][-1]["content"]
            number = int(asked.split()[-1])
            unsure = not sure and number % 2 == 1
            return Text(f"answer to {asked}", logprob=-3.0 if unsure else -0.01)

        return reply

    server.set_script("cheap", echo(sure=False))
    server.set_script("strong", echo(sure=True))
    llm = cascade("cheap", "strong", policy=ThresholdCascade((0, 1), (0.5,)))

    async def plain(i: int) -> Response:
        return await llm.achat([ChatMessage(f"question {i}")])

    async def streamed(i: int) -> Response:
        return [chunk async for chunk in await llm.astream_chat([ChatMessage(f"question {i}")])][-1]

    answers = await asyncio.gather(*((plain, streamed)[i % 4 < 2](i) for i in range(50)))
    for i, answer in enumerate(answers):
        assert isinstance(answer, ChatResponse)
        assert answer.message.content == f"answer to question {i}"
        assert last_report([answer])["answered_by"] == ("strong" if i % 2 else "cheap")
    assert server.calls == {"cheap": 50, "strong": 25}
    spent = sum(last_report([answer])["cost_usd"] for answer in answers)
    assert spent == pytest.approx(dollars())
