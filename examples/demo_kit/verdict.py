"""What the figures say, in a few sentences, also when it is bad news or no news."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from demo_kit.figures import Figures

# A gain in accuracy, at equal cost, that would not pay for running a router.
WORTH_HAVING = 0.01
# Standard normal quantiles: a 95 % interval that excludes 0 in four experiments of five.
Z = 1.960 + 0.842

Kind = Literal["nothing solved", "one model given", "one model", "gain", "no gain", "not shown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kind of finding, and its sentences."""

    kind: Kind
    text: str


def judge(figures: Figures) -> Verdict:
    """Return the verdict on the first cascade, against random mixing at the same cost."""
    gain = figures.gain
    if not figures.strongest.quality.mean:
        return Verdict("nothing solved", "No model solved a single problem: nothing to compare.")
    if len(figures.singles) == 1:
        return Verdict("one model given", _one_model_given(figures))
    if figures.sole_model is not None:
        return Verdict("one model", _one_model(figures, figures.sole_model))
    if gain.low > 0:
        return Verdict("gain", f"{_compared(figures)}: it has learnt something.")
    if gain.high < WORTH_HAVING:
        return Verdict("no gain", f"{_compared(figures)}: no gain. Use one model, no router.")
    return Verdict("not shown", _not_shown(figures))


def problems_needed(mean: float, sd: float) -> int:
    """Return how many problems would show a gain like the one observed, in four cases of five.

    The paired z-test's n = (Z sd / effect)². An observed gain that is not worth having, or is a
    loss, is replaced by the least that would be.

    Examples:
        >>> problems_needed(mean=0.05, sd=0.4)
        510
    """
    effect = max(mean, WORTH_HAVING)
    n = math.pow(Z * sd / effect, 2)
    # Two digits: the standard deviation is itself an estimate.
    step: int = 10 ** max(0, len(str(math.ceil(n))) - 2)
    return math.ceil(n / step) * step


def _compared(figures: Figures) -> str:
    return f"{_kept(figures)} {_gain(figures)} against random mixing at the same cost"


def _kept(figures: Figures) -> str:
    name, kept, cost = figures.strongest.name, figures.kept or 0.0, figures.cost_share
    price = "" if cost is None else f" at {100 * cost:.0f} % of its cost"
    return f"The cascade keeps {100 * kept:.1f} % of {name}'s accuracy{price}."


def _gain(figures: Figures) -> str:
    gain = figures.gain
    return f"{100 * gain.mean:+.1f} points [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


def _not_shown(figures: Figures) -> str:
    effect = max(figures.gain.mean, WORTH_HAVING)
    needed = problems_needed(figures.gain.mean, figures.gain_sd)
    return (
        f"{_compared(figures)}: {figures.n_problems} problems do not show whether it has learnt "
        f"something. To show a gain of {100 * effect:.1f} points in four cases of five takes about "
        f"{needed:,}."
    )


def _one_model_given(figures: Figures) -> str:
    (model,) = figures.singles
    return (
        f"One model was given, so there is nothing to choose: the cascade is {model.name}, at its "
        "accuracy and cost. Name a second one in MODELS to see whether a cascade pays."
    )


def _one_model(figures: Figures, name: str) -> str:
    text = (
        f"What was learnt for this budget comes to one model, {name}: nothing told which of its "
        "replies another model should replace. Use one model, no router"
    )
    best, cost_share = figures.strongest, figures.cost_share
    if best.name == name or not cost_share:
        return f"{text}."
    points = 100 * (best.quality.mean - figures.cascades[0].quality.mean)
    return (
        f"{text}: this one, or {best.name} for {points:+.1f} points at {1 / cost_share:.1f} times "
        "its cost."
    )
