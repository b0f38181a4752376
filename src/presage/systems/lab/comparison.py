"""Two systems side by side: what each claims, what its check found beside which control, and what that cost."""

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap

from presage.systems.lab.check import Arm, CheckResult, load, published
from presage.systems.lab.report import Cells, arm_interval, columns, html_table, number, paper_of, uses_of
from presage.systems.lab.verdict import Comparison
from presage.systems.table import Row, has_recipe

RUNS = Path("runs/systems")
"""Where a check leaves its result by default"""
WIDTH = 46
"""Of a column in a terminal"""
Checked = tuple[Row, CheckResult | None]


def checked(row: Row, runs: Path = RUNS) -> Checked:
    """A system with its committed result, or else with the one that a check left here.

    Raises:
        UserError: that one is damaged.
    """
    here = runs / row.name / "check.json"
    return row, published(row) or (load(here) if here.exists() else None)


def table(one: Checked, other: Checked) -> Cells:
    """A head, and a row for each thing that is said of both."""
    said = [_said(each) for each in (one, other)]
    names = list(dict.fromkeys([*said[0], *said[1]]))
    rows = [[name, *(each.get(name, "-") for each in said)] for name in names]
    return [["", *(f"{row.title} ({row.number})" for row, _ in (one, other))], *rows]


def _said(each: Checked) -> dict[str, str]:
    row, result = each
    about = {"use": uses_of(row), "paper": paper_of(row), "claim": row.claim}
    if result is None:
        return {**about, "verdict": "not checked yet" if has_recipe(row) else "no recipe yet"}
    verdict = result.verdict
    if verdict is None:
        return {**about, "verdict": "none: not all arms were run", **_cost(result, result.arms[0])}
    arms = {arm.name: arm for arm in result.arms}
    hardest = verdict.comparisons[0]
    holding = sum(line.holds for line in verdict.sanity)
    return {
        **about,
        "figure": result.figure,
        "system": _mean(verdict.arm, arms),
        "hardest control": _mean(hardest.control, arms),
        "difference": f"{_signed(hardest)}, margin {hardest.margin:+.2f}",
        "other controls": "; ".join(f"{c.control} {_signed(c)}" for c in verdict.comparisons[1:]) or "-",
        "sanity lines": f"{holding} of {len(verdict.sanity)} hold",
        "verdict": f"{'quick, worth nothing: ' * result.quick}{verdict.words}",
        "judged on": f"{verdict.seeds} training seeds x {verdict.starts} starts, {result.block.kind} block "
        f"{result.block.number}",
        **_cost(result, arms.get(verdict.arm)),
    }


def _mean(name: str, arms: dict[str, Arm]) -> str:
    """An arm that was pooled from others has no interval of its own."""
    if name not in arms:
        return name
    value, low, high = arm_interval(arms[name])
    return f"{name}: {value:.2f} [{low:.2f}, {high:.2f}]"


def _signed(each: Comparison) -> str:
    return f"{each.difference.value:+.2f} [{each.difference.low:+.2f}, {each.difference.high:+.2f}]"


def _cost(result: CheckResult, arm: Arm | None) -> dict[str, str]:
    whole = {"check": f"{result.seconds / 60:.0f} min, {len(result.arms)} arms"}
    if arm is None:
        return whole
    return {
        **whole,
        "its arm": f"{number(arm.seconds)} s, {number(arm.steps)} steps on {number(arm.rows)} rows, "
        f"{number(arm.parameters)} parameters",
    }


def caution(one: Checked, other: Checked) -> str:
    """What such a table may not be read as."""
    results = [result for _, result in (one, other) if result is not None]
    if len(results) < 2:
        return ""
    figures = [result.figure for result in results]
    starts = "Each was judged on starts of its own: compare what each gains over its controls, not the rates."
    return starts if figures[0] == figures[1] else f"{figures[0]} and {figures[1]} are different figures. {starts}"


def text(one: Checked, other: Checked) -> str:
    """For a terminal: long cells go on in the next line."""
    cells = table(one, other)
    first = max(len(row[0]) for row in cells)
    lines: list[list[str]] = []
    for name, *both in cells:
        parts = [wrap(cell, WIDTH) or [""] for cell in both]
        height = max(map(len, parts))
        filled = [part + [""] * (height - len(part)) for part in parts]
        lines += [[name if i == 0 else "", *(part[i] for part in filled)] for i in range(height)]
    lines.insert(1, ["-" * first, "-" * WIDTH, "-" * WIDTH])
    return "\n\n".join(part for part in (columns(lines), caution(one, other)) if part)


def page(one: Checked, other: Checked, document: Callable[[str, str], str]) -> str:
    """One HTML page. document: as for `report.page`."""
    title = f"{one[0].title} and {other[0].title}"
    drawn = _differences([each for each in (one, other) if each[1] is not None and each[1].verdict is not None])
    commands = [result.command for _, result in (one, other) if result is not None and result.command]
    repeat = "".join(f"<pre>{html.escape(command)}</pre>" for command in commands)
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p class='lead'>{html.escape(caution(one, other))}</p>",
        html_table(table(one, other)),
        f"<h2>What each gains over its controls</h2>{drawn}" if drawn else "",
        f"<h2>Repeat it</h2>{repeat}" if repeat else "",
    ]
    return document(title, "\n".join(body))


def _differences(shown: Sequence[Checked]) -> str:
    """Differences to all controls with their intervals, on one scale; a tick where each margin is."""
    lines = [
        (f"{row.title} - {c.control}", c)
        for row, result in shown
        if result is not None and result.verdict is not None
        for c in result.verdict.comparisons
    ]
    if not lines:
        return ""
    low = min(0.0, *(c.difference.low for _, c in lines))
    high = max(*(max(c.difference.high, c.margin) for _, c in lines), 0.01)

    def at(x: float) -> float:
        return 300 + 320 * (x - low) / (high - low)

    height = 26 * len(lines)
    drawn = [f'<path d="M{at(0):.1f} 0V{height}" stroke="var(--line)"/>']
    for i, (name, c) in enumerate(lines):
        y = 26 * i + 13
        drawn.append(
            f'<text x="290" y="{y + 4}" text-anchor="end">{html.escape(name)}</text>'
            f'<path d="M{at(c.difference.low):.1f} {y}H{at(c.difference.high):.1f}" stroke="var(--ink)" '
            'stroke-width="2"/>'
            f'<circle cx="{at(c.difference.value):.1f}" cy="{y}" r="5" fill="var(--dream)"/>'
            f'<path d="M{at(c.margin):.1f} {y - 9}V{y + 9}" stroke="var(--soft)" stroke-width="2"/>'
        )
    label = "differences to all controls with 95 % intervals; a tick at each margin"
    return f'<svg viewBox="0 0 640 {height}" role="img" aria-label="{label}">{"".join(drawn)}</svg>'
