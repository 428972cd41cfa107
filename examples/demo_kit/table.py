"""The table that the demo prints, 80 columns wide."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cascade_core.evaluation import Summary
from demo_kit.figures import Figures


def table(figures: Figures) -> Group:
    """Return the table, under a line that gives the order of the shares."""
    arms = short_names([row.name for row in figures.singles])
    result = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    result.add_column("", overflow="fold")
    for heading in ("accuracy % [95 %]", "$ / 1,000", "latency", "answered by %"):
        result.add_column(heading, justify="right", no_wrap=True)
    for kind, row in figures.rows():
        q = row.quality
        single = kind == "single model"
        result.add_row(
            arms[row.name] if single else row.name,
            f"{100 * q.mean:.1f} [{100 * q.low:.1f}, {100 * q.high:.1f}]",
            f"{row.cost_per_1000:.4f}",
            _duration(row.latency_seconds),
            "" if single else _shares(row),
            style="bold green" if kind == "cascade" else None,
        )
    order = " / ".join(arms.values())
    heading = f"{figures.n_problems} held-out problems, answered by {order}"
    return Group(Text(heading), Text(), result, Text())


def short_names(names: list[str]) -> dict[str, str]:
    """Return the models' names without provider and folder, where they still differ.

    Examples:
        >>> short_names(["openai:gpt-4.1", "openrouter:meta/llama"])
        {'openai:gpt-4.1': 'gpt-4.1', 'openrouter:meta/llama': 'llama'}
        >>> short_names(["openai:gpt-4.1", "azure_openai:gpt-4.1"])["openai:gpt-4.1"]
        'openai:gpt-4.1'
    """
    short = [name.rpartition(":")[2].rpartition("/")[2] or name for name in names]
    return dict(zip(names, short if len(set(short)) == len(names) else names, strict=True))


def _shares(row: Summary) -> str:
    return " / ".join(f"{100 * share:.0f}" for share in row.shares.values())


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
