"""Every kind of rule that a selector fits decides live as its replay says, however it is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole

from llamaindex_cascade import CascadeRouterLLM

Entry = Callable[[CascadeRouterLLM, str], Awaitable[Sequence[Any]]]


def response(said: Any) -> ChatResponse:
    logprobs = {"content": [{"token": "x", "logprob": said.logprob}]}
    return ChatResponse(
        message=ChatMessage(said.text, role=MessageRole.ASSISTANT),
        raw={
            "usage": {"prompt_tokens": 10, "completion_tokens": 10},
            "choices": [{"finish_reason": said.finish_reason, "logprobs": logprobs}],
        },
    )


async def test_live_is_what_the_replay_says(fake: Any, graded: Any, chats: list[Entry]) -> None:
    models = [fake(model=name) for name in graded.table.arms]
    prices = {model.model: (10.0**k, 4 * 10.0**k) for k, model in enumerate(models)}
    llm = CascadeRouterLLM(models=models, policy=graded.policy, prices=prices)
    for row, (name, cost) in enumerate(zip(graded.answered_by, graded.cost_usd, strict=True)):
        for arm, model in enumerate(models):
            model.says = response(graded.said(row, arm))
        replies = await chats[row % len(chats)](llm, "hi")
        report = replies[-1].additional_kwargs["cascade"]
        assert (row, report["answered_by"]) == (row, name)
        assert report["cost_usd"] == pytest.approx(cost)
        assert replies[-1].message.content == graded.said(row, graded.table.column(name)).text
        assert all(replies[-1].message.content.startswith(r.message.content) for r in replies)
