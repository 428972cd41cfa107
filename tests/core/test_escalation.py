"""What the user's ``escalate_on`` may be, and what it adds to the allow-list."""

from typing import Any

import pytest

from cascade_core import InvalidConfiguration
from cascade_core.escalation import EscalateOn


class QuotaSpent(Exception):
    pass


@pytest.mark.parametrize("given", [QuotaSpent, [QuotaSpent], (KeyError, QuotaSpent)])
def test_one_class_or_several_are_added(given: Any) -> None:
    assert EscalateOn.of(given)(QuotaSpent())
    assert EscalateOn.of(given)(TimeoutError())
    assert not EscalateOn.of(given)(ValueError("token budget exceeded"))


@pytest.mark.parametrize("given", [["KeyError"], "KeyError", [KeyboardInterrupt], 7, [KeyError()]])
def test_what_is_no_exception_class_is_refused(given: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="must hold exception classes, got"):
        EscalateOn.of(given)


def test_a_frameworks_own_reading_is_asked_last() -> None:
    asked: list[Exception] = []

    def is_bad_reply(error: Exception) -> bool:
        asked.append(error)
        return isinstance(error, IndexError)

    escalate = EscalateOn.of((), is_bad_reply)
    assert escalate(TimeoutError()) and not asked
    assert escalate(IndexError()) and not escalate(KeyError())
    assert len(asked) == 2


def test_it_is_a_value() -> None:
    assert EscalateOn.of([KeyError]) == EscalateOn.of((KeyError,))
    assert hash(EscalateOn.of(KeyError)) == hash(EscalateOn((KeyError,)))
