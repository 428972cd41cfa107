"""What providers put beside the text: tokens, finish reason, log-probabilities, refusals.

``Any`` lives here: ``raw`` is whatever object or dictionary the provider's client returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse

from cascade_core import Usage

# The same number under the names that the providers behind LlamaIndex's integrations give it.
_INPUT = ("prompt_tokens", "input_tokens", "prompt_token_count", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "candidates_token_count", "eval_count")
_CACHED = (
    ("prompt_tokens_details", "cached_tokens"),
    ("input_tokens_details", "cached_tokens"),
    ("cached_content_token_count",),
)
_FINISH_REASONS = (("choices", 0, "finish_reason"), ("stop_reason",), ("done_reason",))
_REFUSALS = (("choices", 0, "message", "refusal"), ("choices", 0, "delta", "refusal"))


def look(raw: Any, *path: str | int) -> Any:
    """Return what lies under ``path`` in objects, mappings and lists; None if nothing does."""
    for key in path:
        if raw is None:
            return None
        raw = _at(raw, key)
    return raw


def extras(response: ChatResponse | CompletionResponse) -> Mapping[str, Any]:
    """Return the ``additional_kwargs`` of a response, typed."""
    return cast("Mapping[str, Any]", response.additional_kwargs)  # pyright: ignore[reportUnknownMemberType]


def usage(raw: Any, *others: Mapping[str, Any]) -> Usage | None:
    """Return the tokens that a reply states in its ``raw`` or its ``additional_kwargs``."""
    for counts in (look(raw, "usage"), look(raw, "usage_metadata"), raw, *others):
        read, written = _first_count(counts, _INPUT), _first_count(counts, _OUTPUT)
        if read is not None and written is not None:
            return _with_cache(counts, read, written)
    return None


def finish_reason(raw: Any) -> str | None:
    """Return why the provider says that the reply ended."""
    for path in _FINISH_REASONS:
        reason = look(raw, *path)
        if isinstance(reason, str):
            return reason
    return None


def refusal(raw: Any) -> str:
    """Return the refusal that the provider marked as one; "" if none."""
    for path in _REFUSALS:
        text = look(raw, *path)
        if isinstance(text, str):
            return text
    return ""


def token_logprobs(raw: Any) -> list[float]:
    """Return the natural log-probabilities of the tokens; none if they were not asked for."""
    logprobs = look(raw, "choices", 0, "logprobs")
    if logprobs is None:
        return []
    content = look(logprobs, "content")
    if content is not None:
        values: list[Any] = [look(token, "logprob") for token in content]
    else:  # the completions endpoint
        values = look(logprobs, "token_logprobs") or []
    return [float(value) for value in values if isinstance(value, int | float)]


def _with_cache(counts: Any, read: int, written: int) -> Usage:
    for path in _CACHED:
        cached = look(counts, *path)
        if isinstance(cached, int):
            return Usage(read, written, cached)
    # Anthropic counts what was read from the cache and written to it beside the input tokens.
    cached = _first_count(counts, ("cache_read_input_tokens",)) or 0
    created = _first_count(counts, ("cache_creation_input_tokens",)) or 0
    return Usage(read + cached + created, written, cached)


def _first_count(counts: Any, names: Sequence[str]) -> int | None:
    for name in names:
        value = look(counts, name)
        if isinstance(value, int):
            return value
    return None


def _at(raw: Any, key: str | int) -> Any:
    # By class and not by isinstance: a narrowed Any is half known to one type checker, and a cast
    # of it redundant to the other.
    if issubclass(type(raw), Mapping):
        return raw.get(key)
    if isinstance(key, str):
        return getattr(raw, key, None)
    return raw[key] if raw and issubclass(type(raw), list | tuple) else None
