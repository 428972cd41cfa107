"""What the LlamaIndex adapter costs in CPU time per chat, beside the bare child in the same run.

python tests/benchmarks/overhead_llamaindex.py [--rounds 9] [--calls 100] [--json]

The children are instant fakes, no handlers are attached, the variants take turns in every round.
Bars: one child at most 350 µs per chat; a history of 100,000 characters, in one message or in many,
adds at most 20 % to that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from _timing import Figures, least, measure, measure_async, show
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    MessageRole,
)
from llama_index.core.llms.callbacks import llm_chat_callback
from llama_index.core.llms.function_calling import FunctionCallingLLM

from cascade_core import Price
from llamaindex_cascade import CascadeRouterLLM

CHARACTERS = 100_000
BAR_MICROSECONDS, BAR_GROWTH = 350.0, 1.2
PRICES = {name: Price(input=1.0, output=4.0) for name in ("one", "two")}
USAGE = {"usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}


class InstantLLM(FunctionCallingLLM):
    """Answers at once; with usage, as providers do, unless told not to."""

    states_usage: bool = True

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=True, model_name="instant")

    def _respond(self) -> ChatResponse:
        message = ChatMessage(role=MessageRole.ASSISTANT, content="an answer")
        return ChatResponse(message=message, raw=USAGE if self.states_usage else None)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._respond()

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._respond()

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        def chunks() -> Any:
            yield self._respond()

        return chunks()

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> Any:
        raise NotImplementedError

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    def _prepare_chat_with_tools(self, tools: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        raise NotImplementedError


def short() -> list[ChatMessage]:
    """One message of fifty characters."""
    return [ChatMessage("What is the answer to the question of everything?")]


def one_long() -> list[ChatMessage]:
    """One message of 100,000 characters."""
    return [ChatMessage("x" * CHARACTERS)]


def many_messages(count: int = 100) -> list[ChatMessage]:
    """A conversation of 100,000 characters in so many messages."""
    roles = (MessageRole.USER, MessageRole.ASSISTANT)
    size = CHARACTERS // count
    return [ChatMessage("x" * size, role=roles[(count - 1 - i) % 2]) for i in range(count)]


def rejects(reply: Any) -> bool:
    """Send every draft on; the last model answers all the same."""
    return False


def variants() -> dict[str, Callable[[], Any]]:
    """Return every thing to measure: name -> one call of it."""
    bare, silent = InstantLLM(), InstantLLM(states_usage=False)
    one = CascadeRouterLLM({"one": bare}, prices={"one": PRICES["one"]})
    unstated = CascadeRouterLLM({"one": silent}, prices={"one": PRICES["one"]})
    two = {"one": InstantLLM(), "two": InstantLLM()}
    histories = {"short": short(), "one long message": one_long(), "100 messages": many_messages()}
    calls: dict[str, Callable[[], Any]] = {}

    def add(name: str, model: Any, messages: list[ChatMessage]) -> None:
        calls[name] = lambda: model.chat(messages)

    for history, messages in histories.items():
        add(f"bare child, {history}", bare, messages)
        add(f"cascade of one, {history}", one, messages)
        add(f"cascade of one, usage estimated, {history}", unstated, messages)
    add("cascade of two, accepted", CascadeRouterLLM(two, prices=PRICES), histories["short"])
    add(
        "cascade of two, rejected",
        CascadeRouterLLM(two, prices=PRICES, validators=[rejects]),
        histories["short"],
    )
    calls["bare child, stream"] = lambda: list(bare.stream_chat(histories["short"]))
    calls["cascade of one, stream"] = lambda: list(one.stream_chat(histories["short"]))
    return calls


def variants_async() -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what is awaited: name -> one call of it."""
    bare, messages = InstantLLM(), short()
    one = CascadeRouterLLM({"one": bare}, prices={"one": PRICES["one"]})
    return {
        "bare child, async": lambda: bare.achat(messages),
        "cascade of one, async": lambda: one.achat(messages),
    }


def ratios(figures: Figures) -> dict[str, float]:
    """Return what the bars are set on, from the minima."""
    cost = least(figures)

    def grown(kind: str, history: str) -> float:
        return cost[f"{kind}, {history}"] / cost[f"{kind}, short"]

    made = {
        f"{kind}, {history} / short": grown(kind, history)
        for kind in ("bare child", "cascade of one", "cascade of one, usage estimated")
        for history in ("one long message", "100 messages")
    }
    made["cascade of one / bare child"] = cost["cascade of one, short"] / cost["bare child, short"]
    made["the same, async"] = cost["cascade of one, async"] / cost["bare child, async"]
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    figures = measure(variants(), options.rounds, options.calls)
    figures |= asyncio.run(measure_async(variants_async(), options.rounds, options.calls))
    if options.json:
        result = {
            "microseconds_per_call": figures,
            "ratios": ratios(figures),
            "bars": {"microseconds": BAR_MICROSECONDS, "growth": BAR_GROWTH},
        }
        print(json.dumps(result, indent=2))
    else:
        show("CPU µs per chat", figures, ratios(figures))
        print(f"bars: {BAR_MICROSECONDS:.0f} µs with one child, growth at most {BAR_GROWTH}")


if __name__ == "__main__":
    main()
