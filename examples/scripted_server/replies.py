"""What a script can say: replies, and wrappers that spoil their delivery."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from openai_wire import JsonObject, Usage

DEFAULT_LOGPROB = -0.1


def word_tokens(text: str) -> list[str]:
    """The tokens of this server: words with the space before them; they join to the text."""
    return re.findall(r"\s*\S+|\s+$", text)


@dataclass(frozen=True, slots=True)
class Text:
    """A reply in words; JSON text does for a `response_format`.

    Args:
        text: The content, sent as it is: `max_tokens` and `stop` of the request change nothing.
        logprob: Of every token, or one per token of `word_tokens`.
        finish_reason: Also "length" or "content_filter".
        usage: What to bill, in place of the count of words read and written.
        refusal: Sent in place of `text`, in the field where OpenAI refuses a response schema.
        cached_tokens: The part of the prompt billed as read from cache.
        top: Alternatives at each token, likeliest first; made up from `logprob` if not given.
    """

    text: str
    logprob: float | Sequence[float] = DEFAULT_LOGPROB
    finish_reason: str = "stop"
    usage: Usage | None = None
    refusal: str | None = None
    cached_tokens: int = 0
    top: Sequence[Sequence[tuple[str, float]]] | None = None

    def __post_init__(self) -> None:
        """Refuse a list that does not fit the tokens."""
        tokens = word_tokens(self.spoken)
        for name, values in (("logprob", self.logprob), ("top", self.top)):
            if isinstance(values, Sequence) and len(values) != len(tokens):
                got = f"{len(values)} for {len(tokens)}: {tokens}"
                raise ValueError(f"Text needs one {name} per token, got {got}.")

    @property
    def spoken(self) -> str:
        """The words sent: the refusal, if there is one."""
        return self.text if self.refusal is None else self.refusal

    @property
    def logprobs(self) -> Sequence[float]:
        """One log-probability per token."""
        if isinstance(self.logprob, Sequence):
            return self.logprob
        return [self.logprob] * len(word_tokens(self.spoken))


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """A reply that calls tools.

    Args:
        calls: Name and arguments of each; a string is sent as it is, be it JSON or not.
        text: Content beside the calls.
        usage: What to bill, in place of the count of words.
        cached_tokens: The part of the prompt billed as read from cache.
    """

    calls: Sequence[tuple[str, Mapping[str, object] | str]]
    text: str = ""
    usage: Usage | None = None
    cached_tokens: int = 0

    @property
    def written(self) -> list[tuple[str, str]]:
        """Name and arguments, as text, of each call."""
        return [(name, a if isinstance(a, str) else json.dumps(a)) for name, a in self.calls]


@dataclass(frozen=True, slots=True)
class EmptyChoices:
    """A well-formed reply with an empty list of choices, billed for its prompt."""

    usage: Usage | None = None


_KINDS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request is invalid."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "access_denied", "This key may not do that."),
    404: ("invalid_request_error", "not_found", "There is no such thing."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached."),
    500: ("server_error", None, "The server had an error."),
    503: ("server_error", None, "The server is overloaded."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in place of a reply; it bills nothing.

    Args:
        status: 400 or above.
        message: For people; has a default, as `type` and `code` have.
        type: The kind, such as "invalid_request_error".
        code: The machine-readable code.
        param: The parameter to blame.
        retry_after_seconds: Sent as the header `retry-after`.
    """

    status: int
    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    retry_after_seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse a status that is no error."""
        if not 400 <= self.status <= 599:
            raise ValueError(f"Fault needs a status from 400 to 599, got {self.status}.")

    @classmethod
    def content_filter(cls) -> "Fault":
        """A prompt blocked by a moderation filter, as Azure's OpenAI reports it."""
        return cls(400, "The prompt was filtered.", code="content_filter", param="prompt")

    @classmethod
    def context_length(cls) -> "Fault":
        """A prompt that does not fit the model."""
        message = "This model's maximum context length was exceeded."
        return cls(400, message, code="context_length_exceeded", param="messages")

    @property
    def fields(self) -> tuple[str, str, str | None]:
        """Message, type and code, with the defaults of the status."""
        server_side = ("server_error", None, "The server had an error.")
        kind, code, message = _KINDS.get(
            self.status, _KINDS[400] if self.status < 500 else server_side
        )
        return self.message or message, self.type or kind, self.code or code


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence before the first byte of the reply."""

    seconds: float
    then: "Reply" = Text("late")


@dataclass(frozen=True, slots=True)
class Slow:
    """A pause before each chunk of the stream; a reply in one piece takes as long in all."""

    reply: "Reply"
    seconds_per_chunk: float


@dataclass(frozen=True, slots=True)
class Dies:
    """The connection closes after so many chunks; a reply in one piece breaks off in its body.

    The chunk that opens the stream with the role is one of them, and holds no text.
    """

    reply: "Reply"
    after_chunks: int = 2


@dataclass(frozen=True, slots=True)
class Malformed:
    """After so many chunks comes one that is no JSON, then the rest; a reply in one piece is cut.

    Unlike that of `Dies`, the cut body is complete to HTTP: its JSON is bad.
    """

    reply: "Reply"
    after_chunks: int = 2


Reply: TypeAlias = Text | ToolCalls | EmptyChoices | Fault | Hang | Slow | Dies | Malformed
Script: TypeAlias = Sequence[Reply] | Callable[[JsonObject], Reply]
