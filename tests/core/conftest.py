"""Models that follow a script, and one way to run a cascade over them through all four drivers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from cascade_core import (
    Call,
    Chunks,
    Done,
    Flow,
    Reply,
    Usage,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
)

Part = str | BaseException


def collect(_: Call, chunks: Sequence[str]) -> Reply[str]:
    text = "".join(chunks)
    return Reply(text, text, Usage(10, len(chunks)))


CHUNKS: Chunks[str] = Chunks(collect=collect, shows=bool)


@dataclass
class Script:
    """What every arm does: says its strings one chunk at a time, or raises what stands among them.

    ``log`` holds what happened in order: ("call", arm), ("made", chunk), ("closed", arm).
    """

    arms: Sequence[Sequence[Part]]
    log: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def called(self) -> list[int]:
        return [what for event, what in self.log if event == "call"]

    def call(self, request: Call) -> Reply[str]:
        self.log.append(("call", request.arm))
        for part in self.arms[request.arm]:
            if isinstance(part, BaseException):
                raise part
        return collect(request, [p for p in self.arms[request.arm] if isinstance(p, str)])

    async def acall(self, request: Call) -> Reply[str]:
        return self.call(request)

    def stream(self, request: Call) -> Iterator[str]:
        self.log.append(("call", request.arm))
        try:
            for part in self.arms[request.arm]:
                if isinstance(part, BaseException):
                    raise part
                self.log.append(("made", part))
                yield part
        finally:
            self.log.append(("closed", request.arm))

    async def astream(self, request: Call) -> AsyncIterator[str]:
        for part in self.stream(request):
            yield part


@dataclass(frozen=True)
class Driven:
    result: Any
    chunks: list[str]
    """What a stream showed; empty for the drivers that do not stream."""


Driver = Callable[[Flow[Any], Script], Awaitable[Driven]]


async def _sync(flow: Flow[Any], script: Script) -> Driven:
    return Driven(drive(flow, script.call), [])


async def _async(flow: Flow[Any], script: Script) -> Driven:
    return Driven(await drive_async(flow, script.acall), [])


def _split(items: list[Any]) -> Driven:
    *chunks, last = items
    assert isinstance(last, Done), "Done is the last item of a stream"
    assert not any(isinstance(chunk, Done) for chunk in chunks), "and the only one"
    return Driven(last.result, chunks)


async def _stream(flow: Flow[Any], script: Script) -> Driven:
    return _split(list(drive_stream(flow, script.stream, CHUNKS)))


async def _astream(flow: Flow[Any], script: Script) -> Driven:
    return _split([item async for item in drive_stream_async(flow, script.astream, CHUNKS)])


DRIVERS: dict[str, Driver] = {
    "drive": _sync,
    "drive_async": _async,
    "drive_stream": _stream,
    "drive_stream_async": _astream,
}


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the four drivers."""
    return DRIVERS[request.param]


@pytest.fixture(params=["drive_stream", "drive_stream_async"])
def streamer(request: pytest.FixtureRequest) -> Driver:
    """Each of the two stream drivers."""
    return DRIVERS[request.param]


@pytest.fixture(params=["drive", "drive_stream"])
def sync_driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the two drivers that cannot await."""
    return DRIVERS[request.param]


@pytest.fixture(params=["drive_async", "drive_stream_async"])
def async_driver(request: pytest.FixtureRequest) -> Driver:
    """Each of the two drivers that await."""
    return DRIVERS[request.param]


@pytest.fixture
def script() -> Callable[..., Script]:
    """Make a script: one positional argument per arm."""
    return lambda *arms: Script(arms)


@pytest.fixture
def chunks() -> Chunks[str]:
    return CHUNKS
