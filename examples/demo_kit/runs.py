"""Requests through LangChain and through LlamaIndex, graded: who answered, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableParallel
from llama_index.core.llms import ChatMessage

import langchain_cascade
import llamaindex_cascade
from cascade_core import SingleModelPolicy
from cascade_core.evaluation import Results
from cascade_core.fitting import FittedPolicy
from cascade_core.outcomes import OutcomeTable
from demo_kit.models import Models
from local_models.problems import Problem, grade

INSTRUCTION = "Solve the problem. Answer with the result only."
# As many requests at once as the machine has cores: more would only queue, and inflate latency.
CONCURRENCY = 2

Report = Mapping[str, Any]
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Graded:
    """One graded request: the report that the reply carried, and 1 for right or 0 for wrong."""

    report: Report
    quality: float


def collect(models: Models, problems: Sequence[Problem], advance: Advance) -> OutcomeTable:
    """Ask every model every problem, and return the graded outcomes."""
    names = list(models.langchain)
    columns = [
        through_langchain(models, SingleModelPolicy(m), problems, advance)
        for m in range(len(names))
    ]
    rows = [
        {name: (cell.report, cell.quality) for name, cell in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]
    return OutcomeTable.from_reports(names, rows)


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
        prompt
        | router
        | RunnableParallel(
            text=StrOutputParser(), report=lambda message: message.response_metadata["cascade"]
        )
    )
    graded: list[Graded | None] = [None] * len(problems)
    inputs = [{"problem": problem.prompt} for problem in problems]
    config = {"max_concurrency": CONCURRENCY}
    for i, output in chain.batch_as_completed(inputs, config=config):
        graded[i] = Graded(output["report"], float(grade(problems[i], output["text"])))
        advance()
    return [cell for cell in graded if cell is not None]


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
        async with turn:
            response = await router.achat(messages)
        advance()
        report = response.additional_kwargs["cascade"]
        return Graded(report, float(grade(problem, response.message.content or "")))

    async def answer_all() -> list[Graded]:
        turn = asyncio.Semaphore(CONCURRENCY)
        return await asyncio.gather(*(answer(problem, turn) for problem in problems))

    return asyncio.run(answer_all())


def as_results(arms: Sequence[str], graded: Sequence[Graded]) -> Results:
    """Return what was measured, request by request."""
    return Results(
        tuple(arms),
        quality=np.array([cell.quality for cell in graded]),
        cost_usd=np.array([cell.report["cost_usd"] for cell in graded]),
        latency_seconds=np.array([cell.report["latency_seconds"] for cell in graded]),
        answered_by=np.array([arms.index(cell.report["answered_by"]) for cell in graded]),
    )
