"""What a stream shows, and when: never a rejected draft, and a final call as it arrives."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing, suppress
from typing import Any

import pytest

from cascade_core import (
    Arm,
    Call,
    Cascade,
    Chunks,
    Done,
    Flow,
    PolicyError,
    Price,
    Reply,
    Request,
    SingleModelPolicy,
    call,
    drive_async,
    drive_stream,
    drive_stream_async,
)

ARMS = tuple(Arm(name, Price(price, price)) for name, price in [("s", 1), ("m", 4), ("l", 16)])
DOWN = ConnectionError("down")


def is_good(reply: Reply[Any]) -> bool:
    return "good" in reply.text


def cascade(policy: Any = None, n: int = 3) -> Flow[Any]:
    return Cascade.build(ARMS[:n], policy, [is_good]).run(Request())


async def test_a_rejected_draft_never_comes_out(streamer: Any, script: Any) -> None:
    driven = await streamer(cascade(), script(("secret", " draft"), ("go", "od"), ("x",)))
    assert driven.chunks == ["go", "od"]


async def test_an_accepted_draft_comes_out_once_and_in_order(streamer: Any, script: Any) -> None:
    driven = await streamer(cascade(), script(("a ", "", "good", " one", ""), ("x",), ("x",)))
    assert driven.chunks == ["a ", "", "good", " one", ""]


async def test_an_abstention_shows_nothing(streamer: Any, script: Any) -> None:
    driven = await streamer(Cascade.build(ARMS[:1]).run(Request()), script(("only",)))
    assert driven.chunks == ["only"]

    def abstains() -> Flow[None]:
        yield from call(Call(0))
        return None

    assert (await streamer(abstains(), script(("secret",)))).chunks == []


async def interleaving(asynchronous: bool, script: Any, flow: Flow[Any], chunks: Any) -> list[Any]:
    """Return the log of a stream: what the model made and what the consumer saw, in order."""
    if asynchronous:
        async for item in drive_stream_async(flow, script.astream, chunks):
            if not isinstance(item, Done):
                script.log.append(("seen", item))
    else:
        for item in drive_stream(flow, script.stream, chunks):
            if not isinstance(item, Done):
                script.log.append(("seen", item))
    return [(event, what) for event, what in script.log if event in ("made", "seen")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_final_call_is_shown_while_it_arrives(
    asynchronous: bool, script: Any, chunks: Chunks[str]
) -> None:
    log = await interleaving(
        asynchronous, script(("a", "b", "c")), cascade(SingleModelPolicy(0), 1), chunks
    )
    assert log == [(event, chunk) for chunk in "abc" for event in ("made", "seen")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_draft_is_judged_before_any_of_it_is_shown(
    asynchronous: bool, script: Any, chunks: Chunks[str]
) -> None:
    log = await interleaving(asynchronous, script(("go", "od"), ("x",), ("x",)), cascade(), chunks)
    assert log == [("made", "go"), ("made", "od"), ("seen", "go"), ("seen", "od")]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_empty_first_chunks_are_held_back_until_one_shows_something(
    asynchronous: bool, script: Any, chunks: Chunks[str]
) -> None:
    log = await interleaving(
        asynchronous, script(("", "", "a", "", "b")), cascade(SingleModelPolicy(0), 1), chunks
    )
    assert log == [
        ("made", ""),
        ("made", ""),
        ("made", "a"),
        ("seen", ""),
        ("seen", ""),
        ("seen", "a"),
        ("made", ""),
        ("seen", ""),
        ("made", "b"),
        ("seen", "b"),
    ]


async def test_a_final_stream_without_anything_visible_still_comes_out(
    streamer: Any, script: Any
) -> None:
    driven = await streamer(cascade(SingleModelPolicy(0), 1), script(("", "")))
    assert driven.chunks == ["", ""]
    assert driven.result.arm == 0


async def test_a_final_stream_that_dies_before_its_first_visible_chunk_falls_back(
    streamer: Any, script: Any
) -> None:
    models = script(("", "", DOWN), ("go", "od"))
    driven = await streamer(cascade(SingleModelPolicy(0), 2), models)
    assert driven.chunks == ["go", "od"]
    (failure,) = driven.result.trace.failures
    assert failure.error is DOWN
    # Ten tokens in and two out were received, at one dollar per million.
    assert failure.cost_usd == pytest.approx(12 / 1e6)


async def test_a_stream_that_dies_before_anything_came_cost_nothing(
    streamer: Any, script: Any
) -> None:
    driven = await streamer(cascade(SingleModelPolicy(0), 2), script((DOWN,), ("good",)))
    assert driven.result.trace.failures[0].cost_usd == 0.0
    assert driven.result.trace.failures[0].usage is None


async def test_a_draft_that_dies_in_its_middle_falls_back_and_is_paid_for(
    streamer: Any, script: Any
) -> None:
    driven = await streamer(cascade(), script(("half a ", "draft", DOWN), ("good",), ("x",)))
    assert driven.chunks == ["good"]
    assert driven.result.trace.failures[0].usage.output_tokens == 2
    expected = (12 * 1 + 11 * 4) / 1e6
    assert driven.result.cost_usd == pytest.approx(expected)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_after_the_first_visible_chunk_a_failure_is_the_users_to_see(
    asynchronous: bool, script: Any, chunks: Chunks[str]
) -> None:
    models = script(("half", DOWN), ("good",))
    with pytest.raises(ConnectionError) as info:
        await interleaving(asynchronous, models, cascade(SingleModelPolicy(0), 2), chunks)
    assert info.value is DOWN
    assert ("seen", "half") in models.log
    assert models.called == [0]


async def test_an_error_that_is_not_the_models_breaks_a_stream_at_once(
    streamer: Any, script: Any
) -> None:
    bug = ValueError("a bug of the caller")
    models = script(("", bug), ("good",))
    with pytest.raises(ValueError) as info:
        await streamer(cascade(SingleModelPolicy(0), 2), models)
    assert info.value is bug
    assert models.called == [0]


async def test_a_flow_may_not_go_on_after_a_final_reply_was_shown(
    streamer: Any, script: Any
) -> None:
    def goes_on() -> Flow[None]:
        yield from call(Call(0, final=True))
        yield from call(Call(1))

    with pytest.raises(PolicyError, match="after the reply of a final call had been shown"):
        await streamer(goes_on(), script(("shown",), ("x",)))


def closing_flow(flow: Flow[Any], log: list[Any]) -> Flow[Any]:
    try:
        return (yield from flow)
    finally:
        log.append(("closed", "flow"))


def test_a_consumer_that_stops_early_closes_the_childs_stream_and_the_flow(
    script: Any, chunks: Chunks[str]
) -> None:
    models = script(("a", "b", "c"))
    flow = closing_flow(cascade(SingleModelPolicy(0), 1), models.log)
    with closing(drive_stream(flow, models.stream, chunks)) as stream:
        assert next(stream) == "a"
    assert ("made", "b") not in models.log
    assert models.log[-2:] == [("closed", 0), ("closed", "flow")]


async def test_an_asynchronous_consumer_that_stops_early_closes_them_too(
    script: Any, chunks: Chunks[str]
) -> None:
    log: list[Any] = []

    async def child(_: Call) -> AsyncIterator[str]:
        try:
            for chunk in "abc":
                yield chunk
        finally:
            log.append(("closed", 0))

    flow = closing_flow(cascade(SingleModelPolicy(0), 1), log)
    async with aclosing(drive_stream_async(flow, child, chunks)) as stream:
        assert await anext(stream) == "a"
    assert log == [("closed", 0), ("closed", "flow")]


def test_an_iterator_that_is_no_generator_is_closed_as_well(chunks: Chunks[str]) -> None:
    class Response:
        closed = False

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            return "more"

        def close(self) -> None:
            self.closed = True

    response = Response()
    flow = cascade(SingleModelPolicy(0), 1)
    with closing(drive_stream(flow, lambda _: response, chunks)) as stream:
        next(stream)
    assert response.closed


async def test_an_asynchronous_iterator_that_is_no_generator_is_closed_as_well(
    chunks: Chunks[str],
) -> None:
    class Response:
        closed = False

        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            return "more"

        async def aclose(self) -> None:
            self.closed = True

    response = Response()
    flow = cascade(SingleModelPolicy(0), 1)
    async with aclosing(drive_stream_async(flow, lambda _: response, chunks)) as stream:
        await anext(stream)
    assert response.closed


@pytest.mark.parametrize("end", [StopIteration(), DOWN], ids=["ends", "breaks"])
def test_a_response_that_ends_or_breaks_is_closed_too(end: Exception, chunks: Chunks[str]) -> None:
    class Response:
        def __init__(self) -> None:
            self.left = ["a", "b"]
            self.closed = False

        def __iter__(self) -> Iterator[str]:
            return self

        def __next__(self) -> str:
            if not self.left:
                raise end
            return self.left.pop(0)

        def close(self) -> None:
            self.closed = True

    responses = [Response(), Response()]
    flow = cascade(SingleModelPolicy(0), 1)
    with suppress(ConnectionError):
        list(drive_stream(flow, lambda _: responses[0], chunks))
    draft = Cascade.build(ARMS[:2], None, [is_good]).run(Request())
    second = iter(["good"])
    list(drive_stream(draft, lambda c: second if c.arm else responses[1], chunks))
    assert [r.closed for r in responses] == [True, True]


def test_plain_iterables_serve_as_streams(chunks: Chunks[str]) -> None:
    flow = cascade(SingleModelPolicy(0), 1)
    *shown, _ = drive_stream(flow, lambda _: iter(["a", "b"]), chunks)
    assert shown == ["a", "b"]


@pytest.mark.parametrize("final", [False, True], ids=["draft", "final"])
async def test_a_cancelled_stream_closes_the_child_and_stays_cancelled(
    final: bool, chunks: Chunks[str]
) -> None:
    log: list[Any] = []
    waiting = asyncio.Event()

    async def child(request: Call) -> AsyncIterator[str]:
        assert request.arm == 0, "no other model is asked"
        try:
            yield ""
            waiting.set()
            await asyncio.Event().wait()
        finally:
            log.append(("closed", 0))

    flow = closing_flow(cascade(SingleModelPolicy(0) if final else None), log)

    async def consume() -> None:
        async with aclosing(drive_stream_async(flow, child, chunks)) as stream:
            async for _ in stream:
                pass

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [("closed", 0), ("closed", "flow")]


async def test_a_cancelled_call_is_no_failure_of_its_model() -> None:
    log: list[Any] = []
    waiting = asyncio.Event()

    async def child(request: Call) -> Reply[str]:
        log.append(("call", request.arm))
        assert request.arm == 0, "no other model is asked"
        try:
            waiting.set()
            await asyncio.Event().wait()
        finally:
            log.append(("closed", 0))
        raise AssertionError

    task = asyncio.create_task(drive_async(closing_flow(cascade(), log), child))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == [("call", 0), ("closed", 0), ("closed", "flow")]
