"""Reply bodies and stream chunks."""

import json
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ._json import JsonObject

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written; `cached_tokens` are the part of `prompt_tokens` read from cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that no provider could send."""
        if not 0 <= self.cached_tokens <= self.prompt_tokens or self.completion_tokens < 0:
            raise ValueError(f"Usage needs 0 <= cached_tokens <= prompt_tokens, got {self}.")

    def __add__(self, other: "Usage") -> "Usage":
        """The tokens of both."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
        )

    def field(self) -> JsonObject:
        """The value of `usage` in a body."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token, its log-probability, and the likeliest tokens of its place, likeliest first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()

    def field(self) -> JsonObject:
        """The entry of this token in `logprobs.content`."""
        top = [_token_field(token, logprob) for token, logprob in self.top]
        return {**_token_field(self.token, self.logprob), "top_logprobs": top}


def _token_field(token: str, logprob: float) -> JsonObject:
    # JSON has no -Infinity; OpenAI sends -9999.0 for a token out of reach.
    return {"token": token, "logprob": max(logprob, -9999.0), "bytes": list(token.encode())}


def logprobs_field(tokens: Iterable[TokenLogprob], *, refusal: bool = False) -> JsonObject:
    """The value of `logprobs` in a choice."""
    entries = [token.field() for token in tokens]
    return {"content": None if refusal else entries, "refusal": entries if refusal else None}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text, or whatever the model wrote instead."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")

    def field(self) -> JsonObject:
        """The entry of this call in `message.tool_calls`."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


def assistant_message(
    content: str | None, *, refusal: str | None = None, tool_calls: Sequence[ToolCall] = ()
) -> JsonObject:
    """The `message` of a choice."""
    message: JsonObject = {"role": "assistant", "content": content, "refusal": refusal}
    if tool_calls:
        message["tool_calls"] = [call.field() for call in tool_calls]
    return message


def sse(payload: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


@dataclass(frozen=True, slots=True)
class ChatWire:
    """Writes the body or the chunks of one reply, which share an id and a time.

    A stream is `chunk(role)`, `chunk(delta)`..., `chunk({}, finish_reason=...)`, then
    `usage_chunk` if the client asked for usage, then `DONE`.
    """

    model: str
    include_usage: bool = False
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def completion(
        self,
        message: JsonObject,
        *,
        finish_reason: str,
        usage: Usage,
        logprobs: JsonObject | None = None,
    ) -> JsonObject:
        """The body of a reply that is not streamed."""
        choice = {
            "index": 0,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return self.body([choice], usage)

    def body(self, choices: list[JsonObject], usage: Usage) -> JsonObject:
        """A body with any choices, for servers that misbehave on purpose."""
        return {**self._head("chat.completion"), "choices": choices, "usage": usage.field()}

    def chunk(
        self,
        delta: JsonObject,
        *,
        finish_reason: str | None = None,
        logprobs: JsonObject | None = None,
    ) -> bytes:
        """One event of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return self.event([choice])

    def role_chunk(self, content: str | None = "") -> bytes:
        """The event that opens a stream; the content is None if only tool calls follow."""
        return self.chunk({"role": "assistant", "content": content, "refusal": None})

    def event(self, choices: list[JsonObject]) -> bytes:
        """One event with any choices; with usage asked for, OpenAI sends null until the end."""
        usage = {"usage": None} if self.include_usage else {}
        return sse({**self._head("chat.completion.chunk"), "choices": choices, **usage})

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event after the last choice, with usage and no choices."""
        head = self._head("chat.completion.chunk")
        return sse({**head, "choices": [], "usage": usage.field()})

    def ending(self, usage: Usage) -> bytes:
        """What follows the last choice: usage, if asked for, and `[DONE]`."""
        return (self.usage_chunk(usage) if self.include_usage else b"") + DONE

    def _head(self, kind: str) -> JsonObject:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}
