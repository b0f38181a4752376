"""The page of `presage report`: one HTML file with everything inside, one column a run."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from presage.interface.pages.page import _, document, points_table
from presage.interface.pages.plots import Point, scatter
from presage.interface.pages.report_abstention import abstention
from presage.interface.pages.report_figures import all_figures, curves, goals
from presage.interface.pages.report_tables import rates, success_tables, table
from presage.measures.calibration import calibration_line
from presage.results.output import show, show_correlation
from presage.results.runs import Footage, Outcome, Run

FILM_BYTES = 14_000_000
"""Films of a page together; as text they take a third more, which stays below the 20 MB that a mail may have."""
MOST_EPISODES = 2_000
FILMING = ("act", "evaluate", "plan", "synthesize", "demo")


@dataclass(frozen=True)
class Page:
    """The text, and what had to be left out, in words."""

    text: str
    left_out: list[str]


def render(runs: Sequence[Run]) -> Page:
    """The page of one or more runs."""
    films, left_out = _films(runs)
    sections = [
        ("success", "Success", success_tables(runs)),
        ("imagination", "Imagination against the simulator", _imagination(runs)),
        ("abstention", "Where imagination cannot tell", abstention(runs)),
        ("films", "Films", films),
        ("curves", "Curves", curves(runs)),
        ("goals", "Goals", goals(runs)),
        ("figures", "All figures", all_figures(runs)),
        ("episodes", "Episodes", _episodes(runs)),
        ("repeat", "Repeat it", _repeat(runs)),
    ]
    sections = [section for section in sections if section[2]]
    toc = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, title, _body in sections)
    text = "".join(f'<section id="{key}"><h2>{title}</h2>{body}</section>\n' for key, title, body in sections)
    title = "presage report: " + ", ".join(run.name for run in runs)
    kinds = ", ".join(f"<b>{_(run.name)}</b> ({_(run.what)})" for run in runs)
    several = " One column a run; differences are to the first, with 95 % intervals." if len(runs) > 1 else ""
    lead = f'<h1>{_(title)}</h1><p class="lead">{kinds}.{several}</p>'
    body = f'{lead}<nav aria-label="Sections"><ul class="toc">{toc}</ul></nav>\n{text}'
    style, script = ((files("presage.interface.pages") / f"report.{kind}").read_text() for kind in ("css", "js"))
    return Page(document(title, body, style, script), left_out)


# -- imagination ------------------------------------------------------------------------------------------------------


def _imagination(runs: Sequence[Run]) -> str:
    parts = []
    for run in runs:
        found = rates(run)
        points = [
            Point(name, dreamt.interval.value, real.interval.value, dreamt.interval[1:], real.interval[1:])
            for name, real in found.items()
            for dreamt in [found.get(f"{name}, imagined")]
            if dreamt is not None
        ]
        if not points:
            continue
        points.sort(key=lambda p: -p.real)
        head = f"<h3>{_(run.name)}</h3>" if len(runs) > 1 else ""
        text = (
            "<p>Each letter is a policy that ran in both worlds from the same first frames; lines span "
            "its 95 % intervals. "
            f"On the dashed line imagination is right about it. {_agreement(run, points)}</p>"
        )
        confusion = _confusion(run, [p.name for p in points])
        parts.append(
            f'{head}<div class="plot">{scatter(points)}<div>{text}{points_table(points)}</div></div>{confusion}'
        )
    return "".join(parts)


def _agreement(run: Run, points: Sequence[Point]) -> str:
    said = []
    for name, word in (("pearson", "Pearson's r"), ("spearman", "Spearman's rank correlation")):
        if run.figures.get(name) is not None:
            said.append(f"{word} is {show_correlation(run.figures, name)}")
    if run.figures.get("mmrv") is not None:
        said.append(f"the mean maximum rank violation {show(run.figures['mmrv'])}")
    if len({p.imagined for p in points}) > 1:
        line = calibration_line(imagined=[p.imagined for p in points], real=[p.real for p in points])
        said.append(f"the calibration line real = {line.slope:.2f} imagined {line.intercept:+.2f}")
    return f"{'; '.join(said)}." if said else ""


def _confusion(run: Run, policies: Sequence[str]) -> str:
    """Episode by episode: where did the dream see what happened?"""
    real = {(o.policy, o.task, o.seed): o.success for o in run.outcomes if o.world == "real"}
    dreamt = {(o.policy, o.task, o.seed): o.success for o in run.outcomes if o.world == "imagined"}
    rows = []
    for policy in policies:
        pairs = [(real[key], dreamt[key]) for key in real if key[0] == policy and key in dreamt]
        if pairs:
            rows.append([policy, *(str(pairs.count(kind)) for kind in _KINDS)])
    head = ["policy", "reached in both", "in the dream only", "in the simulator only", "in neither"]
    caption = f"{run.name}: episodes by outcome. In the dream only: a success that was hallucinated."
    return table(head, rows, caption) if rows else ""


_KINDS = ((True, True), (False, True), (True, False), (False, False))


# -- films ------------------------------------------------------------------------------------------------------------


def _films(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """One player an episode, with the films of all runs and policies; and what is not among them."""
    groups: dict[tuple[str, int], list[tuple[Run, Footage]]] = {}
    for run in runs:
        for film in run.footage:
            groups.setdefault((film.task, film.seed), []).append((run, film))
    left_out, players, room = [], [], FILM_BYTES
    for number, ((task, seed), films) in enumerate(groups.items()):
        shown = []
        for run, film in films:
            missing = [f for f in (film.real, film.imagined) if not f.is_file()]
            if missing:
                left_out.append(f"{missing[0].parent.name}/{missing[0].name} is not beside {run.source}")
                continue
            size = film.real.stat().st_size + film.imagined.stat().st_size
            if size > room:
                left_out.append(
                    f"the film of {task}, seed {seed} ({run.name}, {film.policy}) would make the page too large"
                )
                continue
            room -= size
            shown.append((run, film))
        if shown:
            players.append(_player(number, shown, len(runs) > 1))
    notes = "".join(f"<p>Left out: {_(line)}.</p>" for line in left_out)
    if players:
        what = (
            "<p>The simulator beside the imagination. In runs of act, plan and demo the model dreams "
            "again what the robot "
            "did, from the first frame and its actions alone; in evaluate the policy acts inside the "
            "dream; in synthesize "
            "the dream came first, and its labels are executed in the simulator.</p>"
        )
        return f'{what}<div class="players">{"".join(players)}</div>{notes}', left_out
    if any(run.what in FILMING for run in runs):
        notes += "<p>None were kept: repeat the command with <code>--films 4</code>.</p>"
    return notes, left_out


def _player(number: int, films: Sequence[tuple[Run, Footage]], name_runs: bool) -> str:
    first = films[0][1]
    last = max(max(f.real_frames, f.imagined_frames) for _run, f in films) - 1
    pairs = "".join(
        f'<div class="pair"><div class="films">{_side(film, "real")}{_side(film, "imagined")}</div>'
        f"<p><b>{_(f'{run.name}, {film.policy}' if name_runs else film.policy)}</b> {_(film.caption)}</p></div>"
        for run, film in films
    )
    title = f"{first.instruction} ({first.task}, seed {first.seed})"
    time = (
        f'<div class="time" hidden><button type="button" aria-label="Play or pause: {_(title)}">Play</button>'
        f'<input type="range" min="0" max="{last}" value="0" step="1" aria-label="Time of: {_(title)}">'
        "<output></output></div>"
    )
    many = " many" if len(films) > 1 else ""
    return (
        f'<figure class="player{many}" id="film-{number}" data-fps="{first.fps:g}">'
        f"<figcaption><b>“{_(first.instruction)}”</b> {_(first.task)}, seed {first.seed}</figcaption>"
        f'{time}<div class="pairs">{pairs}</div></figure>\n'
    )


def _side(film: Footage, side: str) -> str:
    path: Path = getattr(film, side)
    frames = getattr(film, f"{side}_frames")
    data = base64.b64encode(path.read_bytes()).decode()
    mark = "r" if side == "real" else "d"
    alt = f"{side}: {film.instruction}. {film.policy}. {film.caption}"
    return (
        f'<div><div class="sides"><span class="{mark}">{side}</span></div>'
        f'<video muted playsinline controls data-last="{frames - 1}" aria-label="{_(alt)}" '
        f'src="data:video/mp4;base64,{data}"></video></div>'
    )


# -- episodes ---------------------------------------------------------------------------------------------------------


def _episodes(runs: Sequence[Run]) -> str:
    """Every episode: who reached its goal, in which run and world."""
    groups: dict[tuple[str, int], list[tuple[Run, Outcome]]] = {}
    for run in runs:
        for outcome in run.outcomes:
            groups.setdefault((outcome.task, outcome.seed), []).append((run, outcome))
    if not groups:
        return ""
    filmed = list(dict.fromkeys((film.task, film.seed) for run in runs for film in run.footage))
    ordered = sorted(groups.items())
    tasks = dict.fromkeys(task for (task, _seed), _found in ordered)
    options = "".join(f"<option>{_(task)}</option>" for task in tasks)
    outcomes = "".join(f'<option value="{key}">{words}</option>' for key, words in _OUTCOMES.items())
    filters = (
        '<div class="filter" hidden>'
        f'<label>Task <select><option value="">all</option>{options}</select></label>'
        f'<label>Outcome <select><option value="">all</option>{outcomes}</select></label><output></output></div>'
    )
    shown = "".join(
        _episode(task, seed, found, filmed, len(runs) > 1) for (task, seed), found in ordered[:MOST_EPISODES]
    )
    rest = len(ordered) - MOST_EPISODES
    more = f"<p>and {rest:,} more, which are in the result files.</p>" if rest > 0 else ""
    return f"<p>An episode is a task and a seed: the same first frame for everybody.</p>{filters}{shown}{more}"


_OUTCOMES = {"all": "reached by all", "some": "reached by some", "none": "reached by none"}


def _episode(
    task: str, seed: int, found: Sequence[tuple[Run, Outcome]], filmed: Sequence[tuple[str, int]], name_runs: bool
) -> str:
    good = sum(o.success for _run, o in found)
    outcome = "all" if good == len(found) else "some" if good else "none"
    said = f"reached by {good} of {len(found)}" if len(found) > 1 else ("reached" if good else "not reached")
    rows = [
        [
            *([run.name] if name_runs else []),
            o.policy,
            {"real": "simulator", "imagined": "dream"}.get(o.world, o.world),
            o.instruction,
            "reached" if o.success else "not reached",
            str(o.steps),
        ]
        for run, o in found
    ]
    head = [*(["run"] if name_runs else []), "policy", "world", "told", "outcome", "chunks"]
    film = ""
    if (task, seed) in filmed:
        film = f'<p><a href="#film-{filmed.index((task, seed))}">Film of {_(task)}, seed {seed}</a></p>'
    return (
        f'<details class="episode" data-task="{_(task)}" data-outcome="{outcome}"><summary>{_(task)}, seed '
        f"{seed}: {said}"
        f"</summary><div>{table(head, rows, label=f'{task}, seed {seed}')}{film}</div></details>\n"
    )


# -- what repeats them ------------------------------------------------------------------------------------------------


def _repeat(runs: Sequence[Run]) -> str:
    out = []
    for run in runs:
        head = f"<h3>{_(run.name)}</h3>" if len(runs) > 1 else ""
        command = (
            f'<pre tabindex="0">{_(run.command)}</pre>'
            if run.command
            else "<p>The result does not say which command.</p>"
        )
        facts = {"result": run.source, **run.facts}
        listed = "".join(f"<dt>{_(name)}</dt><dd>{_(value)}</dd>" for name, value in facts.items())
        out.append(f"{head}{command}<dl>{listed}</dl>")
    return "".join(out)
