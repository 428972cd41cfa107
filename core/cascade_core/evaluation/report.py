"""A self-contained HTML page: the cost-quality plot and the figures behind it.

Needs Plotly, from the ``cli`` extra. The page loads nothing from the network.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cascade_core.evaluation.metrics import upper_hull
from cascade_core.evaluation.results import Summary

_INK, _MUTED, _ACCENT, _GOOD = "#1f2933", "#7b8794", "#2563eb", "#059669"
_BUTTONS = ["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]


@dataclass(frozen=True, slots=True)
class Report:
    """What the page shows; every figure must come from held-out requests.

    Attributes:
        title: Heading.
        verdict: One sentence that says what the figures mean.
        singles: Every model alone.
        policies: The fitted policies along the frontier, cheapest first.
        chosen: What was measured for the policy in use, one row an entry point.
        mixing: Random mixing at the cost of the chosen policy.
        oracle: The best choice that hindsight could make.
        notes: How the figures were obtained.
    """

    title: str
    verdict: str
    singles: Sequence[Summary]
    policies: Sequence[Summary]
    chosen: Sequence[Summary]
    mixing: Summary
    oracle: Summary
    notes: Sequence[str]

    def rows(self) -> list[Summary]:
        """Return the rows of the table, baselines first."""
        return [*self.singles, self.mixing, *self.chosen, self.oracle]


def write_report(report: Report, path: Path) -> None:
    """Write ``report`` as one HTML file; the file appears whole or not at all.

    Raises:
        ModuleNotFoundError: Plotly is not installed.
        OSError: The file cannot be written.
    """
    page = _page(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _page(report: Report) -> str:
    # Plotly ships no types; what it takes and gives here is plain JSON and text.
    from plotly.io import to_html  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    plot: str = to_html(
        _figure(report),
        include_plotlyjs=True,
        full_html=False,
        config={"displaylogo": False, "responsive": True, "modeBarButtons": [_BUTTONS]},
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in report.notes)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(report.title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{html.escape(report.title)}</h1><p class=verdict>{html.escape(report.verdict)}</p>"
        f"{plot}{_table(report)}<ul class=notes>{notes}</ul></main></body></html>"
    )


def _figure(report: Report) -> dict[str, Any]:
    """Return the plot as Plotly's plain JSON description."""
    traces = [
        _trace("random mixing", _mixed_blindly(report.singles), _MUTED, line="dot", bars=False),
        _trace("random mixing, same cost", [report.mixing], _MUTED, symbol="x"),
        _trace("policies on the frontier", report.policies, _ACCENT, line="solid", bars=False),
        _trace("single models", report.singles, _INK),
        _trace("oracle (hindsight)", [report.oracle], _MUTED, symbol="star", bars=False),
        _trace("this cascade, measured live", report.chosen, _GOOD, symbol="diamond"),
    ]
    axis = {"gridcolor": "#e4e7eb", "zeroline": False, "automargin": True}
    return {
        "data": traces,
        "layout": {
            "template": "plotly_white",
            # The page's own background, dark or light, shows through.
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": _MUTED, "activecolor": _INK},
            "height": 520,
            "hovermode": "closest",
            "font": {"family": "system-ui, sans-serif", "color": _INK},
            "margin": {"l": 60, "r": 20, "t": 40, "b": 60},
            "xaxis": {**axis, "title": {"text": "US dollars per 1,000 requests"}},
            "yaxis": {**axis, "title": {"text": "accuracy"}, "tickformat": ".0%"},
            "legend": {"orientation": "h", "y": -0.2},
            "annotations": [_label(s, report.singles) for s in report.singles],
        },
    }


def _mixed_blindly(singles: Sequence[Summary]) -> list[Summary]:
    """Return the models that blind mixing would use, from the cheapest to the best."""
    corners = upper_hull([s.cost_per_1000 for s in singles], [s.quality.mean for s in singles])
    return [singles[i] for i in corners.tolist()]


