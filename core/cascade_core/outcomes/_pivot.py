"""The second half of reading: what was gathered becomes a table, or an error says why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cascade_core.outcomes._assembly import Assembly
from cascade_core.outcomes._parts import Parts
from cascade_core.outcomes.answers import codes_within_rows
from cascade_core.outcomes.reading import IncompleteOutcomesWarning
from cascade_core.outcomes.table import OutcomeTable

# A model with fewer outcomes than this share of the requests would cost the others their rows.
_ENOUGH = 0.5


def pivot(read: Assembly, *, allow_incomplete: bool) -> OutcomeTable:
    """Return the table of the requests that every model has answered; empties ``read``."""
    if not read.n_read:
        raise read.place.error("the file has no rows.")
    row, model = _joined(read.row), _joined(read.model)
    prompt, trial = read.requests()
    _refuse_duplicates(read, row, model)
    complete = _complete(read, row, model, allow_incomplete=allow_incomplete)
    labels = {name: _labels(read, name, prompt[row], len(read.prompts)) for name in read.labels}
    grid = _Grid.of(row, model, complete, len(read.arms))
    del row, model
    numbers = {name: grid.fill(parts, np.nan, np.float64) for name, parts in read.numbers.items()}
    latency = numbers.pop("latency", None)
    rejected = numbers.pop("rejected", None)
    prompt = prompt[complete]
    answers = None
    if read.layout.answer is not None:
        answers = codes_within_rows(grid.fill(read.answers, -1, np.int64))
    return OutcomeTable(
        read.arms,
        quality=numbers.pop("quality"),
        cost_usd=numbers.pop("cost_usd"),
        latency_seconds=np.full(grid.shape, np.nan) if latency is None else latency,
        input_tokens=numbers.pop("input_tokens", None),
        output_tokens=numbers.pop("output_tokens", None),
        signals=_signals(read, numbers),
        rejected=None if rejected is None else rejected == 1.0,
        prompt_ids=_texts(read.prompts.values(read.layout.key))[prompt],
        prompts=_texts(read.prompt_texts)[prompt] if read.prompt_texts else None,
        domains=labels["domain"][prompt] if "domain" in labels else None,
        splits=labels["split"][prompt] if "split" in labels else None,
        trials=None if trial is None else trial[complete],
        answers=answers,
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the long rows go: cell of the table by long row; what is left out goes after it."""

    shape: tuple[int, int]
    target: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        row: NDArray[np.int32],
        model: NDArray[np.int32],
        complete: NDArray[np.bool_],
        n_arms: int,
    ) -> _Grid:
        shape = (int(complete.sum()), n_arms)
        new_row = (np.cumsum(complete) - 1)[row]
        target = new_row * n_arms + model
        target[~complete[row] | (model < 0)] = shape[0] * n_arms
        return cls(shape, target)

    def fill(self, parts: Parts, empty: float, dtype: type[np.generic]) -> NDArray[Any]:
        """Return the table's array; ``parts`` is emptied, so that nothing is held twice."""
        out = np.full(self.shape[0] * self.shape[1] + 1, empty, dtype=dtype)
        start = 0
        for part in parts.drain():
            out[self.target[start : start + len(part)]] = part
            start += len(part)
        return out[:-1].reshape(self.shape)


def _joined(parts: Parts) -> NDArray[np.int32]:
    return np.concatenate(list(parts.drain()))


def _refuse_duplicates(read: Assembly, row: NDArray[np.int32], model: NDArray[np.int32]) -> None:
    cell = row.astype(np.int64) * len(read.arms) + model
    cell[model < 0] = -1
    ordered = np.sort(cell)
    twice = (ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)
    if not twice.any():
        return
    repeated = ordered[1:][twice]
    # The pair whose second row comes first in the file.
    order = np.flatnonzero(np.isin(cell, repeated))
    _, first = np.unique(cell[order], return_index=True)
    second = int(np.delete(order, first)[0])
    earlier = int(np.flatnonzero(cell == cell[second])[0])
    raise read.place.error(
        f"a second outcome of model {read.arms[model[second]]!r} on prompt "
        f"{_request(read, int(row[second]))}; "
        f"the first is in {read.place.row.format(earlier + read.place.first)}. "
        "Remove one, or number repetitions in a column trial.",
        second,
    )


