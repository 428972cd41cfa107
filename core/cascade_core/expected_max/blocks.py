"""Rows of decisions in blocks that share a table: equally many arms, equally many nodes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max import quadrature
from cascade_core.expected_max.decisions import Decisions
from cascade_core.expected_max.normal_max import NormalTable
from cascade_core.expected_max.reduce import count
from cascade_core.expected_max.samples import SampleTable

# Numbers of a block's arrays: they stay in the cache, and the allocator keeps their memory.
_BLOCK = 1 << 16


def normal_blocks(
    rows: Decisions, live: BoolArray
) -> Iterator[tuple[IndexArray, IndexArray, NormalTable]]:
    """Yield (rows (b,), their live arms (b, u), table) for all rows that have a live arm."""
    many = count(live)
    some = np.flatnonzero(many)
    mean, sd, alive = rows.mean[some], rows.sd[some], live[some]
    base = rows.base[some]
    lo, hi = quadrature.limits(mean, sd, base, alive)
    keys = quadrature.plan(mean, sd, lo, hi, base > -np.inf, alive)
    for u, key, group in _groups(many[some], keys):
        # Beside the arms there are the products over the subsets of each half of them.
        width = max(u + 3, 1 << min(u, NormalTable.direct) // 2)
        for part in _cut(group, quadrature.size(key) * width):
            arms = np.nonzero(alive[part])[1].reshape(len(part), u)
            at = part[:, None], arms
            x, w = quadrature.rule(key, mean[at], sd[at], lo[part], hi[part])
            yield some[part], arms, NormalTable.at(x, w, hi[part], mean[at], sd[at])


def sample_blocks(
    rows: Decisions, covariance: FloatArray, live: BoolArray, points: FloatArray
) -> Iterator[tuple[IndexArray, IndexArray, SampleTable]]:
    """Yield (rows (b,), their live arms (b, u), table) for all rows that have a live arm."""
    m = live.shape[1]
    many = count(live)
    some = np.flatnonzero(many)
    for u, _, group in _groups(many[some], np.zeros_like(some)):
        for part in _cut(some[group], m * len(points)):
            arms = np.nonzero(live[part])[1].reshape(len(part), u)
            table = SampleTable.of(rows.mean[part], covariance[part], rows.base[part], points)
            yield part, arms, table.absorb(np.arange(len(part)), np.zeros_like(live[part]), arms)


def _groups(count: IndexArray, keys: IndexArray) -> Iterator[tuple[int, int, IndexArray]]:
    """Yield (count, key, indices) for every pair that occurs."""
    if len(count) == 1:  # a live decision, for which sorting would be half the work here
        yield int(count[0]), int(keys[0]), np.zeros(1, dtype=np.intp)
        return
    order = np.lexsort((keys, count))
    steps = np.diff(count[order], prepend=-1) | np.diff(keys[order], prepend=0)
    for group in np.split(order, np.flatnonzero(steps)[1:]):
        if group.size:
            yield int(count[group[0]]), int(keys[group[0]]), group


def _cut(group: IndexArray, numbers: int) -> Iterator[IndexArray]:
    size = max(1, _BLOCK // numbers)
    for start in range(0, len(group), size):
        yield group[start : start + size]
