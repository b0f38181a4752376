"""A finished check as text, as one HTML page, and as its part of docs/systems.md.

    python -m presage.systems.lab.report

writes docs/systems.md anew from the table of systems and the committed verdicts.
"""

import html
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from presage.measures.statistics import Interval, bootstrap_mean
from presage.systems.lab import check
from presage.systems.lab.check import Arm, CheckResult
from presage.systems.lab.verdict import Comparison, Verdict
from presage.systems.table import ROWS, USES, Row

DOCS = Path(__file__).parents[4] / "docs" / "systems.md"
Cells = Sequence[Sequence[str]]


# -- what is said
# ---------------------------------------------------------------------------------------------------------------


def paper_of(row: Row) -> str:
    return f"arXiv {row.paper}" if row.paper else "no paper"


def uses_of(row: Row) -> str:
    return ", ".join(f"{USES[use]} {use}" for use in row.uses)


def lead(result: CheckResult) -> str:
    """The first thing to be said of a check."""
    verdict = "no verdict: not all arms were run" if result.verdict is None else result.verdict.words
    return f"quick run, worth nothing as evidence; {verdict}" if result.quick else verdict


def arms_table(result: CheckResult) -> Cells:
    """Head and one row an arm. Intervals are over all outcomes of an arm; what decides are the paired differences."""
    extra = list(dict.fromkeys(name for arm in result.arms for name in arm.figures))
    head = ["arm", result.figure, "95 %", "by seed", *extra, "seconds", "parameters", "rows", "steps"]
    return [head, *(_arm(arm, extra) for arm in result.arms)]


def _arm(arm: Arm, extra: Sequence[str]) -> list[str]:
    interval = arm_interval(arm)
    by_seed = " ".join(f"{sum(seed) / len(seed):.2f}" for seed in arm.outcomes)
    counts = [f"{arm.seconds:,.0f}", f"{arm.parameters:,}", f"{arm.rows:,}", f"{arm.steps:,}"]
    figures = [number(arm.figures.get(name)) for name in extra]
    return [arm.name, f"{interval.value:.2f}", f"[{interval.low:.2f}, {interval.high:.2f}]", by_seed, *figures, *counts]


def arm_interval(arm: Arm) -> Interval:
    """Mean outcome of an arm with its interval over starts, as if all were independent."""
    return bootstrap_mean([value for seed in arm.outcomes for value in seed])


def differences_table(verdict: Verdict) -> Cells:
    head = [f"{verdict.arm} minus", "margin", "difference", "95 %", "by seed"]
    return [head, *(_difference(each) for each in verdict.comparisons)]


def _difference(each: Comparison) -> list[str]:
    value, low, high = each.difference
    by_seed = " ".join(f"{seed:+.2f}" for seed in each.by_seed)
    return [each.control, f"{each.margin:+.2f}", f"{value:+.2f}", f"[{low:+.2f}, {high:+.2f}]", by_seed]


def sanity_table(verdict: Verdict) -> Cells:
    lines = [
        [line.name, number(line.value), line.must, "yes" if line.holds else "NO: nothing above counts"]
        for line in verdict.sanity
    ]
    return [["without which the verdict means nothing", "value", "must be", "holds"], *lines]


def facts(result: CheckResult) -> dict[str, str]:
    """What repeats a check, and what limits it."""
    block = result.block
    before = f"; {block.number} verdicts of this system came before" if block.kind == "verdict" else ""
    said = {
        "claim": result.card.claim,
        "paper": paper_of(result.card),
        "starts": f"{block.kind} block {block.number}, seeds from {block.first:,}{before}",
        "training seeds": " ".join(map(str, result.seeds)),
        **{name: number(value) for name, value in result.figures.items()},
        "minutes": f"{result.seconds / 60:.1f}",
        "command": result.command,
        "machine": _listed(result.machine),
        "versions": _listed(result.versions),
    }
    return {name: text for name, text in said.items() if text}


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)


