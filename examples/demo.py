"""The main job, end to end: collect outcomes, learn a policy, answer held-out problems, compare.

    make demo                                           three local models, no key, no download
    MODELS="openai:gpt-5-nano,openai:gpt-5" make demo   your own models, cheap to expensive

Everything is measured: real clients, a real server, and problems that the policy was not fitted on.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from cascade_core.evaluation.report import write_report
from cascade_core.fitting import fit_policies, fit_policy
from demo_kit.figures import measure, report, table, verdict
from demo_kit.models import Models, local_models, own_models
from demo_kit.runs import as_results, collect, through_langchain, through_llamaindex
from local_models.problems import generate

# Fixed before the held-out problems were looked at: half of what the strongest model costs.
BUDGET_SHARE = 0.5
FRONTIER_POINTS = 40


def main() -> None:
    """Run the demo with the options of the command line."""
    options = _options()
    console = Console()
    own = os.environ.get("MODELS", "")
    start = time.perf_counter()
    with own_models(own) if own else local_models() as models:
        _demo(models, options, console, note=_note(own))
    console.print(f"Took {time.perf_counter() - start:.0f} s.")


def _demo(models: Models, options: argparse.Namespace, console: Console, note: str) -> None:
    names = list(models.langchain)
    fit_on = generate("calibration", options.problems)
    held_out_problems = generate("test", options.problems)

    with _progress(console, "collecting outcomes", len(names) * len(fit_on)) as advance:
        outcomes = collect(models, fit_on, advance)
    budget = BUDGET_SHARE * float(outcomes.cost_usd.mean(axis=0).max())
    policy = fit_policy(outcomes, budget=max(budget, outcomes.cost_usd.mean(axis=0).min()))
    console.print(f"Learnt for a budget of ${1000 * budget:.4f} per 1,000: {policy.policy}")

    with _progress(console, "held-out, each model alone", len(names) * len(fit_on)) as advance:
        held_out = collect(models, held_out_problems, advance)
    live = {}
    with _progress(console, "held-out, LangChain", len(fit_on)) as advance:
        answers = through_langchain(models, policy, held_out_problems, advance)
        live["cascade in LangChain"] = as_results(names, answers)
    if models.llamaindex:
        with _progress(console, "held-out, LlamaIndex", len(fit_on)) as advance:
            answers = through_llamaindex(models, policy, held_out_problems, advance)
            live["cascade in LlamaIndex"] = as_results(names, answers)

    figures = measure(held_out, live)
    console.print(table(figures))
    console.print(verdict(figures))
    if models.note:
        console.print(models.note)
    frontier = fit_policies(outcomes)
    frontier = frontier[:: 1 + len(frontier) // FRONTIER_POINTS]
    write_report(report(figures, frontier, held_out, note), options.report)
    console.print(f"Interactive plot: {options.report.resolve()}", soft_wrap=True)


@contextmanager
def _progress(console: Console, what: str, total: int) -> Iterator[Callable[[], None]]:
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{what:<27}", total=total)
        yield lambda: progress.advance(task)


def _note(own: str) -> str:
    if own:
        return f"Models: {own}. Prices: the genai-prices table as installed."
    return "Prices of the local models are proportional to their floating-point work per token."


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer problems, for CI")
    parser.add_argument("--problems", type=int, help="to fit on, and again to measure on")
    parser.add_argument("--report", type=Path, default=Path("cascade-report.html"))
    options = parser.parse_args()
    if options.problems is None:
        options.problems = 80 if options.quick or os.environ.get("MODELS") else 400
    if options.problems < 20:
        parser.error("--problems must be at least 20: fewer teach nothing")
    return options


if __name__ == "__main__":
    main()
