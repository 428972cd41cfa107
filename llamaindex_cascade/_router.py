"""The models behind one cascade, asked in each of the four ways that LlamaIndex calls an LLM."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms.llm import LLM

from cascade_core import (
    Call,
    Cascade,
    CascadeAbstained,
    Chunks,
    Done,
    Outcome,
    Reply,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
)
from cascade_core.escalation import EscalateOn
from cascade_core.failures import raised_inside
from llamaindex_cascade._closing import aclosing_if_possible, closing_if_possible
from llamaindex_cascade._exchange import Exchange

C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Piece(Generic[C]):
    """A chunk, and the model that it came from."""

    model: str
    chunk: C


@dataclass(eq=False)
class Router:
    """Performs what the cascade decides.

    Args:
        cascade: Decides.
        models: The models, in the order of the cascade's arms.
        recoverable: After which errors the next model takes over.
    """

    cascade: Cascade
    models: tuple[LLM, ...]
    recoverable: EscalateOn
    _lent: CallbackManager | None = None

    def lend(self, manager: CallbackManager) -> Router:
        """Give ``manager`` to every model that has no handlers of its own, and return self.

        At call time, because ``Settings.llm`` sets the manager after construction. A model's own
        handlers stay: to add ours would count twice what the user wired up once.
        """
        if manager is self._lent or not manager.handlers:
            return self
        for model in self.models:
            if model.callback_manager is self._lent or not model.callback_manager.handlers:
                model.callback_manager = manager
        self._lent = manager
        return self

    def ask(self, exchange: Exchange[C, R], call: Callable[[LLM], C]) -> R:
        """Return the answer of one request."""

        def perform(request: Call) -> Reply[C]:
            return exchange.read([call(self.models[request.arm])])

        flow = self.cascade.run(exchange.request)
        return self._answer(exchange, drive(flow, perform, self.recoverable))

    async def ask_async(self, exchange: Exchange[C, R], call: Callable[[LLM], Awaitable[C]]) -> R:
        """Return the answer of one request, every call awaited."""

        async def perform(request: Call) -> Reply[C]:
            return exchange.read([await call(self.models[request.arm])])

        flow = self.cascade.run(exchange.request)
        return self._answer(exchange, await drive_async(flow, perform, self.recoverable))

    def stream(
        self, exchange: Exchange[C, R], call: Callable[[LLM], Iterator[C]]
    ) -> Generator[R, None, None]:
        """Return the chunks of the answer.

        All is decided before this returns: once the caller's method has returned, its span is
        closed, and whatever began later would have no parent.
        """

        def source(request: Call) -> Generator[_Piece[C], None, None]:
            with closing_if_possible(call(self.models[request.arm])) as chunks:
                for chunk in chunks:
                    yield _Piece(self._name(request.arm), chunk)

        flow = self.cascade.run(exchange.request)
        driven = drive_stream(flow, source, _chunks(exchange), self.recoverable)
        return self._shown(exchange, _answered(next(driven)), driven)

    async def stream_async(
        self, exchange: Exchange[C, R], call: Callable[[LLM], Awaitable[AsyncIterator[C]]]
    ) -> AsyncGenerator[R, None]:
        """Return the chunks of the answer, every call awaited; otherwise as ``stream``."""

        async def source(request: Call) -> AsyncGenerator[_Piece[C], None]:
            async with aclosing_if_possible(await call(self.models[request.arm])) as chunks:
                async for chunk in chunks:
                    yield _Piece(self._name(request.arm), chunk)

        flow = self.cascade.run(exchange.request)
        driven = drive_stream_async(flow, source, _chunks(exchange), self.recoverable)
        return self._shown_async(exchange, _answered(await anext(driven)), driven)

    def _shown(
        self,
        exchange: Exchange[C, R],
        first: _Piece[C] | Done[Outcome[C]],
        driven: Generator[_Piece[C] | Done[Outcome[C]]],
    ) -> Generator[R, None, None]:
        behind = _OneBehind(exchange)
        with closing(driven):
            yield from behind.push(first)
            try:
                for item in driven:
                    yield from behind.push(item)
            except Exception:
                yield from behind.rest()
                raise

    async def _shown_async(
        self,
        exchange: Exchange[C, R],
        first: _Piece[C] | Done[Outcome[C]],
        driven: AsyncGenerator[_Piece[C] | Done[Outcome[C]]],
    ) -> AsyncGenerator[R, None]:
        behind = _OneBehind(exchange)
        async with aclosing(driven):
            for ready in behind.push(first):
                yield ready
            try:
                async for item in driven:
                    for ready in behind.push(item):
                        yield ready
            except Exception:
                for ready in behind.rest():
                    yield ready
                raise

    def _answer(self, exchange: Exchange[C, R], outcome: Outcome[C]) -> R:
        return exchange.ended(_reply_of(outcome).value, outcome.report())

    def _name(self, arm: int) -> str:
        return self.cascade.arms[arm].name


class _OneBehind(Generic[C, R]):
    """Passes chunks on one behind their arrival, because the last one carries the report."""

    def __init__(self, exchange: Exchange[C, R]) -> None:
        self._exchange = exchange
        self._held: _Piece[C] | None = None

    def push(self, item: _Piece[C] | Done[Outcome[C]]) -> Iterator[R]:
        """Take the next item and give what can be shown now."""
        held, self._held = self._held, None if isinstance(item, Done) else item
        if held is None:
            return
        if isinstance(item, Done):
            yield self._exchange.ended(held.chunk, item.result.report())
        else:
            yield self._exchange.passed(held.chunk, held.model)

    def rest(self) -> Iterator[R]:
        """Give what came before a stream broke."""
        if self._held is not None:
            yield self._exchange.passed(self._held.chunk, self._held.model)


def is_bad_reply(error: Exception) -> bool:
    """Tell whether an integration tripped over a malformed reply.

    A body without choices, or without a message: the integrations index into what is not there. The
    same error out of a caller's handler or tool has another place of birth.
    """
    return isinstance(error, LookupError | AttributeError | TypeError) and raised_inside(
        error, "llama_index.llms"
    )


def _chunks(exchange: Exchange[C, R]) -> Chunks[_Piece[C]]:
    def collect(_: Call, pieces: Sequence[_Piece[C]]) -> Reply[C]:
        return exchange.read([piece.chunk for piece in pieces])

    return Chunks(collect, lambda piece: exchange.shows(piece.chunk))


def _answered(
    first: _Piece[C] | Done[Outcome[C]],
) -> _Piece[C] | Done[Outcome[C]]:
    """Return the first item of a stream, which is no abstention."""
    if isinstance(first, Done):
        _reply_of(first.result)
    return first


def _reply_of(outcome: Outcome[C]) -> Reply[C]:
    if outcome.reply is None:
        raise CascadeAbstained(f"The policy abstained: {outcome.reason}.", outcome.trace)
    return outcome.reply
