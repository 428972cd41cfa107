"""An OpenAI-compatible server for small models on this machine.

The models are trained on single problems, so their chat template is the text of the last user
message and nothing else: other messages are accepted, not read, and not billed. They are greedy
unless a temperature is given. What they cannot do is refused with a 400: tools, response formats,
several choices, and sampling parameters other than `temperature` and `seed`.
"""

import os
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from openai_wire import (
    ChatRequest,
    ChatWire,
    EventStream,
    JsonObject,
    TokenLogprob,
    Usage,
    WireError,
    assistant_message,
    chat_app,
    logprobs_field,
)

TEMPLATE_TOKENS = 1  # the mark after the prompt at which a reply begins: read, so billed


class Token(Protocol):
    """A token as `LocalModel` generates it."""

    @property
    def text(self) -> str:
        """Its text, with the space before it."""
        ...

    @property
    def logprob(self) -> float:
        """Its log-probability."""
        ...

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """The likeliest tokens of its place, as many as asked for."""
        ...


class LocalModel(Protocol):
    """What the server needs of a model; stated here so that importing it needs no weights."""

    @property
    def max_context_tokens(self) -> int:
        """The most tokens of prompt and reply together."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without `TEMPLATE_TOKENS`."""
        ...

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        top_logprobs: int = 0,
    ) -> Iterator[Token]:
        """The tokens of a reply; ends after its last one or after `max_tokens`."""
        ...


