"""Calls that are asked for together run together: sync in threads, async in tasks."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from cascade_core import (
    Call,
    Chunks,
    Done,
    Failed,
    Flow,
    Reply,
    Usage,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
    gather,
)

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="none")


def three() -> Flow[Any]:
    return (yield from gather([Call(0), Call(1), Call(2)]))


def reply(text: str) -> Reply[str]:
    return Reply(text, text, Usage())


def texts(results: Any) -> list[str]:
    return [r.text if isinstance(r, Reply) else repr(r.error) for r in results]


class Meeting:
    """Calls that end only once all three have begun, the first one last of all."""

    def __init__(self, fails: dict[int, Exception] | None = None) -> None:
        self.fails = fails or {}
        self.threads = threading.Barrier(3, timeout=10)
        self.tasks = asyncio.Barrier(3)

    def _answer(self, request: Call) -> str:
        if request.arm in self.fails:
            raise self.fails[request.arm]
        return f"{request.arm} for {REQUEST_ID.get()}"

    def call(self, request: Call) -> Reply[str]:
        self.threads.wait()
        time.sleep(0.02 * (2 - request.arm))
        return reply(self._answer(request))

    async def acall(self, request: Call) -> Reply[str]:
        await self.tasks.wait()
        await asyncio.sleep(0.02 * (2 - request.arm))
        return reply(self._answer(request))

    def stream(self, request: Call) -> Iterator[str]:
        yield from self.call(request).text

    async def astream(self, request: Call) -> AsyncIterator[str]:
        for letter in (await self.acall(request)).text:
            yield letter


async def _stream(flow: Flow[Any], meeting: Meeting, chunks: Chunks[str]) -> Any:
    (done,) = drive_stream(flow, meeting.stream, chunks)
    assert isinstance(done, Done)
    return done.result


async def _astream(flow: Flow[Any], meeting: Meeting, chunks: Chunks[str]) -> Any:
    (done,) = [item async for item in drive_stream_async(flow, meeting.astream, chunks)]
    assert isinstance(done, Done)
    return done.result


async def _sync(flow: Flow[Any], meeting: Meeting, _: Chunks[str]) -> Any:
    return drive(flow, meeting.call)


async def _async(flow: Flow[Any], meeting: Meeting, _: Chunks[str]) -> Any:
    return await drive_async(flow, meeting.acall)


drivers = pytest.mark.parametrize("run", [_sync, _async, _stream, _astream])


@drivers
async def test_gathered_calls_run_at_once_see_the_context_and_come_back_in_order(
    run: Callable[..., Any], chunks: Chunks[str]
) -> None:
    token = REQUEST_ID.set("r-7")
    try:
        results = await run(three(), Meeting(), chunks)
    finally:
        REQUEST_ID.reset(token)
    assert texts(results) == ["0 for r-7", "1 for r-7", "2 for r-7"]


@drivers
async def test_a_failure_among_gathered_calls_is_a_result_like_the_others(
    run: Callable[..., Any], chunks: Chunks[str]
) -> None:
    down = ConnectionError("down")
    first, second, third = await run(three(), Meeting({1: down}), chunks)
    assert (first.text[0], third.text[0]) == ("0", "2")
    assert isinstance(second, Failed) and second.error is down


@drivers
async def test_a_bug_in_one_of_the_gathered_calls_surfaces_as_itself(
    run: Callable[..., Any], chunks: Chunks[str]
) -> None:
    bug, cause = ValueError("a bug"), KeyError("why")
    bug.__cause__ = cause
    with pytest.raises(ValueError) as info:
        await run(three(), Meeting({1: bug}), chunks)
    assert info.value is bug
    assert info.value.__cause__ is cause
    assert info.value.__context__ is None or not isinstance(
        info.value.__context__, BaseExceptionGroup
    )


async def test_a_bug_in_one_call_cancels_the_others() -> None:
    cancelled: list[int] = []

    async def perform(request: Call) -> Reply[str]:
        if request.arm == 1:
            await asyncio.sleep(0)
            raise ValueError("a bug")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(request.arm)
            raise
        raise AssertionError

    with pytest.raises(ValueError, match="a bug"):
        await drive_async(three(), perform)
    assert sorted(cancelled) == [0, 2]


async def test_cancelling_the_driver_cancels_all_gathered_calls() -> None:
    cancelled: list[int] = []
    began = asyncio.Barrier(4)

    async def perform(request: Call) -> Reply[str]:
        await began.wait()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(request.arm)
        raise AssertionError

    task = asyncio.create_task(drive_async(three(), perform))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cancelled) == [0, 1, 2]


@drivers
async def test_gathering_nothing_gives_nothing(
    run: Callable[..., Any], chunks: Chunks[str]
) -> None:
    assert await run(gather([]), Meeting(), chunks) == ()


async def test_the_chunks_of_one_gathered_answer_come_out_alone(chunks: Chunks[str]) -> None:
    class Chosen:
        def __init__(self, reply: Reply[str]) -> None:
            self.reply = reply

    def best_of_three() -> Flow[Chosen]:
        results = yield from gather([Call(0), Call(1), Call(2)])
        chosen = results[1]
        assert isinstance(chosen, Reply)
        return Chosen(chosen)

    *shown, _ = drive_stream(best_of_three(), Meeting().stream, chunks)
    assert "".join(str(c) for c in shown) == "1 for none"


@pytest.mark.parametrize("streamed", [False, True])
def test_many_calls_share_a_bounded_number_of_threads(chunks: Chunks[str], streamed: bool) -> None:
    lock, at_once, most = threading.Lock(), 0, 0

    def perform(request: Call) -> Reply[str]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.005)
        with lock:
            at_once -= 1
        return reply(str(request.arm))

    def stream(request: Call) -> Iterator[str]:
        yield perform(request).text

    flow = gather([Call(arm) for arm in range(100)])
    if streamed:
        (done,) = drive_stream(flow, stream, chunks)
        assert isinstance(done, Done)
        results = done.result
    else:
        results = drive(flow, perform)
    assert texts(results) == [str(arm) for arm in range(100)]
    assert 2 <= most <= 16
