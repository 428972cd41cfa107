"""From batches of long rows to arrays of shape (n_requests, n_arms).

Text is numbered as it comes in and never kept twice, so memory goes with the numbers: eight bytes
for every outcome and column that is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cascade_core._arrays import FloatArray
from cascade_core.outcomes._layout import Layout, Place
from cascade_core.outcomes._numbering import Numbering
from cascade_core.outcomes._parts import Parts
from cascade_core.outcomes.answers import answer_keys
from cascade_core.pricing import Price

_RANGES: Mapping[str, tuple[float, float, str]] = {
    "quality": (0.0, 1.0, "in [0, 1]"),
    "confidence": (-np.inf, 1.0, "a probability in [0, 1] or a log-probability <= 0"),
    "rejected": (0.0, 1.0, "true or false"),
}
_NEVER_NULL = ("quality", "trial")


class Assembly:
    """Takes the batches of a file in order, checks and numbers them."""

    def __init__(
        self,
        place: Place,
        layout: Layout,
        models: Sequence[str] | None,
        prices: Mapping[str, Price],
    ) -> None:
        self.place, self.layout, self.prices = place, layout, prices
        # Long rows: numbers of request and model, and what they have.
        self.row = Parts()
        self.model = Parts()
        self.numbers: dict[str, Parts] = {}
        self.answers = Parts()
        self.label_codes: dict[str, Parts] = {}
        self.n_read = 0
        self.prompts, self.models, self._trials = Numbering(), Numbering(), Numbering()
        labels = [name for name in layout.texts if name in ("domain", "split")]
        self.labels = {name: Numbering() for name in labels}
        self.prompt_texts: list[str | None] = []
        self._wanted = models
        self._signs: dict[bool, int] = {}  # is the confidence negative -> the first such row

    @property
    def arms(self) -> tuple[str, ...]:
        """The models, by column."""
        if self._wanted is not None:
            return tuple(self._wanted)
        return tuple(str(name) for name in self.models.values("model"))

    def add(self, batch: pl.DataFrame) -> None:
        """Check and keep what is needed of a batch."""
        for name in (self.layout.key, "model"):
            self._refuse(name, batch[name], (batch[name].fill_null("") == "").to_numpy(), "text")
        model = self._columns(batch)
        wanted = model >= 0
        numbers = {c: batch[c].to_numpy() for c in self.layout.numbers}
        self._check_numbers(numbers, wanted)
        numbers["cost_usd"] = self._costs(numbers, model)
        self._note_confidence(numbers.get("confidence"), wanted)
        prompt, new = self.prompts.numbers(batch.select(self.layout.key))
        if "prompt" in self.layout.texts:
            self.prompt_texts += batch["prompt"][new].to_list()
        self.row.append(self._requests(prompt, numbers.pop("trial", None)))
        self.model.append(model)
        if self.layout.latency is not None:
            column, per_second = self.layout.latency
            numbers["latency"] = numbers.pop(column) / per_second
        for name, values in numbers.items():
            self.numbers.setdefault(name, Parts()).append(values)
        for name, numbering in self.labels.items():
            codes, _ = numbering.numbers(batch.select(name))
            self.label_codes.setdefault(name, Parts()).append(codes)
        if self.layout.answer is not None:
            self.answers.append(_hashes(batch[self.layout.answer]))
        self.n_read += len(batch)

    def requests(self) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Return prompt and trial of every request, shape (n_requests,), no trials if none."""
        if "trial" not in self.layout.numbers:
            return np.arange(len(self.prompts), dtype=np.int32), None
        prompt = np.array(self._trials.values("prompt"), dtype=np.int32)
        return prompt, np.array(self._trials.values("trial"), dtype=np.int64)

    def _requests(self, prompt: NDArray[np.int32], trial: FloatArray | None) -> NDArray[np.int32]:
        """Return the number of every row's request: its prompt, or its prompt and trial."""
        if trial is None:
            return prompt
        # A model that is not wanted may lack its trial.
        whole = np.nan_to_num(trial).astype(np.int64)
        return self._trials.numbers(pl.DataFrame({"prompt": prompt, "trial": whole}))[0]

    def _columns(self, batch: pl.DataFrame) -> NDArray[np.int32]:
        """Return the column of every row's model; -1 if the model is not wanted."""
        model, _ = self.models.numbers(batch.select("model"))
        if self._wanted is None:
            return model
        column = {name: i for i, name in enumerate(self._wanted)}
        names = [str(name) for name in self.models.values("model")]
        return np.array([column.get(name, -1) for name in names], dtype=np.int32)[model]

    def _check_numbers(self, numbers: Mapping[str, FloatArray], wanted: NDArray[np.bool_]) -> None:
        for name, values in numbers.items():
            low, high, possible = _RANGES.get(name, (0.0, np.inf, "finite and >= 0"))
            if name in self.layout.signals.values():
                low, possible = -np.inf, "finite"
            good = (values >= low) & (values <= high)
            good &= np.isfinite(values) | ((name == "confidence") & (values < 0))
            if name in ("trial", "rejected"):
                good &= values == np.floor(values)
                possible = "a whole number >= 0" if name == "trial" else possible
            if name not in _NEVER_NULL:
                good |= np.isnan(values)
            self._refuse(name, values, ~good & wanted, possible)

    def _refuse(self, name: str, values: Any, bad: NDArray[np.bool_], possible: str) -> None:
        if not bad.any():
            return
        at = int(bad.argmax())
        value = values[at] if isinstance(values, pl.Series) else float(values[at])
        problem = (
            f"no value; {possible} is needed."
            if value is None or value == "" or value != value
            else f"{value!r} is not {possible}."
        )
        raise self.place.error(problem, self.n_read + at, name)

    def _costs(self, numbers: Mapping[str, FloatArray], model: NDArray[np.int32]) -> FloatArray:
        """Return the dollars of every row: as given, else tokens times prices."""
        unknown = np.full(len(model), np.nan)
        cost = numbers.get("cost_usd", unknown)
        if not np.isnan(cost).any():
            return cost
        prices = [self.prices.get(name) for name in self.arms]
        per_input = np.array([np.nan if p is None else p.input for p in prices] + [np.nan])
        per_output = np.array([np.nan if p is None else p.output for p in prices] + [np.nan])
        tokens_in = numbers.get("input_tokens", unknown)
        tokens_out = numbers.get("output_tokens", unknown)
        priced = (tokens_in * per_input[model] + tokens_out * per_output[model]) / 1_000_000
        cost = np.where(np.isnan(cost), priced, cost)
        bad = np.isnan(cost) & (model >= 0)
        if bad.any():
            at = int(bad.argmax())
            name = self.arms[int(model[at])]
            raise self.place.error(
                f"no cost of {name!r}, and it cannot be computed: "
                f"input_tokens={tokens_in[at]}, output_tokens={tokens_out[at]}, "
                f"price={self.prices.get(name)}. Give the cost, or both tokens and "
                f"prices={{{name!r}: Price(input=0.25, output=2.0)}}.",
                self.n_read + at,
                "cost_usd",
            )
        return cost

    def _note_confidence(self, values: FloatArray | None, wanted: NDArray[np.bool_]) -> None:
        """Remember the first row of either sign; raise if there are both."""
        if values is None:
            return
        for negative in (False, True):
            there = wanted & ((values < 0) if negative else (values > 0))
            if there.any():
                self._signs.setdefault(negative, self.n_read + int(there.argmax()))
        if len(self._signs) == 2:
            probability = self.place.row.format(self._signs[False] + self.place.first)
            raise self.place.error(
                f"a log-probability (< 0), but {probability} has a probability (> 0). "
                "Use one of them for the whole column.",
                self._signs[True],
                "confidence",
            )

    @property
    def confidence_is_log(self) -> bool:
        """Return True if the confidences are log-probabilities."""
        return True in self._signs


def _hashes(answers: pl.Series) -> NDArray[np.int64]:
    """Return numbers that are equal for equal answers, -1 for none.

    64 bits: two different answers of one row meet with a probability of about 1e-19.
    """
    frame = pl.DataFrame({"text": answers}).with_row_index("at")
    distinct = frame["text"].drop_nulls().unique()
    keys = answer_keys(distinct)
    known = keys.is_not_null()
    hashed = pl.DataFrame({"text": distinct, "hash": keys.hash(seed=0).reinterpret(signed=True)})
    found = frame.join(hashed.filter(known), on="text")
    hashes = np.full(len(answers), -1, dtype=np.int64)
    hashes[found["at"].to_numpy()] = found["hash"].to_numpy()
    return hashes
