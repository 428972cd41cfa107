"""One call of the router: what the core asks for, done with LangChain's models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.runnables import RunnableConfig

from cascade_core import Call, Cascade, Chunks, Flow, Outcome, Reply, Request
from cascade_core.escalation import EscalateOn
from langchain_cascade._chunks import as_chunk, merged, shows
from langchain_cascade._messages import as_message, to_reply, to_request
from langchain_cascade._parts import Parts
from langchain_cascade._runs import ParentRun, child_context
from langchain_cascade._structured import OutputSchema
from langchain_cascade._tools import check_takes_tools, take_tools, takes_tools
from langchain_cascade._typing import CallOptions, ChildModel

Prepare = Callable[[ChildModel], ChildModel]
"""Binds to a child what this call needs: tools, a schema."""


@dataclass(slots=True)
class RouterCall:
    """The children, as this request needs them, behind the core's four drivers.

    Attributes:
        cascade: What decides.
        request: What it decides on.
        children: The models, in the order of the arms.
        prepare: Binds this call's tools or schema to a child.
        messages: The conversation.
        config: The configuration of every child's run.
        kwargs: Forwarded to every child.
        recoverable: After which errors the next model takes over.
    """

    cascade: Cascade
    request: Request
    children: Sequence[ChildModel]
    prepare: Prepare
    messages: Sequence[BaseMessage]
    config: RunnableConfig
    kwargs: CallOptions
    recoverable: EscalateOn

    @classmethod
    def of(
        cls,
        parts: Parts,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        kwargs: CallOptions,
        parent: ParentRun,
    ) -> RouterCall:
        """Return the call: what is meant for the router is taken out of ``kwargs``."""
        schema: OutputSchema | None = kwargs.pop("cascade_schema", None)
        native = schema is not None and schema.native
        tools, options = take_tools(kwargs)
        unavailable = parts.without_tools if tools or native else frozenset[int]()
        check_takes_tools(parts.names, unavailable, schema is not None)
        pinned = kwargs.pop("model", None)
        if stop is not None:
            kwargs["stop"] = stop
        config = parent.child_config()

        def prepare(child: ChildModel) -> ChildModel:
            if schema is not None and schema.native:
                return schema.bind_to(child, config)
            if tools is None or not takes_tools(child):  # an empty list binds to whoever can
                return child
            return tools.bind_to(child, options, config)

        return cls(
            cascade=parts.deciding(pinned, schema),
            request=to_request(messages, unavailable, parent.run_id),
            children=parts.children,
            prepare=prepare,
            messages=messages,
            config=config,
            kwargs=kwargs,
            recoverable=parts.recoverable,
        )

    def flow(self) -> Flow[Outcome[AIMessage]]:
        """Return the core's flow for this request."""
        return self.cascade.run(self.request)

    def invoke(self, call: Call) -> Reply[AIMessage]:
        """Ask one child and return its reply."""
        model = self._model(call)
        with child_context(self.config):
            message = model.invoke(self._input(model), self.config, **self.kwargs)
        return self._reply(message, call)

    async def ainvoke(self, call: Call) -> Reply[AIMessage]:
        """Ask one child and return its reply."""
        model = self._model(call)
        with child_context(self.config):
            message = await model.ainvoke(self._input(model), self.config, **self.kwargs)
        return self._reply(message, call)

    def stream(self, call: Call) -> Generator[AIMessageChunk]:
        """Ask one child and yield its chunks; each step is taken in the child's context."""
        name = self._name(call)
        model = self._model(call)
        source = model.stream(self._input(model), self.config, **self.kwargs)
        with closing_if_possible(source):
            while True:
                with child_context(self.config):
                    chunk = next(source, None)
                if chunk is None:
                    return
                yield as_chunk(chunk, name)

    async def astream(self, call: Call) -> AsyncGenerator[AIMessageChunk]:
        """Ask one child and yield its chunks; each step is taken in the child's context."""
        name = self._name(call)
        model = self._model(call)
        source = model.astream(self._input(model), self.config, **self.kwargs)
        async with aclosing_if_possible(source):
            while True:
                with child_context(self.config):
                    chunk = await anext(source, None)
                if chunk is None:
                    return
                yield as_chunk(chunk, name)

    @property
    def chunks(self) -> Chunks[AIMessageChunk]:
        """What the stream drivers need to know about LangChain's chunks."""
        return Chunks(lambda call, chunks: self._reply(merged(chunks), call), shows)

    def _model(self, call: Call) -> ChildModel:
        return self.prepare(self.children[call.arm])

    def _input(self, model: ChildModel) -> Any:
        """Return the messages, for a chat model as a prompt: a list it would convert again."""
        if isinstance(getattr(model, "bound", model), BaseChatModel):
            return as_prompt(self.messages)
        return self.messages

    def _name(self, call: Call) -> str:
        return self.cascade.arms[call.arm].name

    def _reply(self, message: object, call: Call) -> Reply[AIMessage]:
        return to_reply(as_message(message, self._name(call)), self.messages)


def as_prompt(messages: Sequence[BaseMessage]) -> ChatPromptValue:
    """Return ``messages`` as a prompt, without a look at each of them."""
    return ChatPromptValue.model_construct(messages=messages)


@contextmanager
def closing_if_possible(source: Iterator[object]) -> Generator[None]:
    """Close a child's stream with ours; any iterator may be one."""
    try:
        yield
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


@asynccontextmanager
async def aclosing_if_possible(source: AsyncIterator[object]) -> AsyncGenerator[None]:
    """Close a child's stream with ours; any iterator may be one."""
    try:
        yield
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
