"""What a stream shows, when, and what happens when it breaks or is left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_cascade import AllModelsFailed


async def chunks_of(model: Any, is_async: bool, **kwargs: Any) -> list[AIMessageChunk]:
    if is_async:
        return [chunk async for chunk in model.astream("hi", **kwargs)]
    return list(model.stream("hi", **kwargs))


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
async def test_an_accepted_draft_is_replayed_as_it_was_recorded(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("one two three"), fake("never"))
    chunks = await chunks_of(model, is_async)
    assert [chunk.text for chunk in chunks] == ["one", " two", " three", "", ""]


@both
async def test_the_last_chunk_and_no_other_carries_the_report(
    fake: Any, router: Any, is_async: bool
) -> None:
    chunks = await chunks_of(router(fake("a draft"), fake("one two")), is_async)
    assert [chunk.chunk_position for chunk in chunks] == [None] * (len(chunks) - 1) + ["last"]
    assert ["cascade" in chunk.response_metadata for chunk in chunks] == [False] * (
        len(chunks) - 1
    ) + [True]
    assert len({chunk.id for chunk in chunks}) == 1
    whole = sum(chunks[1:], chunks[0])
    assert whole.response_metadata["cascade"] == chunks[-1].response_metadata["cascade"]
    assert whole.response_metadata["model_name"] == "fake"


@both
async def test_a_nested_cascade_reports_once(fake: Any, router: Any, is_async: bool) -> None:
    inner = router(fake("a draft"), fake("one two"))
    chunks = await chunks_of(router(inner), is_async)
    whole = sum(chunks[1:], chunks[0])
    report = whole.response_metadata["cascade"]
    assert report["answered_by"] == "strong"
    # The one call of the outer cascade took what both of the inner one did.
    assert report["usage"]["input_tokens"] == 14
    assert report["cost_usd"] == pytest.approx((7 * 1 + 5 * 4 + 7 * 10 + 5 * 40) / 1e6)


def test_the_call_that_cannot_be_rejected_is_shown_live(fake: Any, router: Any) -> None:
    strong = fake("one two three")
    stream = router(fake("a draft"), strong).stream("hi")
    assert next(stream).text == "one"
    assert strong.closed == []  # still running
    stream.close()
    assert strong.closed == [1]


@both
async def test_tool_calls_keep_their_chunks(fake: Any, router: Any, is_async: bool) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1", "type": "tool_call"}
    model = router(fake("a draft"), fake(AIMessage("", tool_calls=[call])))
    chunks = await chunks_of(model, is_async)
    assert [chunk.tool_call_chunks[0]["args"] for chunk in chunks if chunk.tool_call_chunks] == [
        '{"a": 1,',
        ' "b": 2}',
    ]
    assert sum(chunks[1:], chunks[0]).tool_calls == [call]


@both
async def test_a_draft_that_dies_in_mid_stream_escalates_and_is_billed(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("one two three", dies_after=2), fake("the right answer"))
    chunks = await chunks_of(model, is_async)
    assert "".join(str(chunk.text) for chunk in chunks) == "the right answer"
    first, _ = chunks[-1].response_metadata["cascade"]["attempts"]
    assert (first["status"], first["error"]) == ("failed", "ConnectionError")
    assert first["usage"]["output_tokens"] > 0
    assert first["cost_usd"] > 0


@both
async def test_a_live_stream_that_dies_raises_what_was_shown_stays(
    fake: Any, router: Any, is_async: bool
) -> None:
    seen: list[str] = []
    model = router(fake("one two three", dies_after=2))
    with pytest.raises(ConnectionError, match="mid-stream"):
        if is_async:
            async for chunk in model.astream("hi"):
                seen.append(str(chunk.text))
        else:
            for chunk in model.stream("hi"):
                seen.append(str(chunk.text))
    assert seen == ["one", " two"]


@both
async def test_a_live_stream_that_dies_before_it_shows_anything_hands_over(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("an answer"), fake("never seen", dies_after=0), policy=_last_first())
    chunks = await chunks_of(model, is_async)
    assert "".join(str(chunk.text) for chunk in chunks) == "an answer"


@both
async def test_all_streams_broken_is_one_error(fake: Any, router: Any, is_async: bool) -> None:
    model = router(fake("one", dies_after=0), fake("two", dies_after=0))
    with pytest.raises(AllModelsFailed):
        await chunks_of(model, is_async)


def test_leaving_a_replay_closes_everything(fake: Any, router: Any) -> None:
    cheap = fake("one two three")
    stream = router(cheap, fake()).stream("hi")
    next(stream)
    stream.close()
    assert cheap.closed == [1]


async def test_leaving_a_live_stream_closes_the_child(fake: Any, router: Any) -> None:
    strong = fake("one two three")
    stream = router(strong).astream("hi")
    await anext(stream)
    assert strong.closed == []
    await stream.aclose()
    assert strong.closed == [1]


async def test_cancellation_closes_the_child(fake: Any, router: Any) -> None:
    class Slow(type(fake())):  # type: ignore[misc]
        async def _agenerate(self, messages: Any, stop: Any = None, **kwargs: Any) -> Any:
            try:
                await asyncio.sleep(60)
            finally:
                self.closed.append(1)

        async def _astream(self, messages: Any, stop: Any = None, **kwargs: Any) -> Any:
            try:
                await asyncio.sleep(60)
                yield None
            finally:
                self.closed.append(1)

    slow, strong = Slow(), fake("never")
    for call in (
        router(slow, strong).ainvoke("hi"),
        chunks_of(router(slow, strong), True),
    ):
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert slow.closed == [1, 1]
    assert strong.asked == []


@both
async def test_a_child_without_streams_gives_one_chunk(
    fake: Any, router: Any, is_async: bool
) -> None:
    call = {"name": "f", "args": {"x": 1}, "id": "1", "type": "tool_call"}
    child = fake(AIMessage("one two", tool_calls=[call]), disable_streaming=True)
    chunks = await chunks_of(router(child), is_async)
    whole = sum(chunks[1:], chunks[0])
    assert (whole.text, whole.tool_calls) == ("one two", [call])


@both
async def test_a_router_that_is_told_not_to_stream_answers_in_one_piece(
    fake: Any, router: Any, is_async: bool
) -> None:
    model = router(fake("a draft"), fake("one two"), disable_streaming=True)
    (message,) = await chunks_of(model, is_async)
    assert message.text == "one two"
    assert message.response_metadata["cascade"]["answered_by"] == "strong"


def _last_first() -> Any:
    from langchain_cascade import SingleModelPolicy

    return SingleModelPolicy(1)
