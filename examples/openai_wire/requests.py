"""Parsing and validation of a chat-completions request."""

import json
from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from ._json import JsonObject
from .errors import WireError

MAX_STOPS = 4
MAX_TOP_LOGPROBS = 20


class _Wire(BaseModel):
    # Strict: OpenAI answers 400 to `"stream": "yes"`, and pydantic would read it as true.
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class ContentPart(_Wire):
    """A part of a message; only parts of type "text" have text."""

    type: str
    text: str | None = None


def _parts(content: object) -> object:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _listed(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


class ChatMessage(_Wire):
    """A message, reduced to what a text model can read; `ChatRequest.raw` has the rest."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    # Text becomes a list of one part, here and in `stop`: a union would complain twice.
    content: Annotated[list[ContentPart] | None, BeforeValidator(_parts)] = None

    @property
    def text(self) -> str:
        """The text of the message, its text parts joined."""
        return "".join(part.text or "" for part in self.content or ())


class StreamOptions(_Wire):
    """What the client wants of a stream besides the text."""

    include_usage: bool | None = None


class ChatRequest(_Wire):
    """A chat-completions request; a field that is `None` was absent or null."""

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    stop: Annotated[
        Annotated[list[str], Field(max_length=MAX_STOPS)] | None, BeforeValidator(_listed)
    ] = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    raw: JsonObject = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def include_usage(self) -> bool:
        """Whether the stream is to end with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts that are not empty."""
        return tuple(stop for stop in self.stop or () if stop)

    @property
    def token_limit(self) -> int | None:
        """The most tokens to generate, under its new name or its old one."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def parse_chat_request(data: bytes) -> ChatRequest:
    """Read a request body.

    Raises:
        WireError: status 400, naming the parameter that is wrong.
    """
    raw = _json_object(data)
    try:
        request = ChatRequest.model_validate({**raw, "raw": raw})
    except ValidationError as error:
        raise _bad_parameter(error.errors(include_url=False)[0]) from error
    _check_combinations(request)
    return request


def _json_object(data: bytes) -> JsonObject:
    try:
        raw: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise WireError(f"We could not parse the JSON body of your request: {error}.") from error
    if not isinstance(raw, dict):
        raise WireError(f"The body must be a JSON object, got {type(raw).__name__}.")
    return cast("JsonObject", raw)


def _bad_parameter(details: ErrorDetails) -> WireError:
    """OpenAI's words for the first complaint: a path such as `messages[0].role`, and a code."""
    loc = details["loc"]
    path = str(loc[0]) + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in loc[1:])
    kind = details["type"]
    if kind == "missing":
        text, code = f"Missing required parameter: '{path}'.", "missing_required_parameter"
    elif kind.endswith("_type"):
        text, code = f"Invalid type for '{path}': {details['msg']}.", "invalid_type"
    else:
        text, code = f"Invalid value for '{path}': {details['msg']}.", "invalid_value"
    return WireError(text, param=path, code=code)


def _check_combinations(request: ChatRequest) -> None:
    if request.top_logprobs is not None and not request.logprobs:
        raise WireError(
            "'logprobs' must be true when 'top_logprobs' is set.",
            param="top_logprobs",
            code="invalid_value",
        )
    if request.stream_options is not None and not request.stream:
        raise WireError(
            "'stream_options' is only allowed when 'stream' is true.",
            param="stream_options",
            code="invalid_value",
        )
    if request.n not in (None, 1):
        raise WireError(
            f"This server gives one choice a request: 'n' must be 1, got {request.n}.",
            param="n",
            code="unsupported_value",
        )
