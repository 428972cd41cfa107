"""The four drivers: they perform what a flow asks for, in this thread, awaited, or streamed.

An adapter hands in how to call a model; everything else about a request is in the flow, so that no
two entry points can disagree. A driver closes the flow, and a model's open stream, however it ends.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from cascade_core._flow import Effect, Failed, Flow, Score
from cascade_core._types import Call, Reply
from cascade_core.errors import PolicyError, ValidatorError
from cascade_core.failures import is_model_failure

R = TypeVar("R")
C = TypeVar("C")

# Gathered calls beyond so many wait for a free thread: best of a hundred must not start a hundred.
_MOST_THREADS = 16

Recoverable = Callable[[Exception], bool]
"""True for errors that are the model's, to be sent into the flow; every other one is raised."""


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """The last item of a driven stream: what the flow returned."""

    result: R


@dataclass(frozen=True, slots=True)
class Chunks(Generic[C]):
    """What the stream drivers need to know about a framework's chunks.

    Attributes:
        collect: Builds a reply from the chunks of one call, also from those of a broken one.
        shows: True if a chunk shows something to the user. Empty first chunks are held back, so
            that a stream that dies after them can still fall back.
    """

    collect: Callable[[Call, Sequence[C]], Reply[Any]]
    shows: Callable[[C], bool]


def drive(
    flow: Flow[R],
    perform: Callable[[Call], Reply[Any]],
    recoverable: Recoverable = is_model_failure,
) -> R:
    """Run ``flow`` in this thread and return its result.

    Args:
        flow: The generator.
        perform: Calls the model and returns its reply, or raises.
        recoverable: Which errors of ``perform`` are the model's failure.
    """

    def attempt(request: Call) -> Reply[Any] | Failed:
        start = time.perf_counter()
        try:
            return _timed(perform(request), start)
        except Exception as error:
            return _failed(error, start, recoverable)

    with closing(flow):
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as stop:
                return cast("R", stop.value)
            result = _perform(effect, attempt)


async def drive_async(
    flow: Flow[R],
    perform: Callable[[Call], Awaitable[Reply[Any]]],
    recoverable: Recoverable = is_model_failure,
) -> R:
    """Run ``flow`` with awaited calls and return its result; otherwise as ``drive``."""

    async def attempt(request: Call) -> Reply[Any] | Failed:
        start = time.perf_counter()
        try:
            return _timed(await perform(request), start)
        except Exception as error:
            return _failed(error, start, recoverable)

    with closing(flow):
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as stop:
                return cast("R", stop.value)
            result = await _perform_async(effect, attempt)


def drive_stream(
    flow: Flow[R],
    stream: Callable[[Call], Iterator[C]],
    chunks: Chunks[C],
    recoverable: Recoverable = is_model_failure,
) -> Generator[C | Done[R]]:
    """Run ``flow`` and yield the chunks of its answer only, then ``Done``.

    A call that may still be rejected is drained and judged first; if it is the answer, its recorded
    chunks are replayed. A ``final`` call is passed through while it arrives: before its first
    visible chunk a failure falls back, after it the error is the user's to see.
    """
    tape = _Tape(chunks, recoverable)

    def attempt(request: Call) -> Reply[Any] | Failed:
        recording = tape.record(request)
        try:
            with closing(_closable(stream(request))) as source:
                for chunk in source:
                    recording.add(chunk)
            return recording.reply()
        except Exception as error:
            return recording.failed(error)

    def attempt_live(request: Call) -> Generator[C, None, Reply[Any] | Failed]:
        recording = tape.record(request)
        try:
            with closing(_closable(stream(request))) as source:
                for chunk in source:
                    recording.add(chunk)
                    yield from recording.release()
            yield from recording.release(rest=True)
            return recording.reply()
        except Exception as error:
            return recording.failed(error)

    with closing(flow):
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as stop:
                yield from tape.unshown(stop.value)
                yield Done(stop.value)
                return
            tape.check(effect)
            if isinstance(effect, Call) and effect.final:
                result = yield from attempt_live(effect)
            else:
                result = _perform(effect, attempt)


async def drive_stream_async(
    flow: Flow[R],
    stream: Callable[[Call], AsyncIterator[C]],
    chunks: Chunks[C],
    recoverable: Recoverable = is_model_failure,
) -> AsyncGenerator[C | Done[R]]:
    """Run ``flow`` with awaited streams; otherwise as ``drive_stream``."""
    tape = _Tape(chunks, recoverable)

    async def attempt(request: Call) -> Reply[Any] | Failed:
        recording = tape.record(request)
        try:
            async with aclosing(_aclosable(stream(request))) as source:
                async for chunk in source:
                    recording.add(chunk)
            return recording.reply()
        except Exception as error:
            return recording.failed(error)

    async def attempt_live(request: Call) -> AsyncGenerator[C | Done[Reply[Any] | Failed]]:
        recording = tape.record(request)
        try:
            async with aclosing(_aclosable(stream(request))) as source:
                async for chunk in source:
                    recording.add(chunk)
                    for ready in recording.release():
                        yield ready
            for ready in recording.release(rest=True):
                yield ready
            yield Done(recording.reply())
        except Exception as error:
            yield Done(recording.failed(error))

    with closing(flow):
        result: Any = None
        while True:
            try:
                effect = flow.send(result)
            except StopIteration as stop:
                for chunk in tape.unshown(stop.value):
                    yield chunk
                yield Done(stop.value)
                return
            tape.check(effect)
            if isinstance(effect, Call) and effect.final:
                async with aclosing(attempt_live(effect)) as live:
                    async for item in live:
                        if isinstance(item, Done):
                            result = cast("Reply[Any] | Failed", item.result)
                        else:
                            yield item
            else:
                result = await _perform_async(effect, attempt)


