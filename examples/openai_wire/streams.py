"""Responses that follow the connection: they stop when the client leaves, and can break on cue."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ._json import JsonObject

T = TypeVar("T")


class ConnectionDropped(Exception):
    """Raised by the events of an `EventStream`: close the connection here, in mid-stream."""


async def until_disconnected(receive: Receive, work: Coroutine[object, object, T]) -> T | None:
    """The result of `work`, or None, with `work` cancelled, if the client left before its end."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        gone.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events, closed as soon as the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        """Send each item of `events`, which ends normally or by `ConnectionDropped`."""
        super().__init__(headers={"cache-control": "no-cache"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events, until the client leaves."""
        await until_disconnected(receive, self._send_events(send))

    async def _send_events(self, send: Send) -> None:
        await _start(self, send)
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await _more(send, event)
        except ConnectionDropped:
            return  # An ASGI server closes the connection of a response left unfinished.
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class TruncatedBody(Response):
    """Half of a JSON body, under the content length of the whole, then a closed connection."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half."""
        await _start(self, send)
        await _more(send, bytes(self.body[: len(self.body) // 2]))


async def _start(response: Response, send: Send) -> None:
    start: JsonObject = {"type": "http.response.start", "status": response.status_code}
    await send({**start, "headers": response.raw_headers})


async def _more(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
