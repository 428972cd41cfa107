"""A model's stream ends with ours: models return any iterator, and some cannot be closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

C = TypeVar("C")


@contextmanager
def closing_if_possible(source: Iterator[C]) -> Generator[Iterator[C], None, None]:
    """Close a model's stream with ours, if it can be closed."""
    try:
        yield source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


@asynccontextmanager
async def aclosing_if_possible(source: AsyncIterator[C]) -> AsyncGenerator[AsyncIterator[C], None]:
    """Close a model's stream with ours, if it can be closed."""
    try:
        yield source
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