def _complete(
    read: Assembly, row: NDArray[np.int32], model: NDArray[np.int32], *, allow_incomplete: bool
) -> NDArray[np.bool_]:
    """Return which requests every model has answered, shape (n_requests,)."""
    wanted = model >= 0
    counts = np.bincount(row[wanted], minlength=len(read.requests()[0]))
    per_model = np.bincount(model[wanted], minlength=len(read.arms))
    there, complete = counts > 0, np.asarray(counts == len(read.arms))
    n, kept = int(there.sum()), int(complete.sum())
    few = [m for m in range(len(read.arms)) if per_model[m] < max(1.0, _ENOUGH * n)]
    if few or not kept:
        few = few or [int(per_model.argmin())]
        named = ", ".join(f"{read.arms[m]!r} has {per_model[m]}" for m in few[:10])
        others = [name for m, name in enumerate(read.arms) if m not in few]
        raise read.place.error(
            f"too few outcomes: of {n} requests, {named}, and {kept} have an outcome of every "
            f"model. Read the others alone with models={others}, or add what is missing. The "
            f"file has the models {read.models.values('model')}."
        )
    if kept < n:
        least = int(per_model.argmin())
        message = (
            f"{read.place.path}: {n - kept} of {n} requests lack an outcome of some model "
            f"({read.arms[least]!r} has the fewest, {per_model[least]})"
        )
        if not allow_incomplete:
            at = int(np.flatnonzero(there & ~complete)[0])
            has = set(model[(row == at) & wanted].tolist())
            lacking = [name for m, name in enumerate(read.arms) if m not in has]
            raise read.place.error(
                f"{n - kept} of {n} requests lack an outcome of some model: prompt "
                f"{_request(read, at)} of {lacking}. allow_incomplete=True leaves them out."
            )
        warnings.warn(f"{message} and are left out.", IncompleteOutcomesWarning, stacklevel=4)
    return complete


def _labels(
    read: Assembly, name: str, prompt: NDArray[np.int32], n_prompts: int
) -> NDArray[np.object_]:
    """Return the label of every prompt, shape (n_prompts,); one prompt has one label."""
    codes = _joined(read.label_codes[name])
    first = np.full(n_prompts, -1, dtype=np.int32)
    first[prompt[::-1]] = codes[::-1]  # the earliest row is written last
    differs = first[prompt] != codes
    values = _texts([*read.labels[name].values(name), None])
    if differs.any():
        at = int(differs.argmax())
        earlier = int(np.flatnonzero(prompt == prompt[at])[0])
        raise read.place.error(
            f"{values[codes[at]]!r}, but the same prompt has {values[codes[earlier]]!r} in "
            f"{read.place.row.format(earlier + read.place.first)}. A prompt has one {name}.",
            at,
            name,
        )
    return values[first]


def _signals(read: Assembly, numbers: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    signals = {name: numbers[column] for name, column in read.layout.signals.items()}
    if "confidence" in numbers:
        confidence = numbers["confidence"]
        signals["confidence"] = np.exp(confidence) if read.confidence_is_log else confidence
    return dict(sorted(signals.items()))


def _texts(values: list[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=np.object_)
    array[:] = values
    return array


def _request(read: Assembly, request: int) -> str:
    """Return prompt id and trial of a request for a message."""
    prompt, trial = read.requests()
    name = str(read.prompts.values(read.layout.key)[prompt[request]])
    shown = repr(name if len(name) <= 60 else f"{name[:57]}...")
    return shown if trial is None else f"{shown}, trial {trial[request]}"
