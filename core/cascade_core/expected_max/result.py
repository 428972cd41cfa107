"""What the search over sets returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray


@dataclass(frozen=True, slots=True)
class BestSets:
    """The best set of arms still to be called, row by row.

    Attributes:
        members: Arms of the set, shape (n, m); no arm means: stop.
        value: E[max] with the reply in hand, less the prices of the set, shape (n,); -inf where
            there is neither a reply nor an arm.
        base: Value of stopping, shape (n,); -inf where nothing is in hand.
        gap: Upper bound on the utility lost against the true optimum, shape (n,): 0 where the set
            was proven best.
    """

    members: BoolArray
    value: FloatArray
    base: FloatArray
    gap: FloatArray

    @property
    def gain(self) -> FloatArray:
        """Utility over stopping, shape (n,); inf where nothing is in hand."""
        return np.where(self.stop, 0.0, self.value - self.base)

    @property
    def stop(self) -> BoolArray:
        """Rows where no call pays, shape (n,)."""
        called: BoolArray = np.logical_or.reduce(self.members, axis=1)
        return ~called

    @property
    def lowest(self) -> IndexArray:
        """Lowest index in the set, shape (n,); -1 for stop."""
        return np.where(self.stop, -1, self.members.argmax(axis=1))
