"""After which errors the next model takes over: the allow-list, and what the user adds to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self, cast

from cascade_core.errors import InvalidConfiguration
from cascade_core.failures import is_model_failure


def _never(error: Exception) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class EscalateOn:
    """Tells a model's failure, which the next model answers for, from every other error.

    Args:
        classes: The user's own exceptions that count as a model's failure.
        is_bad_reply: True for what a framework's own code raises over a malformed reply.

    Examples:
        >>> EscalateOn.of(KeyError)(KeyError("quota")), EscalateOn.of(())(KeyError("quota"))
        (True, False)
    """

    classes: tuple[type[Exception], ...] = ()
    is_bad_reply: Callable[[Exception], bool] = _never

    @classmethod
    def of(cls, given: object, is_bad_reply: Callable[[Exception], bool] = _never) -> Self:
        """Return it for one exception class or a list of them, as users give it.

        Raises:
            InvalidConfiguration: Something else than exception classes was given.
        """
        is_list = isinstance(given, Sequence) and not isinstance(given, str)
        classes = cast("Sequence[object]", given if is_list else (given,))
        wrong: list[object] = [
            c for c in classes if not (isinstance(c, type) and issubclass(c, Exception))
        ]
        if wrong:
            raise InvalidConfiguration(
                f"escalate_on must hold exception classes, got {wrong!r}. Give "
                "escalate_on=[MyProviderError]."
            )
        return cls(cast("tuple[type[Exception], ...]", tuple(classes)), is_bad_reply)

    def __call__(self, error: Exception) -> bool:
        """Return True for a model's failure."""
        return (
            isinstance(error, self.classes) or is_model_failure(error) or self.is_bad_reply(error)
        )
