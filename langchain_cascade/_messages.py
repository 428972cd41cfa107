"""Between LangChain's messages and the core's requests and replies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatResult

from cascade_core import (
    CascadeAbstained,
    InvalidConfiguration,
    Outcome,
    Reply,
    Request,
    Usage,
)
from cascade_core.conversation import request_about
from cascade_core.tokens import estimate_usage

KEY = "cascade"
"""Where the report lies in ``response_metadata``."""

_FINISH_REASONS = ("finish_reason", "stop_reason", "done_reason")
_GENERATION_INFO = ("finish_reason", "stop_reason", "logprobs")


def to_request(
    messages: Sequence[BaseMessage], unavailable: frozenset[int], run_id: UUID | None = None
) -> Request:
    """Return what a decision may look at, in time that no history lengthens.

    Raises:
        InvalidConfiguration: There is no message.
    """
    run = "" if run_id is None else run_id.hex
    return request_about(messages, lambda message: message.type == "human", _text, unavailable, run)


def to_reply(message: AIMessage, prompt: Sequence[BaseMessage]) -> Reply[AIMessage]:
    """Return the core's view of a child's message.

    Args:
        message: What the child answered.
        prompt: What it was asked; looked at only if it stated no usage.
    """
    metadata = cast("Mapping[str, Any]", message.response_metadata)
    cost_usd, usage = _own_account(message, metadata)
    text = _text(message)
    if usage is None:
        usage = _usage(message) or estimate_usage(
            [_text(m) for m in prompt], text + _written_calls(message)
        )
    return Reply(
        message,
        text,
        usage,
        finish_reason=_finish_reason(metadata),
        token_logprobs=_token_logprobs(metadata),
        has_tool_calls=bool(message.tool_calls),
        refusal=_refusal(message),
        cost_usd=cost_usd,
    )


def to_result(outcome: Outcome[AIMessage]) -> ChatResult:
    """Return the accepted message as LangChain's result, with the report in its metadata."""
    reply = accepted(outcome)
    metadata = cast("dict[str, Any]", reply.value.response_metadata)
    # A copy: an agent writes its name into the message that it gets, and a child may keep its own.
    message = reply.value.model_copy(
        update={
            "id": lasting_id(reply.value),
            "response_metadata": {**metadata, KEY: outcome.report()},
        }
    )
    info = {key: metadata[key] for key in _GENERATION_INFO if key in metadata}
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=info or None)])


def accepted(outcome: Outcome[AIMessage]) -> Reply[AIMessage]:
    """Return the answer.

    Raises:
        CascadeAbstained: The policy chose to give none.
    """
    if outcome.reply is None:
        raise CascadeAbstained(f"The policy gave no answer: {outcome.reason}.", outcome.trace)
    return outcome.reply


def as_message(given: object, name: str) -> AIMessage:
    """Return a child's whole answer as a message.

    Raises:
        InvalidConfiguration: The child answered with something else.
    """
    if isinstance(given, AIMessageChunk):
        return cast("AIMessage", message_chunk_to_message(given))
    if isinstance(given, AIMessage):
        return given
    raise InvalidConfiguration(
        f"Model {name!r} answered with an object of type {type(given).__name__}, not with an "
        "AIMessage. Give chat models, without an output parser behind them."
    )


def lasting_id(message: AIMessage) -> str | None:
    """Return the provider's own id; None for one that LangChain made from the child's run.

    The router's run gives the message an id of its own, the same in every chunk.
    """
    id_ = message.id
    return None if id_ is None or id_.startswith("lc_") else id_


def _text(message: BaseMessage) -> str:
    content = cast("str | list[str | dict[str, Any]]", message.content)
    if isinstance(content, str):
        return content
    return "".join(
        block if isinstance(block, str) else str(block.get("text", ""))
        for block in content
        if isinstance(block, str) or block.get("type") == "text"
    )


def _own_account(
    message: AIMessage, metadata: Mapping[str, Any]
) -> tuple[float | None, Usage | None]:
    """Return what the message itself says that it cost, and took in all."""
    report = cast("Mapping[str, Any]", metadata.get(KEY) or {})
    if "usage" in report:  # a cascade as a model of this one
        return report["cost_usd"], Usage(**report["usage"])
    usage = cast("Mapping[str, Any]", message.usage_metadata or {})
    # LangChain marks what came out of its cache so.
    return (0.0 if usage.get("total_cost") == 0 else None), None


def _usage(message: AIMessage) -> Usage | None:
    stated = message.usage_metadata
    if not stated:
        return None
    details = stated.get("input_token_details") or {}
    return Usage(
        stated.get("input_tokens") or 0,
        stated.get("output_tokens") or 0,
        details.get("cache_read") or 0,
    )


def _finish_reason(metadata: Mapping[str, Any]) -> str | None:
    for key in _FINISH_REASONS:
        reason = metadata.get(key)
        if isinstance(reason, str):
            return reason
    # OpenAI's Responses API.
    details = metadata.get("incomplete_details")
    if not isinstance(details, Mapping):
        return None
    reason = cast("Mapping[str, Any]", details).get("reason")
    return reason if isinstance(reason, str) else None


def _token_logprobs(metadata: Mapping[str, Any]) -> tuple[float, ...] | None:
    logprobs = metadata.get("logprobs")
    if not isinstance(logprobs, Mapping):
        return None
    tokens = cast("Sequence[Mapping[str, Any]]", cast("Any", logprobs).get("content") or ())
    return tuple(float(token["logprob"]) for token in tokens) or None


def _refusal(message: AIMessage) -> str | None:
    kwargs = cast("Mapping[str, Any]", message.additional_kwargs)
    if kwargs.get("refusal"):
        return str(kwargs["refusal"])
    content = cast("str | list[str | dict[str, Any]]", message.content)
    if isinstance(content, str):
        return None
    refusals = (b for b in content if isinstance(b, dict) and b.get("type") == "refusal")
    return next((str(b.get("refusal") or "refused") for b in refusals), None)


def _written_calls(message: AIMessage) -> str:
    return "".join(f"{call['name']}{json.dumps(call['args'])}" for call in message.tool_calls)
