"""Which turn a decision looks at, whatever the framework's messages are."""

from typing import Any

import pytest

from cascade_core import InvalidConfiguration, Request
from cascade_core.conversation import request_about, request_for


def about(messages: list[tuple[str, str]]) -> Request:
    return request_about(messages, lambda m: m[0] == "user", lambda m: m[1], frozenset({1}))


def test_the_last_turn_of_the_user_is_the_request() -> None:
    history = [("system", "s"), ("user", "old"), ("user", "new"), ("assistant", "a"), ("tool", "t")]
    assert about(history) == Request("new", unavailable=frozenset({1}))


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
