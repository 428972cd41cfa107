"""Which turn a decision looks at, whatever the framework's messages are."""

from typing import Any

import numpy as np
import pytest

from cascade_core import InvalidConfiguration, Request
from cascade_core.conversation import draw_of, request_about, request_for


def about(messages: list[tuple[str, str]]) -> Request:
    return request_about(messages, lambda m: m[0] == "user", lambda m: m[1], frozenset({1}))


def test_the_last_turn_of_the_user_is_the_request() -> None:
    history = [("system", "s"), ("user", "old"), ("user", "new"), ("assistant", "a"), ("tool", "t")]
    assert about(history) == request_for("new", frozenset({1}))


def test_without_a_turn_of_the_user_in_reach_it_is_the_last_message() -> None:
    assert about([("system", "s"), ("assistant", "a")]).text == "a"
    assert about([("user", "far"), *[("tool", f"t{i}") for i in range(8)]]).text == "t7"
    assert about([("user", "near"), *[("tool", f"t{i}") for i in range(7)]]).text == "near"


def test_a_history_is_neither_walked_nor_read() -> None:
    class Counted(list[Any]):
        looked_at = 0

        def __getitem__(self, place: Any) -> Any:
            self.looked_at += 1
            return super().__getitem__(place)

        def __iter__(self) -> Any:
            raise AssertionError("a decision must not walk the history")

    read: list[str] = []
    history = Counted([("tool", "x")] * 10_000)
    request_about(history, lambda m: m[0] == "user", lambda m: read.append(m[1]) or m[1])
    assert history.looked_at <= 8 and len(read) == 1


def test_no_message_is_no_request() -> None:
    with pytest.raises(InvalidConfiguration, match="at least one message"):
        about([])


@pytest.mark.parametrize("length", [0, 1, 4_000])
def test_a_turn_of_ordinary_length_stays_whole(length: int) -> None:
    assert request_for("x" * length).text == "x" * length


def test_a_long_turn_keeps_both_ends() -> None:
    text = request_for("BEGIN" + "x" * 1_000_000 + "END").text
    assert len(text) == 4_003 and text.startswith("BEGIN") and text.endswith("END")


def test_a_run_draws_the_same_number_again_and_runs_spread_out() -> None:
    draws = np.array([draw_of(f"run {i}") for i in range(4000)])
    assert ((draws >= 0) & (draws < 1)).all()
    # Uniform: every tenth of [0, 1) gets a tenth of the runs, within four standard errors.
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert (np.abs(counts - 400) < 4 * np.sqrt(400 * 0.9)).all()


def test_the_run_decides_and_without_one_the_text() -> None:
    assert request_for("a", run="1").draw == request_for("b", run="1").draw
    assert request_for("a", run="1").draw != request_for("a", run="2").draw
    assert request_for("a").draw == request_for("a").draw != request_for("b").draw
    assert 0 <= request_for("\ud800").draw < 1
