"""What a model replied while it did something that returns no response, such as structured output.

LlamaIndex's own events tell: every integration emits them around its calls.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionStartEvent,
)
from llama_index_instrumentation import get_dispatcher
from typing_extensions import override

_current: ContextVar[Recording | None] = ContextVar("cascade_recording", default=None)


@dataclass(eq=False)
class Recording:
    """The responses of one attempt, and the reports of cascades that took part in it."""

    responses: list[ChatResponse | CompletionResponse] = field(
        default_factory=list[ChatResponse | CompletionResponse]
    )
    reports: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    _depth: int = 0

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Record what happens inside; entered anew for every step of a stream."""
        _listen()
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def started(self) -> None:
        """Note that a call began."""
        self._depth += 1

    def ended(self, response: ChatResponse | CompletionResponse | None) -> None:
        """Note a response; not that of a call inside a call, which is the same one once more."""
        self._depth -= 1
        if self._depth == 0 and response is not None:
            self.responses.append(response)


def current() -> Recording | None:
    """Return the recording that is running, if any."""
    return _current.get()


class _Listener(BaseEventHandler):
    @classmethod
    @override
    def class_name(cls) -> str:
        return "CascadeListener"

    @override
    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        recording = _current.get()
        if recording is None:
            return
        if isinstance(event, LLMChatStartEvent | LLMCompletionStartEvent):
            recording.started()
        elif isinstance(event, LLMChatEndEvent | LLMCompletionEndEvent):
            recording.ended(event.response)


@lru_cache(maxsize=1)
def _listen() -> None:
    # Where the events of all integrations are dispatched. The root would also hear all others.
    get_dispatcher("llama_index.core.llms.callbacks").add_event_handler(_Listener())
