"""The children's runs: nested under the router's, and seen by those who count, not who show.

LangChain hands a chat model's ``_stream`` no run manager, and its run managers have no children.
So the router's run is noted here, and the children's callbacks are made from it. Two rules:

* Tracers, usage handlers and handlers with ``sees_cascade_children = True`` see the children's
  runs. Every other handler sees one chat model, the router: no stream ever shows a draft.
* Who sees the children does not see usage on the router's own run: tokens are counted once.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import (
    BaseCallbackHandler,
    CallbackManager,
    Callbacks,
)
from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, var_child_runnable_config

from langchain_cascade._compat import STREAMING_HANDLERS, new_run_id, set_child_context

# LangGraph's own mark for runs that no message stream may show: a second lock on the same door.
_NOSTREAM = "nostream"
# What describes the router's run alone, and would describe a child's wrongly.
_OWN_METADATA = frozenset(
    {
        "ls_integration",
        "ls_max_tokens",
        "ls_model_name",
        "ls_model_type",
        "ls_provider",
        "ls_stop",
        "ls_temperature",
    }
)
_STATED_USAGE = frozenset({"token_usage", "usage"})


@dataclass(slots=True)
class ParentRun:
    """The router's run, as its children inherit from it.

    Attributes:
        run_id: None if the router was called beside LangChain's entry points.
        watchers: The handlers that see the children.
        tags: Inherited by every child.
        metadata: Inherited by every child.
    """

    run_id: UUID | None = None
    watchers: Sequence[BaseCallbackHandler] = ()
    tags: Sequence[str] = ()
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, run: BaseRunManager) -> ParentRun:
        """Return the run that ``run`` manages."""
        handlers = [_unveiled(handler) for handler in run.handlers]
        watchers = [handler for handler in handlers if sees_children(handler)]
        return cls(run.run_id, watchers, run.inheritable_tags, run.inheritable_metadata)

    def child_config(self) -> RunnableConfig:
        """Return the configuration of every child's run."""
        # What the surroundings configure (limits, configurable fields) reaches the children too.
        config: dict[str, Any] = {**(var_child_runnable_config.get() or {})}
        config.pop("run_name", None)
        config.pop("run_id", None)
        config["callbacks"] = CallbackManager(
            handlers=list(self.watchers),
            inheritable_handlers=list(self.watchers),
            parent_run_id=self.run_id,
        )
        config["tags"] = [*self.tags, _NOSTREAM]
        config["metadata"] = {k: v for k, v in self.metadata.items() if k not in _OWN_METADATA}
        return cast("RunnableConfig", config)


