"""Structured output, delegated to each model whole: each knows best how its provider does it."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.llms.llm import LLM
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ValidationError

from cascade_core import Reading, Reply, Request, Usage
from cascade_core.tokens import estimate_usage
from llamaindex_cascade import _recording
from llamaindex_cascade._closing import aclosing_if_possible, closing_if_possible
from llamaindex_cascade._exchange import Exchange
from llamaindex_cascade._recording import Recording
from llamaindex_cascade._reply import read_chat, read_completion
from llamaindex_cascade._request import about_messages

# What LlamaIndex's programs raise for an answer that does not parse. The last one is a slip of its
# streams: they refer to an object that never came.
_PARSING_ERRORS = (ValueError, TypeError, UnboundLocalError)


@dataclass(frozen=True, slots=True)
class Structured:
    """An object, or why the model's answer is none, with what the model replied."""

    recording: Recording
    value: BaseModel | None = None
    error: Exception | None = None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class StructuredAsked:
    """The arguments of a structured prediction."""

    output_cls: type[BaseModel]
    prompt: PromptTemplate
    llm_kwargs: Mapping[str, Any] | None
    prompt_args: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Return them for one model, in copies: programs write into the prompt and the options."""
        return {
            "output_cls": self.output_cls,
            "prompt": copy(self.prompt),
            "llm_kwargs": None if self.llm_kwargs is None else dict(self.llm_kwargs),
            **self.prompt_args,
        }

    def request(self, llm: LLM) -> Request:
        """Return what the decision may look at: the last user turn of the prompt."""
        return about_messages(self.prompt.format_messages(llm=llm, **self.prompt_args))


@dataclass(frozen=True, slots=True)
class SchemaSignal:
    """Rejects an answer that is not an object of the class that was asked for."""

    def read(self, reply: Reply[Any]) -> Reading:
        """Return a rejection if the answer did not parse, or only in part."""
        value = reply.value
        if not isinstance(value, Structured) or not (value.error or value.partial):
            return Reading()
        return Reading(rejected_by="schema")


def structured_exchange(request: Request) -> Exchange[Structured, Any]:
    """Return the exchange of a structured prediction."""
    outer = _recording.current()

    def ended(last: Structured, report: Mapping[str, Any]) -> BaseModel:
        if outer is not None:  # a cascade that is a model of another one: the object cannot tell
            outer.reports.append(report)
        return _object(last)

    def passed(chunk: Structured, _: str) -> BaseModel:
        return _object(chunk)

    return Exchange(request, partial(_read, request), _shows, passed, ended)


def attempt(call: Callable[[], Any]) -> Structured:
    """Return what one model makes of the request."""
    recording = Recording()
    try:
        with recording.running():
            return Structured(recording, call())
    except _PARSING_ERRORS as error:
        return _unparsed(recording, error)


async def attempt_async(call: Callable[[], Awaitable[Any]]) -> Structured:
    """Return what one model makes of the request, awaited."""
    recording = Recording()
    try:
        with recording.running():
            return Structured(recording, await call())
    except _PARSING_ERRORS as error:
        return _unparsed(recording, error)


def attempt_stream(
    output_cls: type[BaseModel], call: Callable[[], Iterator[Any]]
) -> Generator[Structured, None, None]:
    """Yield the objects, growing, that one model makes of the request."""
    recording = Recording()
    try:
        with recording.running():
            source = call()
        with closing_if_possible(source) as objects:
            while True:
                # For one step only: between two of them, the caller's own calls run in this thread.
                with recording.running():
                    value = next(objects, None)
                if value is None:
                    return
                yield Structured(recording, value, partial=not isinstance(value, output_cls))
    except _PARSING_ERRORS as error:
        yield _unparsed(recording, error)


async def attempt_stream_async(
    output_cls: type[BaseModel], call: Callable[[], Awaitable[AsyncIterator[Any]]]
) -> AsyncIterator[Structured]:
    """Return the objects, growing, that one model makes of the request, awaited."""
    return _objects_async(output_cls, call)


async def _objects_async(
    output_cls: type[BaseModel], call: Callable[[], Awaitable[AsyncIterator[Any]]]
) -> AsyncGenerator[Structured, None]:
    recording = Recording()
    try:
        with recording.running():
            source = await call()
        async with aclosing_if_possible(source) as objects:
            while True:
                with recording.running():
                    value = await anext(objects, None)
                if value is None:
                    return
                yield Structured(recording, value, partial=not isinstance(value, output_cls))
    except _PARSING_ERRORS as error:
        yield _unparsed(recording, error)


def _unparsed(recording: Recording, error: Exception) -> Structured:
    """Return the failure to parse, or raise what has another cause.

    The same classes come out of a spent token budget or a caller's slip; those are raised before
    any model has answered.
    """
    if not (recording.responses or recording.reports or isinstance(error, ValidationError)):
        raise error
    return Structured(recording, error=error)


def _object(structured: Structured) -> BaseModel:
    if structured.error is not None:
        raise structured.error
    assert structured.value is not None
    return structured.value


def _shows(_: Structured) -> bool:
    return True


def _read(request: Request, chunks: Sequence[Structured]) -> Reply[Structured]:
    last = chunks[-1] if chunks else _no_object()
    replies = [_read_response(request, r) for r in last.recording.responses]
    text = replies[-1].text if replies else ""
    if last.value is not None:
        text = last.value.model_dump_json()
    spoken: Reply[Any] = replies[-1] if replies else Reply(None, text, Usage())
    usage, cost = _account(last.recording, replies)
    if usage == Usage():
        usage = estimate_usage([request.text], text)
    return replace(spoken, value=last, text=text, usage=usage, cost_usd=cost)


def _no_object() -> Structured:
    return Structured(Recording(), error=ValueError("The model gave no object."))


def _read_response(request: Request, response: ChatResponse | CompletionResponse) -> Reply[Any]:
    def prompt() -> Sequence[str]:
        return [request.text]

    if isinstance(response, ChatResponse):
        return read_chat(prompt, [response])
    return read_completion(prompt, [response])


def _account(recording: Recording, replies: Sequence[Reply[Any]]) -> tuple[Usage, float | None]:
    """Return the tokens of an attempt, and its dollars if it is a cascade, which knows them."""
    used = [Usage(**report["usage"]) for report in recording.reports]
    costs = [report["cost_usd"] for report in recording.reports]
    cost = sum(costs) if costs and None not in costs else None
    return sum([*used, *(reply.usage for reply in replies)], Usage()), cost
