"""The page of `presage dream`: the verdict, the films and the curves in one HTML file."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from presage.interface.pages.page import _, document
from presage.interface.pages.plots import Series, lines
from presage.interface.pages.report_tables import table
from presage.results.clips import encode_mp4, one_side
from presage.results.output import show

if TYPE_CHECKING:
    from presage.measures.statistics import Interval
    from presage.simulator.gate.measure import Filmed, Measured
    from presage.simulator.gate.verdict import Verdict

STYLE = ".films{flex-wrap:wrap}.films div{flex:1 1 9rem;max-width:16rem}.verdict{font-size:1.6rem;font-weight:600}"


@dataclass(frozen=True)
class Gate:
    """What the page shows."""

    title: str
    found: "Measured"
    verdict: "Verdict"
    filmed: "Filmed"
    fps: float
    about: Sequence[tuple[str, str]]
    command: str


def render(gate: Gate) -> str:
    """The page as text."""
    from presage.simulator.gate.figures import rows_of
    from presage.simulator.gate.verdict import MARGIN, beats_until

    found, verdict = gate.found, gate.verdict
    facts = "".join(f"<dt>{_(name)}</dt><dd>{_(value)}</dd>" for name, value in gate.about)
    rises = [[f"error with actions: {name}", _interval(x)] for name, x in verdict.rise.items()]
    rises.append(["error over the copied frame's", _interval(verdict.over_copy)])
    until = "".join(
        f"<li>{_(camera)}: {beats_until(found, i)} of {found.steps} steps</li>"
        for i, camera in enumerate(found.cameras)
    )
    cameras = "".join(_camera(found, i, dict(rows_of(found, i))) for i in range(len(found.cameras)))
    body = f"""<h1>{_(gate.title)}</h1>
<p class="verdict">{_(verdict.says)}</p>
<p class="lead">{_(verdict.reason[:1].upper() + verdict.reason[1:])}.</p>
<p>The model is shown the beginning of recorded clips and dreams what the recorded actions lead to. Then it is given
wrong actions: those of another episode, none, the first one again and again, and its own in another order. A model that
listens is then further from what was recorded. It is said to listen where other episodes' actions surely make its
error, on the pixels that move, more than {MARGIN:g} times as large, and where it is surely better than the copied
frame. Intervals hold 95 % of a bootstrap over {verdict.episodes} episodes; the verdict is about the first
{verdict.steps} steps.</p>
{table(["first steps, pixels that move", "times [95 %]"], rises)}
<p>So many steps, from the first on, the dream is surely better than both the copied and the mean frame, over all
pixels:</p><ul>{until}</ul>
<h2>Films</h2>
{_films(gate)}
{cameras}
<h2>What was asked</h2>
<dl>{facts}</dl>
<h2>Repeat it</h2>
<pre tabindex="0">{_(gate.command)}</pre>"""
    css, script = ((files("presage.interface.pages") / f"report.{kind}").read_text() for kind in ("css", "js"))
    return document(gate.title, body, css + STYLE, script)


def _interval(x: "Interval") -> str:
    return f"{show(x.value)} [{show(x.low)}, {show(x.high)}]"


def _camera(found: "Measured", camera: int, rows: dict[str, np.ndarray]) -> str:
    from presage.simulator.gate.figures import horizons

    steps = horizons(found.steps)
    plots = [
        ("Pixels that move", "dB", {n.partition(", ")[0]: y for n, y in rows.items() if "pixels that move" in n}),
        ("All pixels", "dB", {n.partition(", ")[0]: y for n, y in rows.items() if "all pixels" in n}),
        (
            "Sensitivity to actions",
            "share of motion",
            {n: rows[n] for n in ("sensitivity to actions", "the same actions again")},
        ),
        ("Drift", "levels of 255", {"where nothing moves": rows["drift, levels"]}),
        ("Sharpness", "of the recording's", {"dreamed": rows["sharpness"]}),
    ]
    drawn = "".join(_plot(title, label, series) for title, label, series in plots)
    numbers = [[name, *(show(float(values[s - 1])) for s in steps)] for name, values in rows.items()]
    head = ["after so many steps", *map(str, steps)]
    name = found.cameras[camera]
    return f'<h2>Camera {_(name)}</h2><div class="plots">{drawn}</div>{table(head, numbers, f"Camera {name}.")}'


def _plot(title: str, label: str, series: dict[str, np.ndarray]) -> str:
    known = []
    for name, values in series.items():
        points = [(i + 1.0, float(y)) for i, y in enumerate(values) if math.isfinite(y)]
        if points:
            known.append(Series(name, *zip(*points, strict=True)))
    if not known:
        return ""
    return f"<div><h3>{_(title)}</h3>{lines(title, 'step', label, known)}</div>"


def _films(gate: Gate) -> str:
    clips, cameras = gate.filmed.clips, gate.found.cameras
    if not len(clips):
        return "<p>None were asked for.</p>"
    players = []
    for i in range(len(clips)):
        first = clips.shown.frames[i, -1:]
        sides = {"recorded": clips.truth[i], **{name: frames[i] for name, frames in gate.filmed.frames.items()}}
        films = "".join(
            _film(name, np.concatenate([first, frames]), cameras, gate.fps) for name, frames in sides.items()
        )
        said = clips.shown.instructions[i]
        players.append(
            f'<figure class="player many" id="film-{i}" data-fps="{gate.fps:g}"><figcaption><b>“{_(said)}”</b> '
            f"from row {clips.row[i]}</figcaption>"
            f'<div class="time" hidden><button type="button" aria-label="Play or pause film {i + 1}">Play</button>'
            f'<input type="range" min="0" max="{clips.steps}" value="0" step="1" aria-label="Time of film {i + 1}">'
            f'<output></output></div><div class="films">{films}</div></figure>\n'
        )
    return f'<div class="players">{"".join(players)}</div>'


def _film(name: str, frames: np.ndarray, cameras: Sequence[str], fps: float) -> str:
    """frames: (T, C, S, S, 3)"""
    film = one_side({camera: frames[:, i] for i, camera in enumerate(cameras)})
    data = base64.b64encode(encode_mp4(film, fps)).decode()
    mark = "r" if name == "recorded" else "d"
    return (
        f'<div><div class="sides"><span class="{mark}">{_(name)}</span></div><video muted playsinline controls '
        f'data-last="{len(frames) - 1}" aria-label="{_(name)}" src="data:video/mp4;base64,{data}"></video></div>'
    )
