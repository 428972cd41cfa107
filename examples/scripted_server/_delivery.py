"""Delivering a reply: in one piece or streamed, on time or not, whole or not."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from starlette.responses import JSONResponse, Response

from openai_wire import (
    DONE,
    ChatRequest,
    ChatWire,
    ConnectionDropped,
    EventStream,
    JsonObject,
    TokenLogprob,
    ToolCall,
    TruncatedBody,
    Usage,
    WireError,
    assistant_message,
    logprobs_field,
)

from .replies import (
    Dies,
    EmptyChoices,
    Fault,
    Hang,
    Malformed,
    Reply,
    Slow,
    Text,
    ToolCalls,
    word_tokens,
)

Bill = Callable[[Usage], None]
_NO_JSON = b'data: {"id": "chatcmpl-broken", "choices": [{"delta"\n\n'


@dataclass(frozen=True, slots=True)
class Plan:
    """A reply without its wrappers, and what they ask for."""

    content: Text | ToolCalls | EmptyChoices | Fault
    hang_seconds: float = 0.0
    seconds_per_chunk: float = 0.0
    dies_after: int | None = None
    malformed_after: int | None = None


def unwrap(reply: Reply) -> Plan:
    """Peel the wrappers off; of two that contradict each other the outer one counts."""
    match reply:
        case Hang(seconds, then):
            plan = unwrap(then)
            return replace(plan, hang_seconds=plan.hang_seconds + seconds)
        case Slow(inner, seconds):
            return replace(unwrap(inner), seconds_per_chunk=seconds)
        case Dies(inner, chunks):
            return replace(unwrap(inner), dies_after=chunks)
        case Malformed(inner, chunks):
            return replace(unwrap(inner), malformed_after=chunks)
        case _:
            return Plan(reply)


@dataclass(frozen=True, slots=True)
class Piece:
    """A delta of a stream and how many tokens it is billed for."""

    delta: JsonObject
    tokens: int
    logprob: TokenLogprob | None = None


async def deliver(plan: Plan, request: ChatRequest, bill: Bill) -> Response:
    """The response for `plan`; `bill` is told of tokens as they are sent."""
    await asyncio.sleep(plan.hang_seconds)
    if isinstance(plan.content, Fault):
        raise wire_error(plan.content)
    wire = ChatWire(request.model, include_usage=request.include_usage)
    if request.stream:
        return EventStream(_spoiled(_events(plan.content, request, wire, bill), plan))
    return await _whole(plan, plan.content, request, wire, bill)


def wire_error(fault: Fault) -> WireError:
    """The error to raise for a scripted fault."""
    message, kind, code = fault.fields
    after = fault.retry_after_seconds
    headers = {} if after is None else {"retry-after": f"{after:g}"}
    return WireError(
        message, status=fault.status, type=kind, code=code, param=fault.param, headers=headers
    )


def usage_of(content: Text | ToolCalls | EmptyChoices, request: ChatRequest) -> Usage:
    """What the reply costs when it is delivered whole: the words read and written."""
    if content.usage is not None:
        return content.usage
    prompt = prompt_tokens(request)
    if isinstance(content, EmptyChoices):
        return Usage(prompt)
    written = sum(piece.tokens for piece in _pieces(content))
    return Usage(prompt, written, min(content.cached_tokens, prompt))


def prompt_tokens(request: ChatRequest) -> int:
    """The words of the messages, and of tools and response format, as these are read too."""
    texts = [message.text for message in request.messages]
    extras = (request.raw.get(name) for name in ("tools", "response_format"))
    texts += [json.dumps(extra) for extra in extras if extra]
    return max(1, sum(len(word_tokens(text)) for text in texts))


async def _whole(
    plan: Plan,
    content: Text | ToolCalls | EmptyChoices,
    request: ChatRequest,
    wire: ChatWire,
    bill: Bill,
) -> Response:
    chunks = 0 if isinstance(content, EmptyChoices) else len(list(_pieces(content)))
    await asyncio.sleep(plan.seconds_per_chunk * chunks)
    usage = usage_of(content, request)
    response = JSONResponse(_body(content, request, wire, usage))
    bill(usage)
    if plan.dies_after is not None:
        return TruncatedBody(response.body)
    if plan.malformed_after is not None:
        return Response(response.body[: len(response.body) // 2], media_type="application/json")
    return response


def _body(
    content: Text | ToolCalls | EmptyChoices, request: ChatRequest, wire: ChatWire, usage: Usage
) -> JsonObject:
    match content:
        case EmptyChoices():
            return wire.body([], usage)
        case ToolCalls():
            calls = [ToolCall(name, arguments) for name, arguments in content.written]
            message = assistant_message(content.text or None, tool_calls=calls)
            return wire.completion(message, finish_reason="tool_calls", usage=usage)
        case Text():
            spoken = content.text if content.refusal is None else None
            message = assistant_message(spoken, refusal=content.refusal)
            return wire.completion(
                message,
                finish_reason=content.finish_reason,
                usage=usage,
                logprobs=_logprobs(list(_pieces(content)), content, request),
            )


def _logprobs(pieces: list[Piece], content: Text, request: ChatRequest) -> JsonObject | None:
    if not request.logprobs:
        return None
    count = request.top_logprobs or 0
    tokens = [p.logprob for p in pieces if p.logprob]
    cut = [replace(token, top=token.top[:count]) for token in tokens]
    return logprobs_field(cut, refusal=content.refusal is not None)


async def _events(
    content: Text | ToolCalls | EmptyChoices, request: ChatRequest, wire: ChatWire, bill: Bill
) -> AsyncGenerator[bytes, None]:
    """The events of an unspoiled stream. Each is billed before it is sent, so that whoever has
    read it finds it billed; what a client's leaving keeps from being sent is not billed."""
    usage = usage_of(content, request)
    bill(replace(usage, completion_tokens=0))
    if isinstance(content, EmptyChoices):
        yield wire.event([])
        yield wire.ending(usage)
        return
    has_text = isinstance(content, Text) or content.text
    yield wire.role_chunk("" if has_text else None)
    sent = 0
    for piece in _pieces(content):
        tokens = min(piece.tokens, usage.completion_tokens - sent)
        bill(Usage(completion_tokens=tokens))
        sent += tokens
        yield _chunk(piece, content, request, wire)
    bill(Usage(completion_tokens=usage.completion_tokens - sent))
    reason = content.finish_reason if isinstance(content, Text) else "tool_calls"
    yield wire.chunk({}, finish_reason=reason)
    yield wire.ending(usage)


