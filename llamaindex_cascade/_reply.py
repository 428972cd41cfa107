"""From LlamaIndex's responses, whole or in chunks, to the core's reply, and back with a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    MessageRole,
    ToolCallBlock,
)

from cascade_core import Reply, Usage
from cascade_core.tokens import estimate_usage
from llamaindex_cascade import _raw

Response = TypeVar("Response", ChatResponse, CompletionResponse)
Prompt = Callable[[], Sequence[str]]
"""Gives the texts that were sent; asked only where a provider counts no tokens."""

KEY = "cascade"
# A stream ends with a chunk that says why, and one with the usage.
_ENDING = 3


def read_chat(prompt: Prompt, chunks: Sequence[ChatResponse]) -> Reply[ChatResponse]:
    """Return the reply that ``chunks`` make up; one chunk is a whole response."""
    last = chunks[-1] if chunks else _empty_chat()
    text = last.message.content or "".join(chunk.delta or "" for chunk in chunks)
    calls = tool_calls(last)
    reply = Reply(last, text, Usage(), has_tool_calls=bool(calls))
    return _beside_the_text(reply, prompt, calls, chunks, last.message.additional_kwargs)


def read_completion(
    prompt: Prompt, chunks: Sequence[CompletionResponse]
) -> Reply[CompletionResponse]:
    """Return the reply that ``chunks`` make up; one chunk is a whole response."""
    last = chunks[-1] if chunks else CompletionResponse(text="")
    text = last.text or "".join(chunk.delta or "" for chunk in chunks)
    return _beside_the_text(Reply(last, text, Usage()), prompt, [], chunks, {})


def shows(chunk: ChatResponse | CompletionResponse) -> bool:
    """Tell whether a chunk shows the user anything: text, a thought, a tool call."""
    if chunk.delta or _raw.extras(chunk).get("thinking_delta"):
        return True
    return isinstance(chunk, ChatResponse) and bool(tool_calls(chunk))


def tool_calls(response: ChatResponse) -> list[Any]:
    """Return the tool calls of a response, in whichever of the two places they are."""
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    return blocks or list(response.message.additional_kwargs.get("tool_calls") or ())


def stamped(response: Response, report: Mapping[str, Any]) -> Response:
    """Return a copy of ``response`` that says how it came about.

    Never on ``message.additional_kwargs``: the OpenAI integration sends those to the provider.
    """
    return response.model_copy(update={"additional_kwargs": {**_raw.extras(response), KEY: report}})


def _beside_the_text(
    reply: Reply[Response],
    prompt: Prompt,
    calls: Sequence[Any],
    chunks: Sequence[Response],
    message_kwargs: Mapping[str, Any],
) -> Reply[Response]:
    ending = [chunk.raw for chunk in reversed(chunks[-_ENDING:])]
    cost, usage = _own_account(_raw.extras(reply.value))
    if usage is None:
        usage = _usage(chunks, message_kwargs)
    if usage is None:
        usage = estimate_usage(prompt(), reply.text + "".join(map(str, calls)))
    return Reply(
        reply.value,
        reply.text,
        usage,
        finish_reason=next(filter(None, map(_raw.finish_reason, ending)), None),
        token_logprobs=_token_logprobs(chunks),
        has_tool_calls=reply.has_tool_calls,
        refusal="".join(_raw.refusal(chunk.raw) for chunk in chunks) or None,
        cost_usd=cost,
    )


def _own_account(additional_kwargs: Mapping[str, Any]) -> tuple[float | None, Usage | None]:
    """Return what a cascade, as a model of this one, says that all its calls took."""
    report = additional_kwargs.get(KEY)
    usage = _raw.look(report, "usage")
    if usage is None:  # no cascade, or the stream of one that broke before its end
        return None, None
    return _raw.look(report, "cost_usd"), Usage(**usage)


def _usage(chunks: Sequence[Response], message_kwargs: Mapping[str, Any]) -> Usage | None:
    for chunk in reversed(chunks[-_ENDING:]):
        usage = _raw.usage(chunk.raw, _raw.extras(chunk), message_kwargs)
        if usage is not None:
            return usage
    return None


def _token_logprobs(chunks: Sequence[Response]) -> tuple[float, ...] | None:
    values: list[float] = []
    for chunk in chunks:
        # LlamaIndex's own field lists the likeliest tokens of each place, which need not include
        # the one that was written; the provider's does.
        values += _raw.token_logprobs(chunk.raw) or [
            place[0].logprob for place in chunk.logprobs or () if place
        ]
    return tuple(values) or None


def _empty_chat() -> ChatResponse:
    return ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=""))