@dataclass(slots=True)
class Link:
    """What connects ``_stream`` with the run that it belongs to.

    A directly consumed stream cannot hide usage from single handlers. Where one of them sees the
    children, the chunks therefore pass them without it, and get it back on their way to the user.

    Attributes:
        parent: The run.
        hides_usage: True if handlers must not see usage in the chunks.
        usage: What was hidden of the last chunk.
        chunks: What ``_stream`` returned. Nobody else closes it when the stream is left early.
        achunks: What ``_astream`` returned.
    """

    parent: ParentRun = field(default_factory=ParentRun)
    hides_usage: bool = False
    usage: UsageMetadata | None = None
    chunks: Generator[Any] | None = None
    achunks: AsyncGenerator[Any] | None = None

    def close(self) -> None:
        """End the children's runs; the router's own ends after them."""
        if self.chunks is not None:
            self.chunks.close()

    async def aclose(self) -> None:
        """End the children's runs; the router's own ends after them."""
        if self.achunks is not None:
            await self.achunks.aclose()

    def veiled(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Take the usage off a chunk that handlers will see."""
        if self.hides_usage and chunk.usage_metadata is not None:
            self.usage, chunk.usage_metadata = chunk.usage_metadata, None
        return chunk

    def unveiled(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """Return the chunk for the user; handlers keep the other."""
        if self.usage is None:
            return chunk
        chunk = chunk.model_copy(update={"usage_metadata": self.usage})
        self.usage = None
        return chunk


_current_link: ContextVar[Link | None] = ContextVar("cascade_link", default=None)


class linked:
    """Make ``link`` the one that ``_stream`` finds when it starts within this block."""

    __slots__ = ("_link", "_token")

    def __init__(self, link: Link) -> None:
        self._link = link

    def __enter__(self) -> None:
        self._token = _current_link.set(self._link)

    def __exit__(self, *_: object) -> None:
        _current_link.reset(self._token)


def link_to(run: BaseRunManager | None) -> Link:
    """Return the link of a call that was given ``run``, or of the stream that is starting."""
    noted = _current_link.get()
    if run is None:
        return noted or Link()
    if noted is not None and noted.parent.run_id == run.run_id:
        return noted
    return Link(veil(run))


def announce(config: RunnableConfig | None, local: Callbacks) -> tuple[RunnableConfig, Link]:
    """Return the configuration for a stream that is about to start, and the link to its run."""
    config = ensure_config(config)
    manager = CallbackManager.configure(config.get("callbacks"), local)
    watchers = [handler for handler in manager.handlers if sees_children(handler)]
    run_id = config["run_id"] = config.get("run_id") or new_run_id()
    config["callbacks"] = manager
    parent = ParentRun(
        run_id,
        watchers,
        [*manager.inheritable_tags, *config.get("tags", ())],
        {**manager.inheritable_metadata, **config.get("metadata", {})},
    )
    return config, Link(parent, hides_usage=bool(watchers))


class child_context:
    """Make ``config`` the surroundings of a child's call.

    Explicit callbacks do not replace ambient ones: a child with bound tools merges both, and the
    ambient ones show tokens. So a child must find no others than its own. The variable is set and
    reset around the call itself, not in a copy of the context, which asynchronous calls and every
    step of a stream would need a task for.
    """

    __slots__ = ("_config", "_reset")

    def __init__(self, config: RunnableConfig) -> None:
        self._config = config

    def __enter__(self) -> None:
        self._reset = set_child_context(self._config)

    def __exit__(self, *_: object) -> None:
        self._reset()


def veil(run: BaseRunManager) -> ParentRun:
    """Hide the usage of ``run``'s result from the handlers that see the children."""
    parent = ParentRun.of(run)
    if parent.watchers:
        # A list of its own: the manager that started the run may share the old one.
        run.handlers = [_veiled(handler) for handler in run.handlers]
    return parent


def sees_children(handler: BaseCallbackHandler) -> bool:
    """Tell whether a handler sees the runs of the children."""
    kind: Any = type(handler)
    if _is_streaming(kind):
        return False
    chosen = getattr(handler, "sees_cascade_children", None)
    if chosen is not None:
        return bool(chosen)
    return _counts_or_traces(kind) or hasattr(handler, "total_tokens") or _held(handler)


@lru_cache(maxsize=256)
def _is_streaming(kind: type) -> bool:
    return issubclass(kind, STREAMING_HANDLERS)


@lru_cache(maxsize=256)
def _counts_or_traces(kind: type) -> bool:
    # Imported late: both load langsmith, which LangChain itself defers until a call.
    from langchain_core.callbacks import UsageMetadataCallbackHandler
    from langchain_core.tracers.core import (
        _TracerCore,  # pyright: ignore[reportPrivateUsage]
    )

    return issubclass(kind, _TracerCore | UsageMetadataCallbackHandler)


def _held(handler: BaseCallbackHandler) -> bool:
    """Tell whether LangChain adds the handler to every run, whatever the callbacks say.

    These come from context managers that count. A child would see them anyway.
    """
    from langchain_core.tracers.context import (
        _configure_hooks,  # pyright: ignore[reportPrivateUsage]
    )

    return any(hook[0].get() is handler for hook in _configure_hooks)


class _Veiled:
    """A handler to which the router's run has no usage; otherwise the handler itself."""

    def __init__(self, handler: BaseCallbackHandler) -> None:
        self.handler = handler

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handler, name)

    @property
    def on_llm_end(self) -> Callable[..., Any]:
        original = self.handler.on_llm_end

        def end(response: LLMResult, **kwargs: Any) -> Any:
            return original(_without_usage(response), **kwargs)

        async def end_async(response: LLMResult, **kwargs: Any) -> Any:
            return await cast("Any", original)(_without_usage(response), **kwargs)

        return end_async if inspect.iscoroutinefunction(original) else end


def _veiled(handler: BaseCallbackHandler) -> BaseCallbackHandler:
    if isinstance(handler, _Veiled) or not sees_children(handler):
        return handler
    return cast("BaseCallbackHandler", _Veiled(handler))


def _unveiled(handler: BaseCallbackHandler) -> BaseCallbackHandler:
    return handler.handler if isinstance(handler, _Veiled) else handler


def _without_usage(response: LLMResult) -> LLMResult:
    kept = [[_generation(g) for g in generations] for generations in response.generations]
    stated = {k: v for k, v in (response.llm_output or {}).items() if k not in _STATED_USAGE}
    return LLMResult(generations=cast("Any", kept), llm_output=stated, run=response.run)


def _generation(generation: Generation) -> Generation:
    message = generation.message if isinstance(generation, ChatGeneration) else None
    if not isinstance(message, AIMessage):
        return generation
    metadata = cast("dict[str, Any]", message.response_metadata)
    bare = message.model_copy(
        update={
            "usage_metadata": None,
            "response_metadata": {k: v for k, v in metadata.items() if k not in _STATED_USAGE},
        }
    )
    return generation.model_copy(update={"message": bare})
