"""What differs between LangChain's releases, or is private in all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID, uuid4

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import (
    _set_config_context,  # pyright: ignore[reportPrivateUsage]
    var_child_runnable_config,
)
from langchain_core.tracers import _streaming

try:
    from langchain_core.utils.uuid import uuid7
except ImportError:  # pragma: no cover
    uuid7 = None  # type: ignore[assignment]

STREAMING_HANDLERS: tuple[type, ...] = tuple(
    getattr(_streaming, name)
    for name in ("_StreamingCallbackHandler", "_V2StreamingCallbackHandler")
    if hasattr(_streaming, name)  # the second one is younger
)
"""The handlers that feed streams: LangGraph's messages, the stream events of every version."""


def new_run_id() -> UUID:
    """Return an id for a run, ordered by time where LangChain's are."""
    return uuid4() if uuid7 is None else uuid7()  # pyright: ignore[reportUnnecessaryComparison]


def set_child_context(config: RunnableConfig) -> Callable[[], None]:
    """Make ``config`` the surroundings of what is called next; return what undoes it.

    The function used is private by name, and LangGraph's contract by use.
    """
    token, tracing = _set_config_context(config)

    def reset() -> None:
        var_child_runnable_config.reset(token)
        if tracing is not None:
            from langsmith.run_helpers import (
                _set_tracing_context,  # pyright: ignore[reportPrivateUsage]
            )

            cast("Any", _set_tracing_context)(tracing)

    return reset
