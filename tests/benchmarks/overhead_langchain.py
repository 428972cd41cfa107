"""What the LangChain adapter costs in CPU time per call, beside its rivals in the same run.

python tests/benchmarks/overhead_langchain.py [--rounds 40] [--calls 25] [--json]

The children are instant fakes, no handlers are attached, the variants take turns in every round.
Bars: one child at most 2x ``RunnableWithFallbacks`` over the same child; what the router adds to
the bare child, and a call whose usage it must estimate, grow by at most 20 % when the history grows
to 100,000 characters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from _timing import Figures, least, measure, measure_async, show
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from cascade_core import Price
from langchain_cascade import CascadeRouterLLM

CHARACTERS = 100_000
PRICES = {name: Price(input=1.0, output=4.0) for name in ("one", "two")}


class InstantModel(BaseChatModel):
    """Answers at once; with usage, as providers do."""

    name: str | None = "one"
    states_usage: bool = True

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
        message = AIMessage(
            content="an answer",
            response_metadata={"model_name": "instant", "finish_reason": "stop"},
            usage_metadata=usage if self.states_usage else None,  # type: ignore[arg-type]
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, messages: Any, stop: Any = None, **kwargs: Any) -> ChatResult:  # type: ignore[override]
        return self._generate(messages)


def short() -> list[BaseMessage]:
    """One message of fifty characters."""
    return [HumanMessage("What is the answer to the question of everything?")]


def one_long() -> list[BaseMessage]:
    """One message of 100,000 characters."""
    return [HumanMessage("x" * CHARACTERS)]


def many_messages(count: int = 100) -> list[BaseMessage]:
    """A conversation of 100,000 characters in so many messages."""
    kinds = (HumanMessage, AIMessage)
    size = CHARACTERS // count
    return [kinds[i % 2]("x" * size) for i in range(count - 1)] + [HumanMessage("x" * size)]


def rejects(reply: Any) -> bool:
    """Send every draft on; the last model answers all the same."""
    return False


def variants() -> dict[str, Callable[[], Any]]:
    """Return every thing to measure: name -> one call of it."""
    one = InstantModel()
    router = CascadeRouterLLM({"one": one}, prices={"one": PRICES["one"]})
    two = {"one": InstantModel(), "two": InstantModel()}
    histories = {"short": short(), "one long message": one_long(), "100 messages": many_messages()}
    silent = {"one": InstantModel(states_usage=False)}
    unstated = CascadeRouterLLM(silent, prices={"one": PRICES["one"]})
    calls: dict[str, Callable[[], Any]] = {}

    def add(name: str, model: Any, messages: list[BaseMessage]) -> None:
        calls[name] = lambda: model.invoke(messages)

    for history, messages in histories.items():
        add(f"bare child, {history}", one, messages)
        add(f"RunnableWithFallbacks, {history}", one.with_fallbacks([InstantModel()]), messages)
        add(f"router of one, {history}", router, messages)
        add(f"router of one, usage estimated, {history}", unstated, messages)
    add("router of two, accepted", CascadeRouterLLM(two, prices=PRICES), histories["short"])
    add(
        "router of two, rejected",
        CascadeRouterLLM(two, prices=PRICES, validators=[rejects]),
        histories["short"],
    )
    return calls


def variants_async() -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what is awaited: name -> one call of it."""
    one, messages = InstantModel(), short()
    fallbacks = one.with_fallbacks([InstantModel()])
    router = CascadeRouterLLM({"one": one}, prices={"one": PRICES["one"]})
    return {
        "bare child, async": lambda: one.ainvoke(messages),
        "RunnableWithFallbacks, async": lambda: fallbacks.ainvoke(messages),
        "router of one, async": lambda: router.ainvoke(messages),
    }


def ratios(figures: Figures) -> dict[str, float]:
    """Return what the bars are set on, from the minima."""
    cost = least(figures)

    def added(history: str) -> float:
        return cost[f"router of one, {history}"] - cost[f"bare child, {history}"]

    def unstated(history: str) -> float:
        return cost[f"router of one, usage estimated, {history}"]

    return {
        "router of one / RunnableWithFallbacks": cost["router of one, short"]
        / cost["RunnableWithFallbacks, short"],
        "the same, async": cost["router of one, async"] / cost["RunnableWithFallbacks, async"],
        "added, one long message / short": added("one long message") / added("short"),
        "added, 100 messages / short": added("100 messages") / added("short"),
        "router of one, 100 messages / RunnableWithFallbacks": cost["router of one, 100 messages"]
        / cost["RunnableWithFallbacks, 100 messages"],
        "usage estimated, one long message / short": unstated("one long message")
        / unstated("short"),
        "usage estimated, 100 messages / short": unstated("100 messages") / unstated("short"),
        "two calls / one": cost["router of two, rejected"] / cost["router of one, short"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    figures = measure(variants(), options.rounds, options.calls)
    figures |= asyncio.run(measure_async(variants_async(), options.rounds, options.calls))
    if options.json:
        result = {"microseconds_per_call": figures, "ratios": ratios(figures)}
        print(json.dumps(result, indent=2))
    else:
        show("CPU µs per call", figures, ratios(figures))


if __name__ == "__main__":
    main()