def number(value: float | None) -> str:
    """Three significant digits; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


# -- text
# ---------------------------------------------------------------------------------------------------------------


def text(result: CheckResult) -> str:
    """The summary at the end of a check."""
    title = f"{result.card.title} ({result.card.number}): {lead(result)}"
    parts = [f"{title}\n{'-' * len(title)}", columns(arms_table(result))]
    if result.verdict is not None:
        parts.append(columns(differences_table(result.verdict)))
        if result.verdict.sanity:
            parts.append(columns(sanity_table(result.verdict)))
    parts.append(columns([[name, value] for name, value in facts(result).items()]))
    return "\n\n".join([*parts, *result.notes])


def columns(cells: Cells) -> str:
    """A table of text, aligned."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
    return "\n".join(lines)


# -- one page
# ---------------------------------------------------------------------------------------------------------------


def page(result: CheckResult, document: Callable[[str, str], str]) -> str:
    """One HTML page. document: makes a whole page of a title and a body, such as `interface.pages.page.document`."""
    escape = html.escape
    title = f"{result.card.title}: {'no verdict' if result.verdict is None else result.verdict.outcome}"
    body = [
        f"<h1>{escape(result.card.title)}</h1><p class='lead'>{escape(result.card.claim)}</p>",
        f"<p><b>{escape(lead(result))}</b></p><h2>Arms</h2>{_bars(result)}{html_table(arms_table(result))}",
    ]
    if result.verdict is not None:
        body.append(f"<h2>Differences</h2>{html_table(differences_table(result.verdict))}")
        if result.verdict.sanity:
            body.append(f"<h2>Sanity lines</h2>{html_table(sanity_table(result.verdict))}")
    body += [f"<p>{escape(note)}</p>" for note in result.notes]
    repeated = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(result).items())
    return document(title, "\n".join([*body, f"<h2>Repeat it</h2><dl>{repeated}</dl>"]))


def html_table(cells: Cells) -> str:
    """A table whose first row is its head."""
    head, *rows = cells
    first = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    rest = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{rest}</tbody></table></div>'


def _bars(result: CheckResult) -> str:
    """Means of the arms as bars with their intervals, on a common scale that begins at 0 where all are positive."""
    intervals = [arm_interval(arm) for arm in result.arms]
    low, high = min(0.0, *(each.low for each in intervals)), max(each.high for each in intervals)
    span = (high - low) or 1.0
    drawn = []
    for line, (arm, each) in enumerate(zip(result.arms, intervals, strict=True)):
        zero, at, left, right = (220 + 380 * (x - low) / span for x in (0.0, each.value, each.low, each.high))
        y = 26 * line
        drawn.append(
            f'<text x="210" y="{y + 16}" text-anchor="end">{html.escape(arm.name)}</text>'
            f'<rect x="{min(zero, at):.1f}" y="{y + 4}" width="{abs(at - zero):.1f}" height="16" fill="var(--dream)"/>'
            f'<path d="M{left:.1f} {y + 12}H{right:.1f}" stroke="var(--ink)" stroke-width="2"/>'
        )
    label = f"{result.figure} of each arm, with 95 % intervals"
    height = 26 * len(drawn)
    return f'<svg viewBox="0 0 640 {height}" role="img" aria-label="{html.escape(label)}">{"".join(drawn)}</svg>'


# -- docs/systems.md
# ---------------------------------------------------------------------------------------------------------------

