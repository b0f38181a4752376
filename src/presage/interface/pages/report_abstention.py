"""Where imagination cannot tell: how right its surest answers are, and which policies it tells apart."""

from collections.abc import Sequence

from presage.interface.pages.plots import Series, lines
from presage.interface.pages.report_tables import bounded, table
from presage.results.runs import Run

CURVES = {"accuracy": "share of the answers that are right", "kappa": "agreement beyond chance"}


def abstention(runs: Sequence[Run]) -> str:
    """Of runs that may say "cannot tell"; empty where there are none."""
    plots = "".join(f"<div><h3>{what}</h3>{plot}</div>" for what in CURVES if (plot := _curve(runs, what)))
    pairs = "".join(_pairs(run, len(runs) > 1) for run in runs)
    if not plots and not pairs:
        return ""
    text = (
        "<p>Answers are given where the referee is sure and the dream does not contradict itself. The curves say how "
        "right the surest answers are: on the left only few episodes are answered, on the right all.</p>"
    )
    return f'{text}<div class="plots">{plots}</div>{pairs}'


def _curve(runs: Sequence[Run], what: str) -> str:
    series = []
    for run in runs:
        points = []
        for name, value in run.figures.items():
            kind, _slash, percent = name.partition("/")
            answered = run.figures.get(f"abstention_answered/{percent}")
            if kind == f"abstention_{what}" and value is not None and answered is not None:
                points.append((100 * float(answered), float(value)))
        if points:
            series.append(Series(run.name, *zip(*sorted(set(points)), strict=True)))
    return lines(what, "% of the episodes answered", CURVES[what], series) if series else ""


def _pairs(run: Run, named: bool) -> str:
    rows = []
    for name, says in run.figures.items():
        kind, _slash, pair = name.partition("/")
        if kind != "verdict":
            continue
        apart = bounded(run, f"difference/{pair}")
        text = "-" if apart is None else "{:+.0f} % [{:+.0f}, {:+.0f}]".format(*(100 * x for x in apart))
        rows.append([pair, str(says), text, str(run.figures.get(f"pairs/{pair}", "-"))])
    caption = "Two policies: imagined success over the episodes in which both have an answer."
    head = ["policies", "the first is", "difference [95 %]", "episodes"]
    return table(head, rows, f"{run.name}: {caption}" if named else caption) if rows else ""