def create_app(models: Mapping[str, LocalModel]) -> Starlette:
    """An app that serves `models` under their names in the mapping."""
    # A turn is one token, so that replies in hand at the same time grow side by side and a short
    # one need not wait for the long ones before it.
    turns = CapacityLimiter(os.cpu_count() or 1)

    async def answer(chat: ChatRequest, _: Request) -> Response:
        generation = await start(models[chat.model], chat, turns)
        wire = ChatWire(chat.model, include_usage=chat.include_usage)
        if chat.stream:
            return EventStream(_events(generation, wire, with_logprobs=bool(chat.logprobs)))
        return JSONResponse(await _body(generation, wire, with_logprobs=bool(chat.logprobs)))

    return chat_app(models, answer)


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of a token that the client may see; less than the token where a stop cuts it."""

    text: str
    token: Token

    @property
    def logprob(self) -> TokenLogprob:
        """The log-probability of the whole token, on the wire."""
        return TokenLogprob(self.token.text, self.token.logprob, self.token.top)


class Decoding:
    """A reply in the making: tokens in, pieces without the stop text out, one thread at a time.

    Args:
        tokens: What the model generates.
        limit: The most tokens it may generate.
        stops: Texts that end the reply; neither they nor what follows is seen.
    """

    def __init__(self, tokens: Iterator[Token], limit: int, stops: Sequence[str]) -> None:
        """Nothing is generated yet."""
        self._tokens = tokens
        self._limit = limit
        self._stops = stops
        self._stopped = False
        self.cancelled = False
        self.completion_tokens = 0

    @property
    def finish_reason(self) -> str:
        """ "length" if the limit cut the reply: the end-of-reply token does not count to it."""
        cut = self.completion_tokens >= self._limit and not self._stopped
        return "length" if cut else "stop"

    def pieces(self) -> Iterator[Piece]:
        """The visible pieces. Tokens that may begin a stop text are held until that is known."""
        held: list[Token] = []
        for token in self._tokens:
            if self.cancelled:
                return
            self.completion_tokens += 1
            held.append(token)
            text = "".join(t.text for t in held)
            at = first_stop(text, self._stops)
            if at is not None:
                self._stopped = True
                yield from _cut(held, at)
                return
            held, safe = _split(held, len(text) - longest_beginning(text, self._stops))
            yield from safe
        yield from (Piece(token.text, token) for token in held)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop text in `text` begins."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)


def longest_beginning(text: str, stops: Sequence[str]) -> int:
    """The length of the longest end of `text` that may turn out to begin a stop text."""
    lengths = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return max(lengths, default=0)


def _split(held: list[Token], safe_length: int) -> tuple[list[Token], list[Piece]]:
    """The tokens still to hold, and the pieces that end within `safe_length`."""
    safe: list[Piece] = []
    end = 0
    for token in held:
        end += len(token.text)
        if end > safe_length:
            break
        safe.append(Piece(token.text, token))
    return held[len(safe) :], safe


def _cut(held: list[Token], length: int) -> Iterator[Piece]:
    """The pieces of the first `length` characters."""
    for token in held:
        if length <= 0:
            return
        yield Piece(token.text[:length], token)
        length -= len(token.text)


@dataclass(frozen=True, slots=True)
class Generation:
    """A reply whose first piece is there; None if the reply is empty."""

    first: Piece | None
    rest: AsyncGenerator[Piece, None]
    decoding: Decoding
    prompt_tokens: int

    @property
    def usage(self) -> Usage:
        """What was read and written so far, the tokens of a stop text included."""
        return Usage(self.prompt_tokens, self.decoding.completion_tokens)

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """All pieces, the first one too."""
        piece = self.first
        while piece is not None:
            yield piece
            piece = await anext(self.rest, None)


async def start(model: LocalModel, chat: ChatRequest, turns: CapacityLimiter) -> Generation:
    """Begin to answer: wait for the first piece, so that a stream too begins without delay."""
    refuse_unsupported(chat)
    prompt = read_prompt(chat)
    # Also a turn: reading a prompt of megabytes takes time.
    decoding, prompt_tokens = await to_thread.run_sync(_begin, model, chat, prompt, limiter=turns)
    rest = _in_threads(decoding, turns)
    return Generation(await anext(rest, None), rest, decoding, prompt_tokens)


def _begin(model: LocalModel, chat: ChatRequest, prompt: str) -> tuple[Decoding, int]:
    """The decoding of a reply, not begun, and the number of tokens read for it."""
    prompt_tokens = model.count_tokens(prompt) + TEMPLATE_TOKENS
    room = model.max_context_tokens - prompt_tokens
    if room < 1:
        raise _overflow(model, prompt_tokens)
    limit = min(chat.token_limit or room, room)
    tokens = model.generate(
        prompt,
        max_tokens=limit,
        temperature=chat.temperature or 0.0,
        seed=None if chat.seed is None else chat.seed % 2**64,  # OpenAI takes negative ones
        top_logprobs=chat.top_logprobs or 0,
    )
    return Decoding(tokens, limit, chat.stops), prompt_tokens


async def _in_threads(decoding: Decoding, turns: CapacityLimiter) -> AsyncGenerator[Piece, None]:
    """Generate in worker threads, so that the event loop is never kept."""
    pieces = decoding.pieces()
    try:
        while True:
            piece = await to_thread.run_sync(next, pieces, None, limiter=turns)
            if piece is None:
                return
            yield piece
    finally:
        # A thread may be at it still, and a running generator cannot be closed from outside.
        decoding.cancelled = True


def read_prompt(chat: ChatRequest) -> str:
    """The text of the last user message, which is all that these models read."""
    for message in reversed(chat.messages):
        if message.role == "user":
            return message.text
    raise WireError("'messages' needs a message of role 'user'.", param="messages")


_NEUTRAL: Mapping[str, object] = {
    "tools": [],
    "functions": [],
    "response_format": {"type": "text"},
    "logit_bias": {},
    "top_p": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
}


def refuse_unsupported(chat: ChatRequest) -> None:
    """Raise a 400 on a parameter that would change the reply of a larger model."""
    for name, neutral in _NEUTRAL.items():
        value: object = chat.raw.get(name)
        if value is not None and value != neutral:
            raise WireError(
                f"Unsupported parameter: '{name}' is not supported with this model.",
                param=name,
                code="unsupported_parameter",
            )


def _overflow(model: LocalModel, prompt_tokens: int) -> WireError:
    return WireError(
        f"This model's maximum context length is {model.max_context_tokens} tokens, for prompt and"
        f" reply. Your prompt has {prompt_tokens}: shorten it.",
        param="messages",
        code="context_length_exceeded",
    )


async def _events(
    generation: Generation, wire: ChatWire, *, with_logprobs: bool
) -> AsyncGenerator[bytes, None]:
    yield wire.role_chunk()
    async for piece in generation.pieces():
        logprobs = logprobs_field([piece.logprob]) if with_logprobs else None
        yield wire.chunk({"content": piece.text}, logprobs=logprobs)
    yield wire.chunk({}, finish_reason=generation.decoding.finish_reason)
    yield wire.ending(generation.usage)


async def _body(generation: Generation, wire: ChatWire, *, with_logprobs: bool) -> JsonObject:
    pieces = [piece async for piece in generation.pieces()]
    return wire.completion(
        assistant_message("".join(piece.text for piece in pieces)),
        finish_reason=generation.decoding.finish_reason,
        usage=generation.usage,
        logprobs=logprobs_field(piece.logprob for piece in pieces) if with_logprobs else None,
    )
