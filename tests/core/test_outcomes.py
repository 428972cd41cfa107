"""The outcome table: what is read, and that every refusal names the row and the model."""

import math
from typing import Any

import numpy as np
import pytest

from cascade_core import (
    Arm,
    Cascade,
    InvalidOutcomes,
    Price,
    Reply,
    Request,
    SingleModelPolicy,
    Usage,
    drive,
)
from cascade_core.outcomes import OutcomeTable

GOOD: dict[str, Any] = {
    "arms": ("a", "b"),
    "quality": [[0, 1], [1, 1], [0, 0]],
    "cost_usd": [[1, 10]] * 3,
    "latency_seconds": [[0.1, 0.2]] * 3,
    "signals": {"s": [[0.1, 0.2], [0.3, math.nan], [0.5, 0.6]]},
    "rejected": [[False, False], [False, True], [False, False]],
}


def table(**changed: Any) -> OutcomeTable:
    return OutcomeTable(**(GOOD | changed))


@pytest.mark.parametrize("kind", [float, int, bool])
def test_grades_of_any_kind_become_numbers_to_compute_with(kind: type) -> None:
    given = table(quality=np.array(GOOD["quality"], dtype=kind))
    assert given.quality.dtype == np.float64
    assert given.signals["s"].dtype == given.cost_usd.dtype == np.float64
    assert given.rejected is not None and given.rejected.dtype == np.bool_
    assert given.n_requests == 3
    assert given.column("b") == 1


def with_bad(name: str, row: int, arm: int, value: float) -> dict[str, Any]:
    column = np.array(GOOD[name], dtype=float)
    column[row, arm] = value
    return {name: column}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (with_bad("quality", 1, 1, 1.5), r"Row 1, model 'b': quality is .*1\.5.*in \[0, 1\]"),
        (with_bad("quality", 2, 0, -0.1), r"Row 2, model 'a': quality is .*-0\.1"),
        (with_bad("quality", 0, 1, math.nan), r"Row 0, model 'b': quality is .*nan"),
        (with_bad("cost_usd", 1, 0, -1), r"Row 1, model 'a': cost_usd is .*-1.*>= 0"),
        (with_bad("cost_usd", 1, 0, math.inf), r"Row 1, model 'a': cost_usd is .*inf"),
        (with_bad("cost_usd", 2, 1, math.nan), r"Row 2, model 'b': cost_usd is .*nan"),
        (with_bad("latency_seconds", 2, 1, -1), r"Row 2, model 'b': latency_seconds"),
        ({"quality": np.empty((0, 2))}, r"at least \(1, 1\), got \(0, 2\) for 2 arms"),
        ({"quality": [0, 1]}, r"got \(2,\) for 2 arms"),
        ({"arms": ("a", "b", "c")}, r"got \(3, 2\) for 3 arms"),
        ({"arms": ("a", "a")}, r"a name of its own, got \['a', 'a'\]"),
        ({"cost_usd": [[1, 10]]}, r"cost_usd needs the shape of quality \(3, 2\): \(1, 2\)"),
        ({"signals": {"s": [[0.1, 0.2]]}}, r"s needs the shape of quality \(3, 2\): \(1, 2\)"),
        ({"rejected": [[True]]}, r"rejected needs the shape of quality \(3, 2\): \(1, 1\)"),
    ],
)
def test_outcomes_that_cannot_be_learnt_from_are_refused(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidOutcomes, match=message):
        table(**changed)


def test_a_column_that_is_not_there_names_the_possible_ones() -> None:
    with pytest.raises(InvalidOutcomes, match=r"'c'.*only \['a', 'b'\]"):
        table().column("c")


ARMS = (Arm("a", Price(1, 1)), Arm("b", Price(10, 10)))


def report(arm: int, *, text: str = "x", fails: int | None = None) -> dict[str, Any]:
    def perform(call: Any) -> Reply[str]:
        if call.arm == fails:
            raise ConnectionError
        reply = Reply(text, text, Usage(100 * (arm + 1), 0), latency_seconds=0.5)
        return reply if arm else Reply(*(text, text, Usage(100)), None, (math.log(0.4),))

    return drive(Cascade.build(ARMS, SingleModelPolicy(arm)).run(Request()), perform).report()


