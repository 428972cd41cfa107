"""Numbers that arrive in batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# 32 MiB and more: smaller arrays stay with the process when freed, and all would be held twice.
_SIZE = 1 << 23


class Parts:
    """One long column, kept in blocks that go back to the system one by one."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[Any]] = []
        self._used = _SIZE

    def append(self, values: NDArray[Any]) -> None:
        """Add a copy of the values of a batch."""
        while len(values):
            if self._used == _SIZE:
                self._blocks.append(np.empty(_SIZE, dtype=values.dtype))
                self._used = 0
            n = min(len(values), _SIZE - self._used)
            self._blocks[-1][self._used : self._used + n] = values[:n]
            self._used += n
            values = values[n:]

    def drain(self) -> Iterator[NDArray[Any]]:
        """Yield the values in order and let go of them."""
        while self._blocks:
            block = self._blocks.pop(0)
            yield block if self._blocks else block[: self._used]
            del block
