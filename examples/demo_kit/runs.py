"""Requests through LangChain and through LlamaIndex, graded: who answered, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel
from llama_index.core.llms import ChatMessage

import langchain_cascade
import llamaindex_cascade
from cascade_core import AllModelsFailed, FittedPolicy, SingleModelPolicy
from cascade_core.evaluation import Results
from cascade_core.outcomes import OutcomeTable
from demo_kit.models import Models
from local_models.problems import Problem, grade

INSTRUCTION = "Solve the problem. Answer with the result only."
# After so many failures and no reply the rest would fail, too, and take its time.
GIVE_UP_AFTER = 10

Report = Mapping[str, Any]
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Graded:
    """One graded request: the report that the reply carried, and 1 for right or 0 for wrong.

    Without an answer `error` holds the failures, and the request counts as wrong.
    """

    report: Report
    quality: float
    error: AllModelsFailed | None = None

    @classmethod
    def failed(cls, error: AllModelsFailed) -> Graded:
        """Return the outcome of a request that no model answered."""
        assert error.trace is not None
        report = {
            "answered_by": None,
            "cost_usd": error.trace.cost_usd or 0.0,
            "latency_seconds": sum(a.latency_seconds for a in error.trace.attempts),
        }
        return cls(report, 0.0, error)

    def of_arm(self, name: str) -> tuple[Report, float]:
        """Return the outcome of asking `name` alone; a failure is a reply to be rejected."""
        if self.error is None:
            return self.report, self.quality
        attempt: Report = {**self.report, "rejected_by": "failure", "signals": {}}
        return {"answered_by": name, "attempts": [attempt]}, self.quality


def collect(
    models: Models, problems: Sequence[Problem], advance: Advance
) -> tuple[OutcomeTable, dict[str, int]]:
    """Ask every model every problem; return the graded outcomes and each model's failures."""
    names = list(models.langchain)
    columns = [
        through_langchain(models.only(name), SingleModelPolicy(0), problems, advance)
        for name in names
    ]
    rows = [
        {name: cell.of_arm(name) for name, cell in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]
    failures = {
        name: sum(cell.error is not None for cell in column)
        for name, column in zip(names, columns, strict=True)
    }
    return OutcomeTable.from_reports(names, rows), failures


def through_langchain(
    models: Models,
    policy: SingleModelPolicy | FittedPolicy,
    problems: Sequence[Problem],
    advance: Advance,
) -> list[Graded]:
    """Answer the problems with a LangChain chain whose model is the cascade."""
    router = langchain_cascade.CascadeRouterLLM(
        models=models.langchain, policy=policy, prices=models.prices
    )
    prompt = ChatPromptTemplate.from_messages([("system", INSTRUCTION), ("human", "{problem}")])
    chain: Runnable[dict[str, str], dict[str, Any]] = (
        prompt | router | RunnableParallel(text=StrOutputParser(), report=RunnableLambda(_report))
    )
    graded: dict[int, Graded] = {}
    inputs = [{"problem": problem.prompt} for problem in problems]
    config = RunnableConfig(max_concurrency=models.concurrency)
    for i, output in chain.batch_as_completed(inputs, config=config, return_exceptions=True):
        graded[i] = _graded(problems[i], output)
        advance()
        _give_up_on_the_dead(list(graded.values()))
    return [graded[i] for i in range(len(problems))]


def _report(message: BaseMessage) -> Report:
    report: Report = message.response_metadata["cascade"]
    return report


def _graded(problem: Problem, output: dict[str, Any] | Exception) -> Graded:
    if isinstance(output, AllModelsFailed):
        return Graded.failed(output)
    if isinstance(output, Exception):
        raise output
    return Graded(output["report"], float(grade(problem, output["text"])))


def _give_up_on_the_dead(graded: Sequence[Graded]) -> None:
    if (
        len(graded) == GIVE_UP_AFTER
        and (error := graded[-1].error)
        and all(cell.error for cell in graded)
    ):
        cause = error.exceptions[-1]
        raise SystemExit(
            f"The first {GIVE_UP_AFTER} requests failed, so the demo stops. {error.message}\n"
            f"{type(cause).__name__}: {cause}"
        )


def through_llamaindex(
    models: Models, policy: FittedPolicy, problems: Sequence[Problem], advance: Advance
) -> list[Graded]:
    """Answer the problems with a LlamaIndex LLM that is the cascade."""
    router = llamaindex_cascade.CascadeRouterLLM(
        models=models.llamaindex, policy=policy, prices=models.prices
    )

    async def answer(problem: Problem, turn: asyncio.Semaphore) -> Graded:
        messages = [
            ChatMessage(role="system", content=INSTRUCTION),
            ChatMessage(role="user", content=problem.prompt),
        ]
        try:
            async with turn:
                response = await router.achat(messages)
        except AllModelsFailed as error:
            return Graded.failed(error)
        finally:
            advance()
        report: Report = dict[str, Any](response.additional_kwargs)["cascade"]
        return Graded(report, float(grade(problem, response.message.content or "")))

    async def answer_all() -> list[Graded]:
        turn = asyncio.Semaphore(models.concurrency)
        return await asyncio.gather(*(answer(problem, turn) for problem in problems))

    return asyncio.run(answer_all())


def as_results(arms: Sequence[str], graded: Sequence[Graded]) -> Results:
    """Return what was measured, request by request; arm -1 where no model answered."""
    index: dict[str | None, int] = {None: -1, **{arm: m for m, arm in enumerate(arms)}}
    return Results(
        tuple(arms),
        quality=np.array([cell.quality for cell in graded]),
        cost_usd=np.array([cell.report["cost_usd"] for cell in graded]),
        latency_seconds=np.array([cell.report["latency_seconds"] for cell in graded]),
        answered_by=np.array([index[cell.report["answered_by"]] for cell in graded]),
    )
