"""What a flow may ask for. A flow is a generator that decides and does no I/O.

It yields a ``Call``, a ``Score`` or a ``Gather`` and is sent the result; the drivers perform these.
Everything that needs several calls is such a flow and composes with ``yield from``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from cascade_core._types import Call, Reply, Usage

R = TypeVar("R")

Validator = Callable[[Reply[Any]], Any]
"""Takes a reply; returns (or, driven asynchronously, awaits to) a bool or a number in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Score:
    """Ask the driver to run a caller's validator, which may be asynchronous, on a reply."""

    name: str
    validator: Validator
    reply: Reply[Any]


@dataclass(frozen=True, slots=True)
class Gather:
    """Ask the driver to perform several calls at once; the results come back in their order."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A call that raised a model's failure, and what it had used before it broke."""

    error: Exception
    latency_seconds: float
    usage: Usage | None = None


Effect = Call | Score | Gather

# What is sent back depends on the effect: Reply or Failed for a Call, a float for a Score, a tuple
# for a Gather. Python's types cannot say that of a generator, so it is cast here, and only here.
Flow = Generator[Effect, Any, R]


def call(request: Call) -> Flow[Reply[Any] | Failed]:
    """Yield one call and return its reply or failure."""
    return cast("Reply[Any] | Failed", (yield request))


def gather(calls: Sequence[Call]) -> Flow[tuple[Reply[Any] | Failed, ...]]:
    """Yield several calls to be performed concurrently and return their results in order."""
    return cast("tuple[Reply[Any] | Failed, ...]", (yield Gather(tuple(calls))))


def score(name: str, validator: Validator, reply: Reply[Any]) -> Flow[float]:
    """Yield one validation and return its score in [0, 1]."""
    return cast("float", (yield Score(name, validator, reply)))
