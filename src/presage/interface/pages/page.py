"""The frame of every page, and the page of a demo: one HTML file with everything inside, for phones and for the dark.

No script, no font, no picture is fetched from anywhere: videos are data, drawings are SVG.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from presage.interface.pages.plots import Point, letter, measured_bar, scatter
from presage.results.clips import Clip, encode_mp4, side_by_side

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; media-src data:; img-src data:"

PALETTE_LIGHT = "--paper:#fff;--ink:#15181c;--soft:#5a6370;--line:#dde2e7;--real:#38424d;--dream:#1659c7;--fill:#f3f5f8"
PALETTE_DARK = (
    "--paper:#14171a;--ink:#e6e9ec;--soft:#98a2ad;--line:#2e353c;--real:#ccd4db;--dream:#7fb2ff;--fill:#1d2126"
)

STYLE = f"""
:root{{color-scheme:light dark;{PALETTE_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{PALETTE_DARK}}}}}
*{{box-sizing:border-box}}
body{{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}}
main{{max-width:66rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}}
h1{{font-size:2.4rem;line-height:1.1;margin:0 0 .4rem;letter-spacing:-.02em}}
h2{{font-size:1.35rem;line-height:1.25;margin:3rem 0 .5rem}}
p{{max-width:42rem;margin:.5rem 0}}
.lead{{font-size:1.12rem}}
.soft,figcaption,td small{{color:var(--soft)}}
.clips{{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1.5rem 1.25rem}}
.clips{{margin:1.25rem 0}}
figure{{margin:0}}
figcaption{{font-size:.9rem;line-height:1.4;margin-top:.4rem}}
figcaption b{{color:var(--ink);font-weight:600}}
.sides{{display:flex;font-weight:600;font-size:.8rem;line-height:1.7}}
.sides span{{flex:1}}
.sides .r{{color:var(--real)}}
.sides .d{{color:var(--dream)}}
video{{width:100%;display:block;background:#808080;border-radius:3px}}
.scroll{{overflow-x:auto}}
table{{border-collapse:collapse;width:100%;font-size:.92rem;line-height:1.4;margin:1rem 0}}
th{{text-align:left;font-weight:600;color:var(--soft);font-size:.8rem}}
th,td{{padding:.55rem .8rem .55rem 0;border-bottom:1px solid var(--line);vertical-align:top}}
td:first-child{{min-width:9.5rem}}
.points td:first-child{{min-width:0}}
td small{{display:block;line-height:1.35;font-size:.82rem}}
td.n{{white-space:nowrap;font-variant-numeric:tabular-nums}}
svg{{display:block;max-width:100%}}
svg text{{font-size:12px;fill:var(--soft)}}
a{{color:var(--dream)}}
.bar{{margin-top:.3rem}}
.rates{{display:flex;flex-wrap:wrap;gap:1rem 2.5rem;margin:1rem 0}}
.rates div{{font-size:.85rem;line-height:1.3;color:var(--soft)}}
.rates b{{display:block;font-size:1.7rem;font-weight:600;line-height:1.2;color:var(--ink)}}
.plot{{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));gap:1rem 2.5rem;
align-items:start}}
pre{{background:var(--fill);padding:.8rem 1rem;overflow-x:auto;font-size:.85rem;border-radius:3px}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem;font-size:.88rem;line-height:1.45}}
dt{{color:var(--soft)}}
dd{{margin:0;overflow-wrap:anywhere}}
@media (max-width:40rem){{
main{{padding:1.5rem 1rem 3rem}}
h1{{font-size:1.9rem}}
.uses thead{{display:none}}
.uses tr{{display:grid;grid-template-columns:1fr 1fr;border-bottom:1px solid var(--line);padding:.7rem 0}}
.uses td{{border:0;padding:.15rem .6rem .15rem 0}}
.uses td:first-child{{grid-column:1/-1}}
.uses td.t{{display:none}}
}}
"""


@dataclass(frozen=True)
class Measured:
    """A figure with its interval: `text` is how it is printed; bounds in [0, 1] (a rate) are drawn as a bar."""

    label: str
    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Use:
    """One row of the table."""

    number: str
    name: str
    what: str
    figure: Measured
    control: Measured
    seconds: float


@dataclass(frozen=True)
class Report:
    """Everything a page shows."""

    title: str
    lead: str
    uses: Sequence[Use]
    clips: Sequence[Clip]
    points: Sequence[Point]
    agreement: str
    rates: Sequence[tuple[str, str]]
    """(number, what it is)"""
    command: str
    facts: Sequence[tuple[str, str]] = field(default_factory=list)
    notes: Sequence[str] = field(default_factory=list)


def render(report: Report) -> str:
    """The page as text."""
    clips = "".join(_clip(clip) for clip in report.clips)
    rates = "".join(f"<div><b>{_(number)}</b>{_(what)}</div>" for number, what in report.rates)
    facts = "".join(f"<dt>{_(name)}</dt><dd>{_(value)}</dd>" for name, value in report.facts)
    notes = "".join(f"<p>{_(note)}</p>" for note in report.notes)
    ordered = sorted(report.points, key=lambda p: -p.real)
    body = f"""<h1>{_(report.title)}</h1>
