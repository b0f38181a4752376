"""Curves, goals and the table of all figures of a report."""

import math
import re
from collections.abc import Sequence
from typing import Any

from presage.benchmarks import BENCHES
from presage.interface.pages.figures import reached
from presage.interface.pages.page import _
from presage.interface.pages.plots import Series, lines
from presage.interface.pages.report_tables import bounded, table
from presage.measures.statistics import difference_of_estimates
from presage.results.output import show
from presage.results.runs import Run

MOST_POINTS = 300
"""Of a curve; longer logs are averaged."""


def curves(runs: Sequence[Run]) -> str:
    """What trainings logged, one plot a term, one line a run; and figures over a horizon (`psnr_1`, `psnr_8`, ...)."""
    terms = list(dict.fromkeys(name for run in runs for name in run.curves))
    plots = []
    for term in terms:
        series = [Series(run.name, *thinned(*run.curves[term])) for run in runs if term in run.curves]
        plots.append((term, lines(term, "step", term, series)))
    plots += _over_horizons(runs)
    drawn = "".join(f"<div><h3>{_(name)}</h3>{plot}</div>" for name, plot in plots)
    long = any(len(x) > MOST_POINTS for run in runs for x, _y in run.curves.values())
    note = f"<p>Logs of more than {MOST_POINTS} lines are averaged over neighbouring ones.</p>" if long else ""
    return f'<div class="plots">{drawn}</div>{note}' if plots else ""


def _over_horizons(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """`name_K` for three or more K becomes a curve over K, in one plot with its control `copy_name_K`."""
    plots = []
    found = [horizons(run.figures) for run in runs]
    for family in dict.fromkeys(name for f in found for name in f if not name.startswith("copy_")):
        series = []
        for run, families in zip(runs, found, strict=True):
            for name, words in ((family, family), (f"copy_{family}", f"{family}, first frame repeated")):
                if name in families:
                    x, y = zip(*families[name], strict=True)
                    series.append(Series(f"{run.name}: {words}" if len(runs) > 1 else words, x, y))
        plots.append((family, lines(family, "chunks ahead", family, series)))
    return plots


def horizons(figures: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """name -> [(K, value)] for the figures `name_K` that exist for three or more K."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, value in figures.items():
        match = re.fullmatch(r"(.+)_(\d+)", name)
        if match and isinstance(value, int | float) and "/" not in name:
            found.setdefault(match[1], []).append((float(match[2]), float(value)))
    return {name: sorted(points) for name, points in found.items() if len(points) >= 3}


def thinned(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
    """At most MOST_POINTS points: means of neighbours."""
    size = math.ceil(len(x) / MOST_POINTS)
    means = [[sum(v[i : i + size]) / len(v[i : i + size]) for i in range(0, len(v), size)] for v in (x, y)]
    return means[0], means[1]


def goals(runs: Sequence[Run]) -> str:
    """What presage sets out to reach with the benches among the runs."""
    rows = []
    for run in runs:
        for figure, value, goal, good in reached(run.bench or "", run.figures):
            verdict = "not measured" if value is None else "reached" if good else "not reached"
            rows.append([run.name, f"{figure} {goal}", show(value), verdict])
    return table(["run", "goal", "value", "verdict"], rows) if rows else ""


def all_figures(runs: Sequence[Run]) -> str:
    """Every figure as the commands printed it, with bounds; differences of numbers to the first run."""
    names = [
        n for n in dict.fromkeys(name for run in runs for name in run.figures) if not n.endswith(("_low", "_high"))
    ]
    if not names:
        return ""
    head = ["figure", *[run.name for run in runs], *[f"{run.name} minus {runs[0].name}" for run in runs[1:]]]
    rows = [[n, *[_value(run, n) for run in runs], *[_minus(run, runs[0], n) for run in runs[1:]]] for n in names]
    measured = "".join(
        f"<p>{_(run.name)}: {_(BENCHES[run.bench][1])}.</p>"
        for run in runs
        if run.bench is not None and run.bench in BENCHES
    )
    note = "<p>In brackets: 95 % intervals. A difference without one has none: it may be noise.</p>"
    return f"{measured}<details><summary>{len(names)} figures</summary>{table(head, rows)}{note}</details>"


def _value(run: Run, name: str) -> str:
    interval = bounded(run, name)
    bounds = "" if interval is None else f" [{show(interval.low)}, {show(interval.high)}]"
    return show(run.figures.get(name)) + bounds


def _minus(run: Run, first: Run, name: str) -> str:
    mine, other = run.figures.get(name), first.figures.get(name)
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in (mine, other)):
        return "-"
    a, b = bounded(run, name), bounded(first, name)
    if a is None or b is None:
        return show(mine - other)  # type: ignore[operator]
    value, low, high = difference_of_estimates(a, b)
    return f"{show(value)} [{show(low)}, {show(high)}]"