def _trace(
    name: str,
    points: Sequence[Summary],
    color: str,
    *,
    symbol: str = "circle",
    line: str | None = None,
    bars: bool = True,
) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "name": name,
        "mode": "lines+markers" if line else "markers",
        "x": [p.cost_per_1000 for p in points],
        "y": [p.quality.mean for p in points],
        "cliponaxis": False,
        "customdata": [_hover(p) for p in points],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {"color": color, "size": 7 if line else 12, "symbol": symbol},
    }
    if line:
        trace["line"] = {"color": color, "dash": line, "width": 2}
    if bars:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [p.quality.high - p.quality.mean for p in points],
            "arrayminus": [p.quality.mean - p.quality.low for p in points],
            "color": color,
            "thickness": 1,
        }
    return trace


def _label(model: Summary, all_models: Sequence[Summary]) -> dict[str, Any]:
    """Return the model's name beside its point, off its error bar and towards the middle."""
    costs = [m.cost_per_1000 for m in all_models]
    on_the_left = model.cost_per_1000 > (min(costs) + max(costs)) / 2
    return {
        "text": html.escape(model.name),
        "x": model.cost_per_1000,
        "y": model.quality.mean,
        "xanchor": "right" if on_the_left else "left",
        "xshift": -10 if on_the_left else 10,
        "yshift": -24,
        "showarrow": False,
        "bgcolor": "rgba(255,255,255,0.8)",
    }


def _hover(point: Summary) -> str:
    return (
        f"<b>{html.escape(point.name)}</b><br>accuracy {_percent(point)}"
        f"<br>${point.cost_per_1000:.4f} per 1,000<br>{html.escape(shares_text(point))}"
    )


def shares_text(row: Summary) -> str:
    """Return who answered which share, for people; arms that answered nothing are left out.

    Examples:
        >>> from cascade_core.evaluation import Interval
        >>> shares_text(Summary("x", Interval(1, 1, 1), 0.1, 0.1, {"a": 0.75, "b": 0.25, "c": 0}))
        'a 75 %, b 25 %'
    """
    return ", ".join(f"{arm} {100 * share:.0f} %" for arm, share in row.shares.items() if share > 0)


def _percent(row: Summary) -> str:
    q = row.quality
    return f"{100 * q.mean:.1f} % [{100 * q.low:.1f}, {100 * q.high:.1f}]"


def _table(report: Report) -> str:
    head = "".join(
        f"<th>{cell}</th>"
        for cell in ("", "accuracy [95 %]", "$ per 1,000", "mean latency", "answered by")
    )
    rows = "".join(
        f"<tr class={'chosen' if row in report.chosen else 'other'}><th>{html.escape(row.name)}"
        f"</th><td>{_percent(row)}</td><td>{row.cost_per_1000:.4f}</td>"
        f"<td>{row.latency_seconds * 1000:.0f} ms</td>{_shares(row)}</tr>"
        for row in report.rows()
    )
    # A table of its own width in a box that scrolls: the page itself never scrolls sideways.
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return f"<div class=scroll>{table}</div>"


def _shares(row: Summary) -> str:
    """Return the last cell; it may be broken between two models, and not within one."""
    shares = html.escape(shares_text(row)).split(", ")
    return f"<td class=shares>{', '.join(f'<span>{share}</span>' for share in shares)}</td>"


_STYLE = """
:root{color-scheme:light dark;--page:#f5f7fa;--sheet:#fff;--ink:#1f2933;--soft:#52606d;
--rule:#e4e7eb;--good:#ecfdf5}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1000px;margin:2rem auto;padding:1.5rem 2rem;background:var(--sheet);
border-radius:12px}
h1{margin:0 0 .5rem;font-size:1.5rem}.verdict{font-size:1.1rem;margin:0 0 1rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin-top:1rem;font-size:.92rem}
th,td{text-align:left;padding:.4rem .6rem;border-bottom:1px solid var(--rule);white-space:nowrap;
font-variant-numeric:tabular-nums}thead th{color:var(--soft)}tbody th{font-weight:inherit}
td.shares{white-space:normal;min-width:11rem}.shares span{white-space:nowrap}
tr.chosen{background:var(--good);font-weight:600}
.notes{color:var(--soft);font-size:.9rem;padding-left:1.2rem}
@media(max-width:640px){main{margin:0;padding:1rem;border-radius:0}table{font-size:.85rem}}
@media(prefers-color-scheme:dark){:root{--page:#0f141a;--sheet:#1a2129;--ink:#e4e7eb;
--soft:#9aa5b1;--rule:#323f4b;--good:#0f3529}
.plotly-graph-div{filter:invert(.9) hue-rotate(180deg)}}
"""
