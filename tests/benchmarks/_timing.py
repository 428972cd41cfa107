"""How the overhead benchmarks measure: variants take turns; CPU time, minimum and median."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

Figures = dict[str, dict[str, float]]

# Untimed: a collection, or another variant, has cooled the caches.
_WARM_UPS = 5


def measure(variants: Mapping[str, Callable[[], Any]], rounds: int, calls: int) -> Figures:
    """Return the minimum and the median over the rounds, in µs of CPU time per call."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    with _uncollected():
        for _ in range(rounds):
            for name, run in variants.items():
                for _ in range(_WARM_UPS):
                    run()
                start = time.process_time()
                for _ in range(calls):
                    run()
                times[name].append(_per_call(start, calls))
            gc.collect()
    return _summary(times)


async def measure_async(
    variants: Mapping[str, Callable[[], Awaitable[Any]]], rounds: int, calls: int
) -> Figures:
    """Return the same figures for awaited calls."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    with _uncollected():
        for _ in range(rounds):
            for name, run in variants.items():
                for _ in range(_WARM_UPS):
                    await run()
                start = time.process_time()
                for _ in range(calls):
                    await run()
                times[name].append(_per_call(start, calls))
            gc.collect()
    return _summary(times)


def least(figures: Figures) -> dict[str, float]:
    """Return the minimum of every variant, which the bars are set on."""
    return {name: figure["min"] for name, figure in figures.items()}


def show(title: str, figures: Figures, ratios: Mapping[str, float]) -> None:
    """Print the figures and the ratios between them."""
    print(f"{title:<52}{'min':>9}{'median':>9}")
    for name, figure in figures.items():
        print(f"{name:<52}{figure['min']:>9.0f}{figure['median']:>9.0f}")
    for name, ratio in ratios.items():
        print(f"{name:<61}{ratio:>9.2f}")


@contextmanager
def _uncollected() -> Generator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _per_call(start: float, calls: int) -> float:
    return (time.process_time() - start) / calls * 1e6


def _summary(times: Mapping[str, Sequence[float]]) -> Figures:
    return {
        name: {"min": min(each), "median": statistics.median(each)} for name, each in times.items()
    }
