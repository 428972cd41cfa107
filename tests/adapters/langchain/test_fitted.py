"""Every kind of rule that a selector fits decides live as its replay says, however it is asked."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from langchain_cascade import CascadeRouterLLM

TOKENS = {"input_tokens": 10, "output_tokens": 10, "total_tokens": 20}


async def ask(llm: CascadeRouterLLM, entry: int) -> AIMessage:
    if entry == 0:
        return llm.invoke("hi")
    if entry == 1:
        return await llm.ainvoke("hi")
    chunks = list(llm.stream("hi")) if entry == 2 else [c async for c in llm.astream("hi")]
    return sum(chunks[1:], chunks[0])


def message(said: Any) -> AIMessage:
    logprobs = {"content": [{"token": "x", "logprob": said.logprob}]}
    metadata = {"finish_reason": said.finish_reason, "logprobs": logprobs}
    return AIMessage(said.text, response_metadata=metadata)


async def test_live_is_what_the_replay_says(fake: Any, graded: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(fake.__globals__, "USAGE", TOKENS)
    models = {name: fake(name=name) for name in graded.table.arms}
    prices = {name: (10.0**k, 4 * 10.0**k) for k, name in enumerate(models)}
    llm = CascadeRouterLLM(models, policy=graded.policy, prices=prices)
    for row, (name, cost) in enumerate(zip(graded.answered_by, graded.cost_usd, strict=True)):
        for arm, model in enumerate(models.values()):
            model.says[:] = [message(graded.said(row, arm))]
        reply = await ask(llm, row % 4)
        report = reply.response_metadata["cascade"]
        assert (row, report["answered_by"]) == (row, name)
        assert report["cost_usd"] == pytest.approx(cost)
        assert reply.text == graded.said(row, graded.table.column(name)).text
