"""What replies say, as arrays: the input of an estimate that looks at all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascade_core._arrays import BoolArray, FloatArray, IndexArray
from cascade_core.errors import InvalidConfiguration


@dataclass(frozen=True, eq=False)
class Evidence:
    """What every arm's reply to each of n requests says, were it called.

    Attributes:
        strength: The logit of each reply's confidence, shape (n, m); NaN where it has none.
        answers: Equal codes within a row mean equal answers, shape (n, m); -1 for no answer.
        context: What is known of the request before any call, shape (n, c); c may be 0.
        rejected: True where a hard reason speaks against the reply, shape (n, m).
    """

    strength: FloatArray
    answers: IndexArray
    context: FloatArray
    rejected: BoolArray

    def __post_init__(self) -> None:
        shape = self.strength.shape
        others = {"answers": self.answers.shape, "rejected": self.rejected.shape}
        bad = {name: other for name, other in others.items() if other != shape}
        if len(shape) != 2 or bad or self.context.shape[:1] != shape[:1] or self.context.ndim != 2:
            raise InvalidConfiguration(
                "Evidence needs strength, answers and rejected of one shape (n, m) and context of "
                f"shape (n, c), got {shape}, {others} and {self.context.shape}."
            )

    def __len__(self) -> int:
        return int(self.strength.shape[0])

    @property
    def n_arms(self) -> int:
        """Number of arms."""
        return int(self.strength.shape[1])

    def rows(self, rows: IndexArray | BoolArray) -> Evidence:
        """Return the evidence of some requests."""
        return Evidence(
            self.strength[rows], self.answers[rows], self.context[rows], self.rejected[rows]
        )

    def agreement(self, targets: IndexArray | None = None) -> FloatArray:
        """Return 1 where two different arms gave the same answer, shape (n, t, m).

        Args:
            targets: Indices of the arms on axis 1, shape (t,); all by default.
        """
        codes = self.answers
        of = np.arange(self.n_arms) if targets is None else targets
        same = (codes[:, of, None] == codes[:, None, :]) & (codes >= 0)[:, None, :]
        distinct: BoolArray = of[:, None] != np.arange(self.n_arms)
        return np.where(same & distinct, 1.0, 0.0)
