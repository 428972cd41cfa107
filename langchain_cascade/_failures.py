"""Which errors of a child are its failure, in LangChain's terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import cast

from langchain_core.language_models import BaseChatModel

from cascade_core import InvalidConfiguration, is_model_failure

# A reply without a single choice comes out of LangChain as an IndexError or a ValueError of these
# very functions. The same classes from anywhere else are somebody's bug, and surface.
_ENTRY_POINTS = {
    method.__code__
    for method in (
        BaseChatModel.invoke,
        BaseChatModel.ainvoke,
        BaseChatModel.stream,
        BaseChatModel.astream,
    )
}
# Packages of that prefix which hold no provider's client.
_NO_PROVIDERS = ("langchain_core", "langchain_cascade", "langchain_classic", "langchain_tests")


@dataclass(frozen=True, slots=True)
class Recoverable:
    """Tells after which errors the next model takes over.

    Args:
        escalate_on: The user's own exceptions that count as a model's failure.
    """

    escalate_on: tuple[type[Exception], ...]

    def __call__(self, error: Exception) -> bool:
        """Return True for a model's failure."""
        return isinstance(error, self.escalate_on) or is_model_failure(error) or is_bad_reply(error)


def exception_classes(given: object) -> tuple[type[Exception], ...]:
    """Return the classes of ``escalate_on``; refuse what is none."""
    classes = cast("Sequence[object]", given if isinstance(given, Sequence) else (given,))
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in classes):
        raise InvalidConfiguration(f"escalate_on is a list of exception classes, got {given!r}.")
    return cast("tuple[type[Exception], ...]", tuple(classes))


def is_bad_reply(error: Exception) -> bool:
    """Tell whether LangChain or a provider's integration tripped over a malformed reply."""
    frame = _birthplace(error)
    if frame is None:
        return False
    if isinstance(error, IndexError | ValueError) and frame.f_code in _ENTRY_POINTS:
        return True
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if not package.startswith("langchain_") or package in _NO_PROVIDERS:
        return False
    # An OpenAI-compatible server may report its own error in a body of status 200.
    in_reply = isinstance(error, ValueError) and frame.f_code.co_name == "_create_chat_result"
    return in_reply or isinstance(error, LookupError | AttributeError | TypeError)


def _birthplace(error: Exception) -> FrameType | None:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return None if trace is None else trace.tb_frame