HEAD = """# Systems

Made by `python -m presage.systems.lab.report` from the table of systems and the files in
`src/presage/systems/lab/verdicts`. `presage systems` prints the table and which systems have a recipe, `presage
systems show NAME` one row, `presage systems check NAME` runs its check, and `presage train --system NAME` fits it to
[your data](training.md#a-published-system-on-your-data). [Add a system](add_a_system.md) says how a recipe is written.

A check trains the arms of a system in the lab and judges one claim of its paper beside the controls that could refute
it. *Shown*: the difference to every control reaches its margin, its 95 % interval lies above 0 (bootstrap over training
seeds, then over starts; pairs kept), all training seeds agree, and every sanity line holds. *Refuted at this scale*:
the interval lies below half the margin. *Not shown*: all else, with its reason. Models here are a thousand times
smaller than those of the papers, so a verdict is about the direction of an effect.

Two systems stand side by side with `presage systems compare A B`. `presage systems check --all` makes the lab and
checks every recipe, two at a time; it goes on after a kill, and leaves what is finished alone. With `--quick` all of it
is a debug twin of minutes, whose figures are worth nothing.

## The lab

The lab is what all checks share. `presage lab make` records its datasets and trains what checks start from: a world
model of the table, an outcome head, a pool of policies with their true success, and others whose episodes are learned
from. Each lies in the cache under a name that follows its content, so a changed setting never meets old data; a call
that was killed goes on. `presage lab show` says what is there, and `--out DIR` draws it: films, ledgers, rates.

Starts of verdicts are used once, and half of them lie where nothing was ever recorded. What was judged is kept beside
all that it was made from: system, weights, data, starts, the way to judge, the simulators' versions. Where one of these
differs, the check refuses to go on in that folder, since its starts have been seen: another `--out` takes the next.

An artifact's card holds its **ledger**: which labels (actions, states, outcomes) of which episodes its training was
given, whether it read them or not, and what those saw that it started from. A check says which labels an arm may have
seen, and refuses an artifact that saw more, in one line and before anything is trained.

Five ways to meet a check by accident have a test each (`tests/systems/lab/test_accidents.py`): labels that follow from
a state, a random network that is blind to the frame, a scorer that sees more than imagined frames, a simulator that
waits for its robot, a judge that reads the hand and not the object.

## All 36
"""


def systems_page(folder: Path = check.VERDICTS) -> str:
    """docs/systems.md as text: it follows from the verdicts alone, so a new recipe does not change it."""
    lines = ["| | system | use | claim | figure | control | verdict | min |", "|---|---|---|---|---|---|---|---|"]
    sections = []
    for row in ROWS:
        paper = f" ([{row.paper}](https://arxiv.org/abs/{row.paper}))" if row.paper else ""
        result = check.published(row, folder)
        found = ["-"] * 4 if result is None else _found(result)
        lines.append(f"| {' | '.join([str(row.number), f'{row.title}{paper}', uses_of(row), row.claim, *found])} |")
        if result is not None:
            sections.append(_section(result))
    return "\n".join([HEAD, *lines, "", *sections])


def _found(result: CheckResult) -> list[str]:
    """Figure, control, verdict and minutes, as cells of the table."""
    means = {arm.name: f" {arm.mean:.2f}" for arm in result.arms}
    cells = [result.figure, "-", lead(result)]
    if result.verdict is not None:
        arm, hardest = result.verdict.arm, result.verdict.comparisons[0]
        over = f", difference {hardest.difference.value:+.2f}"  # arms that were pooled from others have no mean
        control = f"{hardest.control}{means.get(hardest.control, over)}"
        cells = [f"{result.figure}{means.get(arm, f', {arm}')}", control, cells[2]]
    figure, control, words = (cell.replace("|", "\\|") for cell in cells)
    return [figure, control, f"[{words}](#{_anchor(result.card.title)})", f"{result.seconds / 60:.0f}"]


def _anchor(title: str) -> str:
    """Of a section, as Markdown makes it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _section(result: CheckResult) -> str:
    parts = [f"## {result.card.title}", result.card.claim, f"**{lead(result)}**", _markdown(arms_table(result))]
    if result.verdict is not None:
        parts.append(_markdown(differences_table(result.verdict)))
        if result.verdict.sanity:
            parts.append(_markdown(sanity_table(result.verdict)))
    said = facts(result)
    command = said.pop("command", "")
    details = "; ".join(f"{name}: {value}" for name, value in said.items() if name not in ("claim", "paper"))
    return "\n\n".join([*parts, *result.notes, f"{f'`{command}`, ' if command else ''}{details}."]) + "\n"


def _markdown(cells: Cells) -> str:
    head, *rows = ([cell.replace("|", "\\|") for cell in row] for row in cells)
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def main() -> int:
    DOCS.write_text(systems_page())
    print(f"written: {DOCS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
