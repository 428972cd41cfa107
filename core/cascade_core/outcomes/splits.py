"""Folds that keep the trials of a prompt together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_core.errors import InvalidOutcomes


def folds_by_prompt(
    prompt_ids: NDArray[Any] | None, n_requests: int, k: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of every row, shape (n_requests,), in 0 ... k - 1.

    The sizes differ by at most one prompt.

    Args:
        prompt_ids: Shape (n_requests,); None if every row is a prompt of its own.
        n_requests: Number of rows.
        k: Number of folds, from 2 to the number of prompts.
        rng: Decides which prompt goes where.

    Raises:
        InvalidOutcomes: ``k`` does not fit.

    Examples:
        >>> ids = np.array(["a", "a", "b", "c", "c", "d"], dtype=object)
        >>> folds_by_prompt(ids, 6, 2, np.random.default_rng(0))
        array([0, 0, 0, 1, 1, 1])
    """
    if prompt_ids is None:
        prompt = np.arange(n_requests)
    else:
        # Sorted, so that the folds do not depend on the order of the rows.
        prompt = np.unique(prompt_ids, return_inverse=True)[1].reshape(-1)
    n_prompts = int(prompt.max()) + 1
    if not 2 <= k <= n_prompts:
        raise InvalidOutcomes(f"{n_prompts} prompts make 2 to {n_prompts} folds, not {k!r}.")
    return np.asarray((rng.permutation(n_prompts) % k)[prompt], dtype=np.int64)