def test_a_table_is_read_from_the_reports_that_the_replies_carry() -> None:
    rows = [
        {"a": (report(0), 0.0), "b": (report(1), 1.0)},
        {"a": (report(0), 1.0), "b": (report(1, text=""), 0.5)},
    ]
    read = OutcomeTable.from_reports(["a", "b"], rows)
    np.testing.assert_array_equal(read.quality, [[0, 1], [1, 0.5]])
    np.testing.assert_allclose(read.cost_usd, np.array([[100, 2000]] * 2) / 1e6)
    np.testing.assert_array_equal(read.latency_seconds[:, 1], 0.5)
    np.testing.assert_allclose(read.signals["mean_token_probability"][:, 0], 0.4)
    assert np.isnan(read.signals["mean_token_probability"][:, 1]).all()
    np.testing.assert_array_equal(read.rejected, [[False, False], [False, True]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one request, got none"),
        ([{"a": (report(0), 1.0)}], r"Row 0 has no outcome of 'b', only \['a'\]"),
        (
            [{"a": (report(0, fails=0), 1.0), "b": (report(1), 1.0)}],
            r"Row 0, model 'a': the report is of 'b'",
        ),
        ([{"a": (report(0), 2.0), "b": (report(1), 1.0)}], r"Row 0, model 'a': quality is .*2\.0"),
    ],
)
def test_reports_that_make_no_table_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(InvalidOutcomes, match=message):
        OutcomeTable.from_reports(["a", "b"], rows)


def test_an_unknown_cost_cannot_be_learnt_from() -> None:
    unpriced = Cascade.build([Arm("a")], SingleModelPolicy(0))
    unknown = drive(unpriced.run(Request()), lambda _: Reply("x", "x", Usage(1))).report()
    with pytest.raises(InvalidOutcomes, match=r"Row 0, model 'a'.*at None dollars"):
        OutcomeTable.from_reports(["a"], [{"a": (unknown, 1.0)}])


def full(n: int = 4) -> OutcomeTable:
    return OutcomeTable(
        ("a", "b"),
        np.arange(2 * n).reshape(n, 2) / (2 * n),
        np.ones((n, 2)),
        np.full((n, 2), math.nan),
        {"s": np.ones((n, 2))},
        prompt_ids=np.array([f"p{i // 2}" for i in range(n)], dtype=object),
        domains=np.array(["x", "y"] * (n // 2), dtype=object),
        splits=np.array(["train"] * (n // 2) + [None] * (n - n // 2), dtype=object),
        answers=np.array([[0, 0], [0, 1], [-1, -1], [5, 5]] * (n // 4)),
    )


def test_rows_are_selected_by_index_or_mask_in_every_column() -> None:
    by_index, by_mask = full().select(np.array([3, 1])), full().select(np.arange(4) == 1)
    np.testing.assert_array_equal(by_index.quality, full().quality[[3, 1]])
    assert by_index.prompt_ids is not None and by_index.prompt_ids.tolist() == ["p1", "p0"]
    assert by_index.signals["s"].shape == (2, 2)
    assert by_mask.n_requests == 1
    for nothing in (np.array([], dtype=int), np.zeros(4, dtype=bool), np.array([4])):
        with pytest.raises(InvalidOutcomes):
            full().select(nothing)
    with pytest.raises(InvalidOutcomes, match="a mask of that length"):
        full().select(np.ones(3, dtype=bool))


def test_arms_are_taken_in_the_order_asked_for() -> None:
    swapped = full().with_arms(["b", "a"])
    assert swapped.arms == ("b", "a")
    np.testing.assert_array_equal(swapped.quality, full().quality[:, ::-1])
    assert full().with_arms(["b"]).signals["s"].shape == (4, 1)
    with pytest.raises(InvalidOutcomes, match="No model 'z'"):
        full().with_arms(["z"])


def test_rows_are_taken_by_split_and_domain() -> None:
    assert full().where(split="train").n_requests == 2
    np.testing.assert_array_equal(
        full().where(split="train", domain="y").quality, full().quality[[1]]
    )
    with pytest.raises(InvalidOutcomes, match=r"domain 'z', only of \['x', 'y'\]"):
        full().where(domain="z")
    with pytest.raises(InvalidOutcomes, match="hold no split"):
        table().where(split="train")


def test_agreement_needs_two_answers() -> None:
    assert full().agreement(0, 1).tolist() == [True, False, False, True]
    with pytest.raises(InvalidOutcomes, match="hold no answers"):
        table().agreement(0, 1)


def test_trials_of_a_prompt_are_never_on_both_sides() -> None:
    given = full(40)
    folds = given.shuffled_folds(3, np.random.default_rng(0))
    np.testing.assert_array_equal(folds[::2], folds[1::2])
    assert sorted(np.bincount(folds[::2]).tolist()) == [6, 7, 7]
    back = given.select(np.arange(40)[::-1]).shuffled_folds(3, np.random.default_rng(0))
    np.testing.assert_array_equal(back[::-1], folds)
    assert set(table().shuffled_folds(3, np.random.default_rng(0)).tolist()) == {0, 1, 2}
    for k in (1, 21):
        with pytest.raises(InvalidOutcomes, match="20 prompts make 2 to 20 folds"):
            given.shuffled_folds(k, np.random.default_rng(0))


def test_an_unknown_latency_stays_unknown() -> None:
    assert np.isnan(table(latency_seconds=np.full((3, 2), math.nan)).latency_seconds).all()
    with pytest.raises(InvalidOutcomes, match=r"prompt_ids needs the shape \(3,\): \(1,\)"):
        table(prompt_ids=["p"])