def _chunk(piece: Piece, content: Text | ToolCalls, request: ChatRequest, wire: ChatWire) -> bytes:
    logprobs = _logprobs([piece], content, request) if isinstance(content, Text) else None
    return wire.chunk(piece.delta, logprobs=logprobs)


async def _spoiled(events: AsyncGenerator[bytes, None], plan: Plan) -> AsyncGenerator[bytes, None]:
    count = 0
    async with aclosing(events):
        while count != plan.dies_after:
            if count == plan.malformed_after:
                yield _NO_JSON
            await asyncio.sleep(plan.seconds_per_chunk)
            # Asked for only now: an event is billed when it is made.
            event = await anext(events)
            yield event
            if event.endswith(DONE):
                return
            count += 1
    raise ConnectionDropped


def _pieces(content: Text | ToolCalls) -> Iterator[Piece]:
    if isinstance(content, Text):
        yield from _text_pieces(content)
        return
    for token in word_tokens(content.text):
        yield Piece({"content": token}, 1)
    for index, (name, arguments) in enumerate(content.written):
        yield from _call_pieces(index, ToolCall(name, arguments))


def _text_pieces(content: Text) -> Iterator[Piece]:
    kind = "content" if content.refusal is None else "refusal"
    tokens = word_tokens(content.spoken)
    for place, (token, logprob) in enumerate(zip(tokens, content.logprobs, strict=True)):
        top = made_up_top(token, logprob) if content.top is None else tuple(content.top[place])
        yield Piece({kind: token}, 1, TokenLogprob(token, logprob, top))


def _call_pieces(index: int, call: ToolCall) -> Iterator[Piece]:
    """OpenAI's shape: the first delta has id and name, the next ones parts of the arguments."""
    first = call.field()
    first["function"]["arguments"] = ""
    yield Piece({"tool_calls": [{"index": index, **first}]}, 1)
    for part in word_tokens(call.arguments):
        yield Piece({"tool_calls": [{"index": index, "function": {"arguments": part}}]}, 1)


def made_up_top(token: str, logprob: float) -> tuple[tuple[str, float], ...]:
    """Twenty alternatives: `token`, and others that halve what probability it leaves."""
    left = max(-math.expm1(logprob), 1e-9)
    others = [(f"{token}~{k}", math.log(left) - k * math.log(2)) for k in range(1, 20)]
    return tuple(sorted([(token, logprob), *others], key=lambda pair: -pair[1]))
