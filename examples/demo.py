"""The main job, end to end: collect outcomes, learn a policy, answer held-out problems, compare.

    make demo                                           three local models, no key, no download
    MODELS="openai:gpt-5-nano,openai:gpt-5" make demo   your own models, cheap to expensive
    PRICES="openai:gpt-5-nano=0.05/0.4"                 their prices, where none are known

Everything is measured: real clients, a real server, and problems that the policy was not fitted on.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from cascade_core.evaluation import Results
from cascade_core.evaluation.report import write_report
from cascade_core.fitting import fit_policies, fit_policy
from demo_kit.figures import description, measure, report
from demo_kit.figures_json import figures_json
from demo_kit.models import Models, local_models
from demo_kit.own_models import answering, named_clients
from demo_kit.runs import as_results, collect, through_langchain, through_llamaindex
from demo_kit.spending import announcement, known_prices, stated_prices
from demo_kit.table import table
from demo_kit.verdict import judge
from local_models.problems import generate

# Fixed before the held-out problems were looked at: half of what the strongest model costs.
BUDGET_SHARE = 0.5
FRONTIER_POINTS = 40
STDOUT = Path("-")


def main() -> None:
    """Run the demo with the options of the command line."""
    own = os.environ.get("MODELS", "").strip()
    options = _options(own)
    # The JSON alone belongs on standard output, if it is to go there.
    console = Console(stderr=options.json == STDOUT, highlight=False)
    start = time.perf_counter()
    try:
        with _own_models(own, options.problems, console) if own else local_models() as models:
            _demo(models, options, console)
    except KeyboardInterrupt:
        raise SystemExit("Stopped.") from None
    console.print(f"Took {time.perf_counter() - start:.0f} s.")


def _own_models(own: str, n_problems: int, console: Console) -> nullcontext[Models]:
    clients = named_clients(own)
    stated = stated_prices(os.environ.get("PRICES", ""), list(clients))
    prices = known_prices(list(clients), stated)
    clients = {name: clients[name] for name in prices}  # cheap to expensive
    console.print(announcement(clients, prices, n_problems))
    return nullcontext(answering(clients, prices))


def _demo(models: Models, options: argparse.Namespace, console: Console) -> None:
    names = list(models.langchain)
    fit_on = generate("calibration", options.problems)
    held_out_problems = generate("test", options.problems)

    with _progress(console, "collecting outcomes", len(names) * len(fit_on)) as advance:
        outcomes, failures = collect(models, fit_on, advance)
    costs = outcomes.cost_usd.mean(axis=0)
    budget = max(BUDGET_SHARE * float(costs.max()), float(costs.min()))
    policy = fit_policy(outcomes, budget=budget)
    console.print(f"Learnt for a budget of ${1000 * budget:.4f} per 1,000: {description(policy)}")

    with _progress(console, "held-out, each model alone", len(names) * len(fit_on)) as advance:
        held_out, more_failures = collect(models, held_out_problems, advance)
    live: dict[str, Results] = {}
    with _progress(console, "held-out, LangChain", len(fit_on)) as advance:
        answers = through_langchain(models, policy, held_out_problems, advance)
        live["LangChain cascade"] = as_results(names, answers)
    if models.llamaindex:
        with _progress(console, "held-out, LlamaIndex", len(fit_on)) as advance:
            answers = through_llamaindex(models, policy, held_out_problems, advance)
            live["LlamaIndex cascade"] = as_results(names, answers)

    figures = measure(held_out, live, policy)
    verdict = judge(figures)
    failed = {name: n + more_failures[name] for name, n in failures.items()}
    notes = [*models.notes, *_failure_notes(failed, 2 * len(fit_on))]
    console.print(table(figures))
    console.print(verdict.text)
    console.print("\n".join(notes))
    frontier = fit_policies(outcomes)
    frontier = frontier[:: 1 + len(frontier) // FRONTIER_POINTS]
    write_report(report(figures, verdict.text, frontier, held_out, notes), options.report)
    console.print(f"Interactive plot: {options.report.resolve()}", soft_wrap=True)
    if options.json:
        _write(figures_json(figures, verdict, policy, models.prices, notes), options.json)


@contextmanager
def _progress(console: Console, what: str, total: int) -> Generator[Callable[[], None]]:
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{what:<27}", total=total)
        yield lambda: progress.advance(task)


def _failure_notes(failed: dict[str, int], of: int) -> list[str]:
    return [
        f"{name} alone failed on {n} of {of} requests: they count as wrong."
        for name, n in failed.items()
        if n
    ]


def _write(text: str, path: Path) -> None:
    if path == STDOUT:
        sys.stdout.write(text + "\n")
    else:
        path.write_text(text + "\n", encoding="utf-8")


def _options(own: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer problems, for CI")
    parser.add_argument("--problems", type=int, help="to fit on, and again to measure on")
    parser.add_argument("--report", type=Path, default=Path("cascade-report.html"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures; - is the terminal")
    options = parser.parse_args()
    if options.problems is None:
        options.problems = 80 if options.quick or own else 400
    if options.problems < 20:
        parser.error("--problems must be at least 20: fewer teach nothing")
    for path in (options.report, options.json):
        # Before anything is spent, and not after.
        if path and path != STDOUT and (path.is_dir() or not path.resolve().parent.is_dir()):
            parser.error(f"{path} cannot be written: it is a folder, or its folder does not exist")
    return options


if __name__ == "__main__":
    main()
