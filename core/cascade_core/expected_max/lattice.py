r"""The lattice of sets $A \subseteq S^* \subseteq B$: arms surely in, arms not surely out.

E[max] is monotone and submodular in the set, prices are modular: what an arm adds only shrinks as
the set grows. So an arm that adds more than its price to all others of B is in every best set, and
one that adds less than its price to A is in none. Repeated until nothing changes; each decided arm
sharpens the test of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.expected_max.reduce import any_of, count
from cascade_core.expected_max.subsets import TIE


class MaxTable(Protocol):
    """E[max] of sets of arms, for many rows; by quadrature or on samples.

    Attributes:
        direct: Up to this many arms all subsets are compared at once.
        enumerable: Up to this many arms they are, once the lattice is shrunk.
        leaf: And this many in a node of a search.
    """

    enumerable: ClassVar[int]
    direct: ClassVar[int]
    leaf: ClassVar[int]

    @property
    def width(self) -> int:
        """Number of nodes or samples."""
        ...

    def dominates(self) -> BoolArray:
        """Return whether arm j may replace arm i in every set at no loss, shape (n, u, u)."""
        ...

    def ceilings(self, price: FloatArray) -> FloatArray:
        """Return an upper bound on E[max] less prices of sets that hold arm i, shape (n, u)."""
        ...

    def take(self, rows: IndexArray) -> Self:
        """Return some of the rows."""
        ...

    def absorb(self, rows: IndexArray, inside: BoolArray, arms: IndexArray) -> Self:
        """Return ``rows`` with ``inside`` (n, u) called for sure and only ``arms`` (n, v) left."""
        ...

    def value(self, inside: BoolArray) -> FloatArray:
        """Return E[max] of the sets ``inside``, shape (n,)."""
        ...

    def gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm adds to ``inside``, shape (n, u)."""
        ...

    def exclusive_gains(self, inside: BoolArray) -> FloatArray:
        """Return what every arm of ``inside`` adds to the others of it, shape (n, u)."""
        ...

    def all_values(self) -> FloatArray:
        """Return E[max] of every subset, shape (n, 2^u)."""
        ...

    def prefix_values(self) -> FloatArray:
        """Return E[max] of the first 0, 1, ..., u arms, shape (n, u + 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be maximised over the arms of a table, row by row.

    Attributes:
        price: Price of every arm, shape (n, u).
        may_stop: Rows where the empty set is allowed, shape (n,).
        room: Most arms a set may have, shape (n,).
        dearest: Of tied sets take the dearest.
    """

    price: FloatArray
    may_stop: BoolArray
    room: IndexArray
    dearest: bool

    def rows(self, rows: IndexArray) -> Problem:
        """Return some of the rows."""
        return Problem(self.price[rows], self.may_stop[rows], self.room[rows], self.dearest)


def out_margin(price: FloatArray, dearest: bool) -> FloatArray:
    """Return by how much a gain may exceed the price of an arm that is still left out.

    Of ties the cheaper set is wanted: a hair of gain does not buy. The dearer: it must lose for
    certain; but a free arm that adds nothing is left out in any case.
    """
    return np.where((price > 0) & dearest, -TIE, TIE / 10)


def shrink(
    table: MaxTable, problem: Problem, inside: BoolArray, maybe: BoolArray
) -> tuple[BoolArray, BoolArray]:
    """Return (inside, maybe) once no test decides another arm.

    A row whose set may not hold all arms has no arm that is surely in, and one that may not stop
    none that is surely out until one is in.
    """
    out_at = problem.price + out_margin(problem.price, problem.dearest)
    in_at = problem.price + np.where((problem.price > 0) & problem.dearest, -TIE / 10, TIE)
    fits = problem.room >= count(inside | maybe)
    while True:
        anchored = problem.may_stop | any_of(inside)
        out = maybe & anchored[:, None] & (table.gains(inside) < out_at)
        maybe = maybe & ~out
        into = maybe & fits[:, None] & (table.exclusive_gains(inside | maybe) > in_at)
        inside, maybe = inside | into, maybe & ~into
        if not (out.any() or into.any()) or not maybe.any():
            return inside, maybe