class _Recording(Generic[C]):
    """The chunks of one call, and how many of them were shown."""

    def __init__(self, tape: _Tape[C], request: Call) -> None:
        self._tape = tape
        self._request = request
        self._start = time.perf_counter()
        self._released = 0
        self.chunks: list[C] = []
        self.answer: Reply[Any] | None = None

    def add(self, chunk: C) -> None:
        self.chunks.append(chunk)

    def release(self, rest: bool = False) -> list[C]:
        """Return the chunks to show now: none before the first visible one has come."""
        if not (rest or self._tape.shown or self._tape.adapter.shows(self.chunks[-1])):
            return []
        self._tape.shown = True
        ready = self.chunks[self._released :]
        self._released = len(self.chunks)
        return ready

    def reply(self) -> Reply[Any]:
        self.answer = _timed(self._tape.adapter.collect(self._request, self.chunks), self._start)
        return self.answer

    def failed(self, error: Exception) -> Failed:
        if self._tape.shown:  # the user has seen a part of the answer: there is no way back
            raise error
        failed = _failed(error, self._start, self._tape.recoverable)
        if not self.chunks:
            return failed
        # What had arrived before the stream broke was produced, and is billed.
        received = self._tape.adapter.collect(self._request, self.chunks)
        return replace(failed, usage=received.usage)


class _Tape(Generic[C]):
    """All recordings of one driven stream, and whether anything was shown."""

    def __init__(self, adapter: Chunks[C], recoverable: Recoverable) -> None:
        self.adapter = adapter
        self.recoverable = recoverable
        self.shown = False
        self._recordings: list[_Recording[C]] = []

    def record(self, request: Call) -> _Recording[C]:
        recording = _Recording(self, request)
        self._recordings.append(recording)
        return recording

    def unshown(self, result: Any) -> list[C]:
        """Return the chunks of the answer in ``result`` (its ``reply``), unless already shown."""
        answer = getattr(result, "reply", None)
        if self.shown or answer is None:
            return []
        return [c for r in self._recordings if r.answer is answer for c in r.chunks]

    def check(self, effect: Effect) -> None:
        if self.shown and not isinstance(effect, Score):
            raise PolicyError(
                f"The policy asked for {effect!r} after the reply of a final call had been shown. "
                "A call marked final must be answered with."
            )


def _perform(effect: Effect, attempt: Callable[[Call], Reply[Any] | Failed]) -> Any:
    if isinstance(effect, Call):
        return attempt(effect)
    if isinstance(effect, Score):
        verdict = _validate(effect)
        if inspect.isawaitable(verdict):
            if inspect.iscoroutine(verdict):
                verdict.close()
            raise ValidatorError(
                f"Validator {effect.name!r} is asynchronous, and the cascade was called "
                "synchronously. Await the cascade (ainvoke, achat, ...), or give a plain function."
            )
        return _checked(effect, verdict)
    threads = min(max(1, len(effect.calls)), _MOST_THREADS)
    with ThreadPoolExecutor(max_workers=threads) as pool:
        # Each call gets the caller's context variables: tracing and configuration live in them.
        jobs = [pool.submit(copy_context().run, attempt, request) for request in effect.calls]
        return tuple(job.result() for job in jobs)


async def _perform_async(
    effect: Effect, attempt: Callable[[Call], Awaitable[Reply[Any] | Failed]]
) -> Any:
    if isinstance(effect, Call):
        return await attempt(effect)
    if isinstance(effect, Score):
        verdict = _validate(effect)
        if inspect.isawaitable(verdict):
            try:
                verdict = await verdict
            except Exception as error:
                raise _validator_raised(effect) from error
        return _checked(effect, verdict)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_coroutine(attempt(request))) for request in effect.calls]
    except BaseExceptionGroup as errors:
        # The others were cancelled because of the first: it is the one that the caller can mend.
        first = errors.exceptions[0]
    else:
        return tuple(task.result() for task in tasks)
    raise first  # out here, where that replaces neither its cause nor its context


async def _coroutine(awaitable: Awaitable[R]) -> R:
    return await awaitable


def _timed(reply: Reply[Any], start: float) -> Reply[Any]:
    if reply.latency_seconds is not None:  # a replay knows better
        return reply
    return replace(reply, latency_seconds=time.perf_counter() - start)


def _failed(error: Exception, start: float, recoverable: Recoverable) -> Failed:
    """Return the failure to send into the flow, or raise what is not the model's fault."""
    if not recoverable(error):
        raise error
    return Failed(error, time.perf_counter() - start)


def _validate(effect: Score) -> Any:
    try:
        return effect.validator(effect.reply)
    except Exception as error:
        raise _validator_raised(effect) from error


def _validator_raised(effect: Score) -> ValidatorError:
    return ValidatorError(
        f"Validator {effect.name!r} raised on a reply. A validator must return a bool or a number "
        "in [0, 1]; the cause is chained."
    )


def _checked(effect: Score, verdict: Any) -> float:
    try:
        # A judge's text is no verdict, although float("1") would make it one.
        value = math.nan if isinstance(verdict, str | bytes) else float(verdict)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ValidatorError(
            f"Validator {effect.name!r} returned {verdict!r}; it must return a bool or a number in "
            "[0, 1], the probability that the reply is good."
        )
    return value


def _closable(source: Iterator[C]) -> Generator[C]:
    """Wrap any iterator so that closing reaches it: a child's stream must end with ours."""
    try:
        yield from source
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


async def _aclosable(source: AsyncIterator[C]) -> AsyncGenerator[C]:
    """Wrap any asynchronous iterator so that closing reaches it."""
    try:
        async for item in source:
            yield item
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
