"""What the demo says about its figures, and how wide it says it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from cascade_core.evaluation import Interval, Summary
from demo_kit.figures import Figures
from demo_kit.table import table
from demo_kit.verdict import WORTH_HAVING, judge, problems_needed


def summary(name: str, quality: float, dollars: float) -> Summary:
    shares = {"a": 0.0, "b": 0.7, "c": 0.3}
    return Summary(name, Interval(quality, quality - 0.04, quality + 0.04), dollars, 0.012, shares)


FIGURES = Figures(
    singles=[summary("a", 0.5, 0.1), summary("b", 0.8, 0.4), summary("c", 0.85, 2.0)],
    mixing=summary("random mixing", 0.82, 1.0),
    cascades=[summary("LangChain cascade", 0.84, 1.0), summary("LlamaIndex cascade", 0.84, 1.0)],
    best_hindsight=summary("oracle (hindsight)", 0.9, 0.3),
    gain=Interval(0.02, 0.01, 0.03),
    gain_sd=0.2,
    n_problems=400,
    chain=["b", "c"],
)


@pytest.mark.parametrize(
    ("gain", "kind", "words"),
    [
        (Interval(0.02, 0.01, 0.03), "gain", "it has learnt something"),
        (Interval(0.02, -0.01, 0.05), "not shown", "400 problems do not show"),
        (Interval(-0.01, -0.04, 0.02), "not shown", "a gain of 1.0 points"),
        (Interval(-0.002, -0.009, 0.005), "no gain", "Use one model, no router"),
        (Interval(-0.04, -0.06, -0.02), "no gain", "Use one model, no router"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(gain: Interval, kind: str, words: str) -> None:
    verdict = judge(replace(FIGURES, gain=gain))
    assert verdict.kind == kind
    assert words in verdict.text


def test_a_policy_that_is_one_model_is_called_so() -> None:
    verdict = judge(replace(FIGURES, chain=["b"], gain=Interval(0.0, 0.0, 0.0)))
    assert verdict.kind == "one model"
    assert "b" in verdict.text


def test_a_cascade_that_asked_one_model_in_fact_is_called_so() -> None:
    only_b = replace(FIGURES.cascades[0], shares={"a": 0.0, "b": 1.0, "c": 0.0})
    figures = replace(FIGURES, cascades=[replace(only_b, cost_per_1000=0.4)])
    assert judge(figures).kind == "one model"
    # The same answers, but a rejected draft before each.
    assert judge(replace(FIGURES, cascades=[replace(only_b, cost_per_1000=0.6)])).kind == "gain"


def test_nothing_solved_is_no_division_by_zero() -> None:
    figures = replace(FIGURES, singles=[summary("a", 0.0, 0.0)])
    assert judge(figures).kind == "nothing solved"
    assert figures.kept is None
    assert figures.cost_share is None


def test_so_many_problems_show_the_gain_in_four_cases_of_five() -> None:
    mean, sd = 0.03, 0.3
    n = problems_needed(mean, sd)
    rng = np.random.default_rng(0)
    z = rng.normal(mean, sd / np.sqrt(n), size=20_000) / (sd / np.sqrt(n))
    # Rounded up to two digits, so a little more than 0.8.
    assert 0.79 < float((z > 1.96).mean()) < 0.83


def test_no_gain_asks_for_what_the_least_gain_worth_having_would_take() -> None:
    assert problems_needed(-0.05, 0.3) == problems_needed(WORTH_HAVING, 0.3)
    assert problems_needed(0.05, 0.0) == 0


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    console = Console(width=80, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(table(FIGURES))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if "cascade" in line]
    assert [row.split()[-5:] for row in rows] == [["0", "/", "70", "/", "30"]] * 2
    assert len(lines) == 2 + 2 + len(FIGURES.rows()) + 1
