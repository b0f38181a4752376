"""Success in a report: rates with their intervals, one column a run, and how far runs differ."""

from collections.abc import Sequence
from typing import NamedTuple

from presage.interface.pages.page import _
from presage.interface.pages.plots import measured_bar
from presage.measures.statistics import Interval, difference_of_estimates, wilson
from presage.results.runs import Run


class Rate(NamedTuple):
    """A success rate; counts where episodes are known one by one; sure: of those that the referee of a dream answered,
    where there was one to ask."""

    interval: Interval
    counts: tuple[int, int] | None = None
    sure: tuple[int, int] | None = None


def rates(run: Run) -> dict[str, Rate]:
    """policy, or "policy, imagined" -> success: from the episodes where the result has them, else from its figures."""
    found: dict[str, Rate] = {}
    for policy, world in dict.fromkeys((o.policy, o.world) for o in run.outcomes):
        counts = run.successes(policy, world)
        sure = run.surely(policy, world)
        found[policy if world == "real" else f"{policy}, {world}"] = Rate(wilson(*counts), counts, sure)
    if found:
        return found
    for name in run.figures:
        interval = bounded(run, name)
        world, slash, policy = name.partition("/")
        if interval is None or not (name.startswith("success") or world in ("real", "imagined") and slash):
            continue
        label = policy + (", imagined" if world == "imagined" else "") if slash else name.removeprefix("success_")
        found[label] = Rate(interval)
    return found


def bounded(run: Run, name: str) -> Interval | None:
    """The figure with its interval, None where a part of it is missing."""
    parts = [run.figures.get(name + end) for end in ("", "_low", "_high")]
    return Interval(*map(float, parts)) if all(isinstance(x, int | float) for x in parts) else None  # type: ignore[arg-type]


def success_tables(runs: Sequence[Run]) -> str:
    """All episodes, then task by task, of the runs that have success rates."""
    runs = [run for run in runs if rates(run)]
    found = [rates(run) for run in runs]
    if not runs:
        return ""
    alone = [next(iter(f)) if len(f) == 1 else "" for f in found]
    same_world = len({name.endswith(", imagined") for name in alone}) == 1
    if len(runs) > 1 and all(alone) and same_world:  # one policy each: compared whatever it is called
        found = [{"all episodes": next(iter(f.values()))} for f in found]
    names = list(dict.fromkeys(name for f in found for name in f))
    head = ["", *[_heading(run, policy) for run, policy in zip(runs, alone, strict=True)]]
    head += [f"{run.name} minus {runs[0].name}" for run in runs[1:]]
    rows = []
    for name in names:
        row = [_(name), *[_cell(f.get(name), f"{name}, {run.name}") for f, run in zip(found, runs, strict=True)]]
        rows.append(row + [_difference(f.get(name), found[0].get(name)) for f in found[1:]])
    caption = "Share of episodes that reached their goal, with the 95 % Wilson interval."
    if any(rate.sure is not None for each in found for rate in each.values()):
        caption += " Imagined episodes without an answer count as what is likelier; 'where sure' leaves them out."
    note = ""
    if len(runs) > 1:
        note = (
            "<p>Differences are in percentage points, with Newcombe's 95 % interval; those in bold exclude zero. Where "
            "runs share episodes the interval is wider than it need be: it takes them as "
            f"independent.{_shared(runs)}</p>"
        )
    return table(head, rows, caption, raw=True) + note + _per_task(runs)


def _heading(run: Run, policy: str) -> str:
    return f"{run.name} ({policy})" if policy else run.name


def _cell(rate: Rate | None, alt: str) -> str:
    if rate is None:
        return "-"
    value, low, high = rate.interval
    text = percent(rate.interval)
    counts = f"<small>{rate.counts[0]} of {rate.counts[1]}</small>" if rate.counts else ""
    if rate.sure is not None:
        good, answered = rate.sure
        sure = f"{percent(wilson(good, answered))}, {good} of {answered}" if answered else "no episode"
        counts += f"<small>where sure: {sure}</small>"
    return text + counts + measured_bar(low, value, high, "var(--dream)", f"{alt}: {text}")


def percent(interval: Interval) -> str:
    """`85 % [64, 95]`"""
    return f"{100 * interval.value:.0f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"


def _difference(rate: Rate | None, first: Rate | None) -> str:
    if rate is None or first is None:
        return "-"
    value, low, high = (100 * x for x in difference_of_estimates(rate.interval, first.interval))
    text = f"{value:+.0f} [{low:+.0f}, {high:+.0f}]"
    return f'<span class="apart">{text}</span>' if low > 0 or high < 0 else text


def _shared(runs: Sequence[Run]) -> str:
    """How many episodes only the one and only the other run reached, where two runs of one policy each share
    episodes."""
    sides = [{(o.task, o.seed): o.success for o in run.outcomes if o.world == "real"} for run in runs]
    single = all(len({o.policy for o in run.outcomes}) == 1 for run in runs)
    said = ""
    for run, side in zip(runs[1:], sides[1:], strict=True):
        both = [key for key in sides[0] if key in side]
        if single and both:
            here, there = (sum(x[key] and not y[key] for key in both) for x, y in ((side, sides[0]), (sides[0], side)))
            said += (
                f" Of {len(both)} episodes that {_(run.name)} and {_(runs[0].name)} share, "
                f"only the former reached {here}, only the latter {there}."
            )
    return said


def _per_task(runs: Sequence[Run]) -> str:
    tasks = list(dict.fromkeys(o.task for run in runs for o in run.outcomes))
    columns = [(run, p, w) for run in runs for p, w in dict.fromkeys((o.policy, o.world) for o in run.outcomes)]
    if len(tasks) < 2:
        return ""
    name_runs = len(runs) > 1
    head = ["task"]
    for run, policy, world in columns:
        head.append((f"{run.name}: " if name_runs else "") + policy + ("" if world == "real" else f", {world}"))
    rows = []
    for task in tasks:
        row = [_(task)]
        for run, policy, world in columns:
            good, n = run.successes(policy, world, task)
            row.append(f"{good} of {n}<small>{percent(wilson(good, n))}</small>" if n else "-")
        rows.append(row)
    return table(head, rows, "Task by task.", raw=True)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", raw: bool = False, label: str | None = None
) -> str:
    """A table that scrolls sideways where it is wide. Cells are text, or HTML where they are `raw`; the first one of a
    row names it. `label` names the table where it has no caption, and has to differ from those of the other tables.
    Columns
    without a value are left out: runs that have nothing in common have no differences."""
    kept = [i for i, _title in enumerate(head) if i == 0 or not rows or any(row[i] != "-" for row in rows)]
    head, rows = [head[i] for i in kept], [[row[i] for i in kept] for row in rows]
    text = str if raw else _
    titles = "".join(f'<th scope="col">{_(cell)}</th>' if cell else "<td></td>" for cell in head)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    label = label or caption.rstrip(".") or ", ".join(cell for cell in head if cell)
    said = f"<caption>{_(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{_(label)}"><table class="compact">{said}'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )
