"""What the LangChain adapter costs in CPU time per call, beside its rivals in the same run.

python tests/benchmarks/overhead_langchain.py [--rounds 40] [--calls 25] [--json]

The children are instant fakes, no handlers are attached, the variants take turns in every round.
Bars: one child at most 2x ``RunnableWithFallbacks`` over the same child; what the router adds to
the bare child grows by at most 20 % when the history grows to 100,000 characters.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

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


def measure(
    variants: dict[str, Callable[[], Any]], rounds: int, calls: int
) -> dict[str, dict[str, float]]:
    """Return the minimum and the median over the rounds, in µs of CPU time per call."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in variants.items():
                for _ in range(5):  # untimed: a collection or another variant has cooled the caches
                    run()
                start = time.process_time()
                for _ in range(calls):
                    run()
                times[name].append((time.process_time() - start) / calls * 1e6)
            gc.collect()
    finally:
        gc.enable()
    return {
        name: {"min": min(each), "median": statistics.median(each)} for name, each in times.items()
    }


def variants() -> dict[str, Callable[[], Any]]:
    """Return every thing to measure: name -> one call of it."""
    one = InstantModel()
    router = CascadeRouterLLM({"one": one}, prices={"one": PRICES["one"]})
    two = {"one": InstantModel(), "two": InstantModel()}
    histories = {"short": short(), "one long message": one_long(), "100 messages": many_messages()}
    silent = InstantModel(states_usage=False)
    calls: dict[str, Callable[[], Any]] = {}

    def add(name: str, model: Any, messages: list[BaseMessage]) -> None:
        calls[name] = lambda: model.invoke(messages)

    for history, messages in histories.items():
        add(f"bare child, {history}", one, messages)
        add(f"RunnableWithFallbacks, {history}", one.with_fallbacks([InstantModel()]), messages)
        add(f"router of one, {history}", router, messages)
    add("router of two, accepted", CascadeRouterLLM(two, prices=PRICES), histories["short"])
    add(
        "router of two, rejected",
        CascadeRouterLLM(two, prices=PRICES, validators=[rejects]),
        histories["short"],
    )
    add(
        "router of one, usage estimated, short",
        CascadeRouterLLM({"one": silent}, prices={"one": PRICES["one"]}),
        histories["short"],
    )
    return calls


async def variants_async(rounds: int, calls: int) -> dict[str, dict[str, float]]:
    """Return the same figures for awaited calls."""
    one, messages = InstantModel(), short()
    models: dict[str, Any] = {
        "bare child, async": one,
        "RunnableWithFallbacks, async": one.with_fallbacks([InstantModel()]),
        "router of one, async": CascadeRouterLLM({"one": one}, prices={"one": PRICES["one"]}),
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            for _ in range(5):
                await model.ainvoke(messages)
            start = time.process_time()
            for _ in range(calls):
                await model.ainvoke(messages)
            times[name].append((time.process_time() - start) / calls * 1e6)
    return {
        name: {"min": min(each), "median": statistics.median(each)} for name, each in times.items()
    }


def ratios(figures: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return what the bars are set on, from the minima."""
    least = {name: figure["min"] for name, figure in figures.items()}

    def added(history: str) -> float:
        return least[f"router of one, {history}"] - least[f"bare child, {history}"]

    return {
        "router of one / RunnableWithFallbacks": least["router of one, short"]
        / least["RunnableWithFallbacks, short"],
        "the same, async": least["router of one, async"] / least["RunnableWithFallbacks, async"],
        "added, one long message / short": added("one long message") / added("short"),
        "added, 100 messages / short": added("100 messages") / added("short"),
        "router of one, 100 messages / RunnableWithFallbacks": least["router of one, 100 messages"]
        / least["RunnableWithFallbacks, 100 messages"],
        "two calls / one": least["router of two, rejected"] / least["router of one, short"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=25)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args(arguments)
    figures = measure(variants(), options.rounds, options.calls)
    figures |= asyncio.run(variants_async(options.rounds, options.calls))
    result = {"microseconds_per_call": figures, "ratios": ratios(figures)}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"{'CPU µs per call':<48}{'min':>9}{'median':>9}")
    for name, figure in figures.items():
        print(f"{name:<48}{figure['min']:>9.0f}{figure['median']:>9.0f}")
    for name, ratio in result["ratios"].items():
        print(f"{name:<56}{ratio:>9.2f}")


if __name__ == "__main__":
    main()
