"""The exception tree. Each class answers whose fault it was.

CascadeError
├── InvalidConfiguration (ValueError)    the caller's set-up: models, names, policy
│   ├── InvalidBelief                    numbers that are no belief: NaN, a negative cost
│   ├── InvalidOutcomes                  a table of outcomes that cannot be learnt from
│   ├── MissingPrice                     a price is needed and not known
│   └── PolicyMismatch                   a policy fitted for other models
├── ValidatorError                       the caller's validator raised or returned nonsense
├── AllModelsFailed (ExceptionGroup)     no model answered; holds every cause
├── CascadeAbstained                     the policy chose not to answer
└── PolicyError                          a decision rule broke its contract
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from cascade_core._types import Trace


class CascadeError(Exception):
    """Base of everything that Cascade raises on its own account."""


class InvalidConfiguration(CascadeError, ValueError):
    """The cascade cannot be built from what was given."""


class InvalidBelief(InvalidConfiguration):
    """Numbers that are no belief over the quality and cost of models."""


class InvalidOutcomes(InvalidConfiguration):
    """Outcomes that no policy can be learnt from."""


class MissingPrice(InvalidConfiguration):
    """A policy weighs dollars and a model's price is not known."""


class PolicyMismatch(InvalidConfiguration):
    """A policy was fitted for other models than those given."""


class ValidatorError(CascadeError):
    """A validator of the caller raised, or returned neither a bool nor a number in [0, 1]."""


class PolicyError(CascadeError):
    """A decision rule asked for something impossible, such as a model that already ran."""


class AllModelsFailed(CascadeError, ExceptionGroup[Exception]):
    """No model gave an answer that may be shown; groups the error of every model that failed.

    Attributes:
        trace: What was tried, drafts that were rejected before the failures included.
    """

    trace: Trace | None = None

    @classmethod
    def after(cls, trace: Trace, message: str) -> Self:
        """Return the error for a trace that ended without an answer."""
        failed = cls(message, [failure.error for failure in trace.failures])
        failed.trace = trace
        return failed

    def derive(self, excs: Sequence[Exception]) -> AllModelsFailed:  # type: ignore[override]
        """Return the same failure with other members, as ``except*`` needs it."""
        failed = AllModelsFailed(self.message, excs)
        failed.trace = self.trace
        return failed


class CascadeAbstained(CascadeError):
    """The policy preferred no answer to a poor one.

    Attributes:
        trace: What was tried before abstaining.
    """

    def __init__(self, message: str, trace: Trace | None = None) -> None:
        super().__init__(message)
        self.trace = trace