<p class="lead">{_(report.lead)}</p>
<h2>What happened, and what the model saw coming</h2>
<p>Left, the simulator. Right, the model's imagination: it is shown the first frame and the actions the robot then
took, nothing else.</p>
<div class="clips">{clips}</div>
<h2>Seven uses of one model</h2>
<p>Each beside the control that could refute it. Bars span the 95 % interval; the tick is the figure.</p>
{_table(report.uses)}
{notes}
<h2>Does imagination know which policy is better?</h2>
<div class="plot">{scatter(ordered)}<div><p>{_(report.agreement)}</p>{points_table(ordered)}</div></div>
<h2>Speed on this machine</h2>
<div class="rates">{rates}</div>
<h2>Repeat it</h2>
<pre>{_(report.command)}</pre>
<dl>{facts}</dl>"""
    return document(report.title, body)


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """A whole page around `body`. Its policy forbids the browser to fetch anything from anywhere."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{_(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
<main>
{body}
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _(text: str) -> str:
    return html.escape(text)


def _clip(clip: Clip) -> str:
    data = base64.b64encode(encode_mp4(side_by_side(clip), clip.fps)).decode()
    label = f"Two videos side by side, real and imagined: {clip.title}. {clip.caption}"
    return (
        '<figure><div class="sides"><span class="r">real</span><span class="d">imagined</span></div>'
        f'<video controls loop muted autoplay playsinline aria-label="{_(label)}" src="data:video/mp4;base64,{data}">'
        f"</video><figcaption><b>“{_(clip.title)}”</b> {_(clip.caption)}</figcaption></figure>\n"
    )


def _table(uses: Sequence[Use]) -> str:
    rows = "".join(
        f"<tr><td>{_(use.number)} <b>{_(use.name)}</b><small>{_(use.what)}</small></td>"
        f"<td>{_measured(use.figure, 'var(--dream)')}</td><td>{_measured(use.control, 'var(--soft)')}</td>"
        f'<td class="n t">{use.seconds:.0f} s</td></tr>'
        for use in uses
    )
    head = "<tr><th>use</th><th>figure</th><th>control</th><th>took</th></tr>"
    return f'<div class="scroll"><table class="uses"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _measured(figure: Measured, colour: str) -> str:
    text = f"{_(figure.text)}<small>{_(figure.label)}</small>"
    if figure.value is None or figure.low is None or figure.high is None:
        return text
    return text + measured_bar(figure.low, figure.value, figure.high, colour, f"{figure.label}: {figure.text}")


def points_table(points: Sequence[Point]) -> str:
    """The points of a scatter, by their letters."""
    rows = "".join(
        f'<tr><td>{letter(i)}</td><td>{_(p.name)}</td><td class="n">{100 * p.imagined:.0f} %</td>'
        f'<td class="n">{100 * p.real:.0f} %</td></tr>'
        for i, p in enumerate(points)
    )
    head = "<tr><th>point</th><th>policy</th><th>imagined</th><th>real</th></tr>"
    return f'<table class="points"><thead>{head}</thead><tbody>{rows}</tbody></table>'
