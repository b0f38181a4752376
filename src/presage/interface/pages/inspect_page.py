"""The page of `presage inspect`: one HTML file with everything inside."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from presage.episodes.fit import scaled_to_height
from presage.errors import UserError
from presage.interface.pages.page import _, document
from presage.results.clips import encode_mp4
from presage.results.output import show

if TYPE_CHECKING:
    from presage.episodes.survey import Feature, Number, Survey

MOST_CLIPS, MOST_CAMERAS = 6, 4
CLIP_SECONDS, CLIP_HEIGHT = 8.0, 120
MOST_INSTRUCTIONS = 40
BORING = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def render(found: "Survey", figures: Mapping[str, Any], training: str, command: str) -> str:
    """The page as text."""
    data = found.dataset
    facts = "".join(f"<dt>{_(name)}</dt><dd>{_(show(value))}</dd>" for name, value in figures.items())
    features = "".join(_feature(f) for f in found.features if f.name not in BORING)
    body = f"""<h1>{_(data.root.name)}</h1>
<dl>{facts}</dl>
<p>{_(training)}</p>
{_problems("Damage", found.damage, "Nothing that was looked at is damaged.")}
{_problems("Repaired while reading", found.notes, "Everything is as meta/ says.")}
{_problems("Gaps", found.gaps, "Every episode is evenly spaced in time and has all its frames.")}
<h2>What the cameras see</h2>
<div class="clips">{_clips(found)}</div>
<h2>Columns</h2>
{features}
<h2>Instructions</h2>
{_instructions(found)}
<h2>Episode lengths</h2>
{_bars(np.histogram(data.lengths, 24)[0].tolist(), 360, 80)}
<p class="soft">{int(data.lengths.min())} to {int(data.lengths.max())} rows, from left to right.</p>
<h2>Repeat it</h2>
<pre>{_(command)}</pre>"""
    return document(data.root.name, body, ".columns td{vertical-align:middle}")


def _problems(title: str, lines: list[str], none: str) -> str:
    if not lines:
        return f"<h2>{title}</h2><p>{none}</p>"
    rows = "".join(f"<tr><td>{_(line)}</td></tr>" for line in lines)
    return f'<h2>{title}</h2><div class="scroll"><table><tbody>{rows}</tbody></table></div>'


def _feature(feature: "Feature") -> str:
    shape = " x ".join(map(str, feature.shape))
    missing = f", not recorded in {feature.missing:,} rows" if feature.missing else ""
    rows = "".join(_number(number) for number in feature.numbers)
    head = "<tr><th>column</th><th>distribution</th><th>min</th><th>1 %</th><th>mean</th><th>99 %</th><th>max</th></tr>"
    table = f'<div class="scroll"><table class="columns"><thead>{head}</thead><tbody>{rows}</tbody></table></div>'
    title = f'<p><b>{_(feature.name)}</b> <span class="soft">{_(feature.dtype)} {shape}{missing}</span></p>'
    return title + (table if feature.numbers else "<p>No row of it can be read.</p>")


def _number(number: "Number") -> str:
    cells = "".join(
        f'<td class="n">{x:.4g}</td>' for x in (number.low, number.q01, number.mean, number.q99, number.high)
    )
    note = "<small>gripper-like</small>" if number.is_gripper else ""
    return f"<tr><td>{_(number.name)}{note}</td><td>{_bars(number.histogram, 168, 26)}</td>{cells}</tr>"


def _bars(counts: list[int], width: int, height: int) -> str:
    """A histogram."""
    step, top = width / len(counts), max(*counts, 1)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{height - h:.1f}" width="{step - 1:.1f}" height="{h:.1f}" fill="var(--dream)"/>'
        for i, count in enumerate(counts)
        for h in [max(height * count / top, 1.5) if count else 0]
    )
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="Histogram">'
        f'{bars}<rect x="0" y="{height - 1}" width="{width}" height="1" fill="var(--line)"/></svg>'
    )


def _instructions(found: "Survey") -> str:
    shown = found.instructions[:MOST_INSTRUCTIONS]
    rows = "".join(f'<tr><td>{_(text)}</td><td class="n">{count:,}</td></tr>' for text, count in shown)
    rest = len(found.instructions) - len(shown)
    more = f'<p class="soft">and {rest:,} more</p>' if rest else ""
    head = "<tr><th>instruction</th><th>episodes</th></tr>"
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>{more}'


def _clips(found: "Survey") -> str:
    """The beginning of one episode of each frequent instruction, the cameras from left to right."""
    data = found.dataset
    out = []
    for text, _count in found.instructions[:MOST_CLIPS]:
        position = next(i for i, e in enumerate(data.episodes) if (e.instruction.strip() or "(none)") == text)
        try:
            frames = _sample(found, position)
        except UserError:  # it is listed as damage
            continue
        if frames is None:
            continue
        film = base64.b64encode(encode_mp4(frames, min(data.fps, 10.0))).decode()
        caption = f"episode {data.episodes[position].index}, {data.episodes[position].length} rows"
        out.append(
            f'<figure><video controls loop muted playsinline aria-label="{_(text)}" src="data:video/mp4;base64,{film}">'
            f"</video><figcaption><b>“{_(text)}”</b> {caption}</figcaption></figure>\n"
        )
    return "".join(out) or "<p>No video of the sampled episodes can be read.</p>"


def _sample(found: "Survey", position: int) -> np.ndarray | None:
    """(T, H, W, 3) of one episode, at most 10 frames a second."""
    data = found.dataset
    stride = max(1, round(data.fps / 10))
    views = []
    for camera in found.cameras[:MOST_CAMERAS]:
        frames = next(data.iterate_frames([position], camera.name, _small))
        views.append(frames[: round(CLIP_SECONDS * data.fps) : stride])
    return np.concatenate(views, 2) if views else None


def _small(image: np.ndarray) -> np.ndarray:
    return scaled_to_height(image, CLIP_HEIGHT)
