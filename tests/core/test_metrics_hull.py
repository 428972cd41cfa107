"""The upper hull against its definition in rational numbers."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_core import InvalidOutcomes
from cascade_core.evaluation.metrics import upper_hull

# A small grid makes ties and collinear points common; floats make near-collinear ones.
GRID = st.tuples(st.integers(0, 6), st.integers(0, 6))
FLOATS = st.tuples(*[st.floats(0, 1, allow_subnormal=False)] * 2)
POINTS = st.lists(GRID, min_size=1, max_size=9) | st.lists(FLOATS, min_size=1, max_size=7)
Points = list[tuple[float, float]]


def hull(points: Points) -> list[int]:
    cost, quality = zip(*points, strict=True)
    return upper_hull(cost, quality).tolist()


def corners_by_definition(points: Points) -> list[int]:
    """Points that no other one and no mixture of two others equals or beats."""
    p = [(Fraction(c), Fraction(q)) for c, q in points]

    def beaten(i: int) -> bool:
        (c, q), others = p[i], [j for j in range(len(p)) if j != i]
        as_good = [j for j in others if p[j][0] <= c and p[j][1] >= q and (p[j] != p[i] or j < i)]
        mixed = [
            (a, b)
            for a in others
            for b in others
            if p[a][0] < c < p[b][0]
            and (p[b][1] - p[a][1]) * (c - p[a][0]) >= (q - p[a][1]) * (p[b][0] - p[a][0])
        ]
        return bool(as_good or mixed)

    return sorted((i for i in range(len(p)) if not beaten(i)), key=lambda i: p[i])


@given(POINTS)
def test_the_hull_is_the_set_of_unbeaten_points(points: Points) -> None:
    assert hull(points) == corners_by_definition(points)


@given(POINTS)
def test_along_the_hull_everything_rises_and_the_slope_falls(points: Points) -> None:
    corners = [(Fraction(points[i][0]), Fraction(points[i][1])) for i in hull(points)]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(corners)]
    assert all(dc > 0 and dq > 0 for dc, dq in steps)
    assert all(a[1] * b[0] > b[1] * a[0] for a, b in pairwise(steps))


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points: Points, random: object) -> None:
    shuffled = points.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [points[i] for i in hull(points)] == [shuffled[i] for i in hull(shuffled)]


def test_ties_go_to_the_best_then_the_cheapest_then_the_first() -> None:
    # index:      0: beaten at equal cost, 1 and 2: equal, 3: as good as 4 and dearer
    assert hull([(1, 0.2), (1, 0.4), (1, 0.4), (3, 0.9), (2, 0.9)]) == [1, 4]


def test_a_point_on_the_line_between_two_others_is_no_corner() -> None:
    assert hull([(0, 0), (1, 1), (2, 2)]) == [0, 2]


def test_a_corner_smaller_than_rounding_is_seen() -> None:
    """0.1, 0.2, 0.3 in doubles do not lie on a line, though their rounded products are equal."""
    above = np.nextafter(0.5, 1)
    assert hull([(0, 0), (0.5, above), (1, 1)]) == [0, 1, 2]
    assert hull([(0, 0), (0.5, 0.5), (1, 1)]) == [0, 2]
    tiny = 1e-300  # products underflow to 0
    assert hull([(0, 0), (tiny, 2 * tiny), (3 * tiny, 3 * tiny)]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("cost", "quality"),
    [([], []), ([1, 2], [1]), ([1, np.nan], [1, 2]), ([1, 2], [np.inf, 2]), ([[1]], [[1]])],
)
def test_what_is_no_set_of_points_is_refused(cost: object, quality: object) -> None:
    with pytest.raises(InvalidOutcomes, match="needs"):
        upper_hull(cost, quality)  # type: ignore[arg-type]
