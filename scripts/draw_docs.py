"""Draw the figures of the documentation as SVG: docs/images/*.svg and docs/images/uses/*.svg.

They follow the reader's light or dark setting, tell everything by shape and words as well as by colour, and need no
font from anywhere. The attention figure asks the rule of the code itself. `python scripts/draw_docs.py` writes them
again.
"""

import html
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from presage.timeline.attention import Tokens, teacher_forced

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STYLE = """
svg{--ink:#15181c;--soft:#5a6370;--line:#9aa4b0;--given:#38424d;--dream:#1659c7;--paper:#fff}
@media(prefers-color-scheme:dark){svg{--ink:#e6e9ec;--soft:#a5aeb8;--line:#6b7682;--given:#ccd4db;--dream:#7fb2ff;--paper:#14171a}}
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.s{fill:var(--soft);font-size:12px}.b{font-weight:600}.m{text-anchor:middle}.e{text-anchor:end}
.given{fill:var(--given);stroke:var(--given)}.on{fill:var(--paper)}
.dream{fill:none;stroke:var(--dream);stroke-width:2;stroke-dasharray:5 3}
.none{fill:none;stroke:var(--line);stroke-dasharray:1 4}
.box{fill:none;stroke:var(--line)}.way{fill:none;stroke:var(--soft);stroke-width:1.5}.tip{fill:var(--soft)}
.d{fill:var(--dream)}.gone{stroke:var(--soft);stroke-width:1.5}
"""


def svg(width: int, height: int, alt: str, body: str) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{html.escape(alt)}">'
    return f"{head}<title>{html.escape(alt)}</title><style>{STYLE}</style>\n{body}\n</svg>\n"


def text(x: float, y: float, words: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{html.escape(words)}</text>'


def box(x: float, y: float, w: float, h: float, kind: str, round_: int = 3) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{round_}" class="{kind}"/>'


def arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    """A line with a tip at its end; horizontal or vertical."""
    if y0 == y1:
        tip = f"{x1:g},{y1:g} {x1 - 7:g},{y1 - 4:g} {x1 - 7:g},{y1 + 4:g}"
    else:
        s = 7 if y1 > y0 else -7
        tip = f"{x1:g},{y1:g} {x1 - 4:g},{y1 - s:g} {x1 + 4:g},{y1 - s:g}"
    return f'<path d="M{x0:g} {y0:g}L{x1:g} {y1:g}" class="way"/><polygon points="{tip}" class="tip"/>'


def timeline() -> str:
    """Streams down, blocks across."""
    streams = ["action", "video.front", "video.top", "state", "value"]
    left, top, w, h, gap = 110, 66, 118, 30, 8
    parts = [text(left, 18, "time", "s")]
    for i in range(4):
        x = left + i * (w + gap)
        parts.append(text(x + w / 2, 40, f"o[{i}]", "m b"))
        if i < 3:
            parts += [
                arrow(x + w / 2 + 18, 36, x + w + gap + w / 2 - 18, 36),
                text(x + w + gap / 2, 29, f"a[{i}]", "m s"),
            ]
        parts.append(box(x - 3, top - 8, w + 6, len(streams) * (h + 6) + 8, "box", 6))
        parts.append(text(x + w / 2, top + len(streams) * (h + 6) + 18, f"block {i}", "m s"))
        for row, stream in enumerate(streams):
            y = top + row * (h + 6)
            if i == 0:
                parts.append(text(left - 14, y + 20, stream, "e"))
            if stream == "action" and i == 0:
                parts += [box(x + 4, y, w - 8, h, "none"), text(x + w / 2, y + 20, "none", "m s")]
            elif stream == "value":
                parts += [box(x + 4, y, w - 8, h, "dream"), text(x + w / 2, y + 20, "asked for", "m")]
            else:
                what = f"a[{i - 1}]" if stream == "action" else f"of o[{i}]"
                parts += [box(x + 4, y, w - 8, h, "given"), text(x + w / 2, y + 20, what, "m on")]
    alt = (
        "The timeline: blocks from left to right, each with the action chunk that led to a frame, the frame of every "
        "camera, the state, and the value, which is asked for. Block 0 has no action."
    )
    return svg(left + 4 * (w + gap) + 4, top + len(streams) * (h + 6) + 30, alt, "\n".join(parts))


MODES = [
    ("joint generation", "1 to 0", "1 to 0", "1 to 0"),
    ("policy, imagination skipped", "absent", "absent", "1 to 0"),
    ("forward dynamics: simulate", "1 to 0", "given", "given"),
    ("inverse dynamics: label", "given", "given", "1 to 0"),
    ("video plan", "1 to 0", "1 to 0", "stays 1"),
    ("value of a future", "given", "given", "given"),
]


def levels() -> str:
    """Uses down; video, state and action across."""
    left, w, h = 210, 150, 34
    streams = enumerate(("video", "state", "action"))
    parts = [text(left + i * (w + 12) + w / 2, 20, name, "m b") for i, name in streams]
    for row, (name, *cells) in enumerate(MODES):
        y = 34 + row * (h + 8)
        parts.append(text(left - 14, y + 22, name, "e"))
        for column, cell in enumerate(cells):
            x = left + column * (w + 12)
            if cell == "given":
                parts += [box(x, y, w, h, "given"), text(x + w / 2, y + 22, "k = 0, given", "m on")]
            elif cell == "1 to 0":
                parts += [
                    box(x, y, w, h, "dream"),
                    text(x + 34, y + 22, "k = 1", "m"),
                    text(x + w - 34, y + 22, "k = 0", "m"),
                ]
                parts.append(arrow(x + 58, y + h / 2, x + w - 58, y + h / 2))
            else:
                words = "not in the block" if cell == "absent" else "k = 1, stays unknown"
                parts += [box(x, y, w, h, "none"), text(x + w / 2, y + 22, words, "m s")]
    listed = "; ".join(f"{name}: video {video}, state {state}, action {action}" for name, video, state, action in MODES)
    height = 34 + len(MODES) * (h + 8)
    return svg(left + 3 * w + 32, height, f"Noise levels of the next block in every mode. {listed}.", "\n".join(parts))


def attention(window: int = 1, blocks: int = 4) -> str:
    """The mask of the code's own rule, one token a block: clean blocks, then noisy copies of all but the first."""
    block = torch.tensor([*range(blocks), *range(1, blocks)])
    copy = torch.tensor([0] * blocks + list(range(1, blocks)))
    query = torch.zeros(len(block), dtype=torch.bool)
    acts = torch.zeros_like(query)  # this rule does not ask who acts
    tokens = Tokens(step=block, copy=copy, first=block, acts=acts, unseen=query)
    mask = teacher_forced(window)(tokens, tokens)
    names = [f"{'C' if c == 0 else 'N'}{b}" for b, c in zip(block.tolist(), copy.tolist(), strict=True)]
    left, top, side = 96, 56, 34
    parts = [text(left, 18, "looks at", "s"), text(14, top - 10, "who looks", "s")]
    for i, name in enumerate(names):
        parts += [
            text(left + i * side + side / 2, top - 10, name, "m"),
            text(left - 12, top + i * side + 22, name, "e"),
        ]
        for j in range(len(names)):
            kind = "none" if not mask[i, j] else "given" if copy[j] == 0 else "dream"
            parts.append(box(left + j * side + 2, top + i * side + 2, side - 4, side - 4, kind))
    x = left + len(names) * side + 24
    for row, (kind, words) in enumerate(
        [("given", "sees a clean block"), ("dream", "sees its own noisy block"), ("none", "sees nothing")]
    ):
        y = top + row * 34
        parts += [box(x, y, 22, 22, kind), text(x + 32, y + 16, words)]
    parts += [
        text(x, top + 130, "C: clean, as it was recorded", "s"),
        text(x, top + 150, "N: noisy, to be denoised", "s"),
    ]
    seen = "; ".join(f"{n} sees {', '.join(m for j, m in enumerate(names) if mask[i, j])}" for i, n in enumerate(names))
    alt = f"The attention rule with a window of {window}, one row for each block that looks. {seen}."
    return svg(x + 210, top + len(names) * side + 12, alt, "\n".join(parts))


def session() -> str:
    """observe, imagine, ground, fork, rewind."""
    w, h, gap, left = 62, 34, 22, 120
    parts: list[str] = []

    def row(y: float, name: str, cells: Sequence[str], words: str) -> None:
        parts.append(text(left - 16, y + 22, name, "e b"))
        for i, cell in enumerate(cells):
            x = left + i * (w + gap)
            if i:
                parts.append(arrow(x - gap + 3, y + h / 2, x - 3, y + h / 2))
            kind = "given" if cell[0] == "o" else "dream"
            parts.append(box(x, y, w, h, kind))
            parts.append(text(x + w / 2, y + 22, cell[1:], "m on" if cell[0] == "o" else "m"))
        parts.append(text(left + 6 * (w + gap) + 4, y + 22, words, "s"))

    row(12, "observe", ["oo[0]", "oo[1]", "oo[2]"], "real frames, kept as keys and values")
    row(62, "imagine", ["oo[0]", "oo[1]", "oo[2]", "~3", "~4", "~5"], "steps into what it denoised")
    row(112, "observe", ["oo[0]", "oo[1]", "oo[2]", "oo[3]"], "truth comes: what was imagined is dropped")
    row(162, "fork(3)", ["oo[0]", "oo[1]", "oo[2]", "oo[3]", "~4a", "~5a"], "several futures of one past,")
    x = left + 4 * (w + gap)
    for i, letter in enumerate("bc", 1):
        y = 162 + i * 44
        parts.append(f'<path d="M{x - gap / 2} {162 + h / 2}V{y + h / 2}" class="way"/>')
        for j, number in enumerate((4, 5)):
            xx = x + j * (w + gap)
            start = xx - gap / 2 if j == 0 else xx - gap + 3
            parts += [arrow(start, y + h / 2, xx - 3, y + h / 2), box(xx, y, w, h, "dream")]
            parts.append(text(xx + w / 2, y + 22, f"{number}{letter}", "m"))
    parts.append(text(left + 6 * (w + gap) + 4, 206 + 22, "which is shared and not copied", "s"))
    row(300, "rewind(2)", ["oo[0]", "oo[1]", "oo[2]"], "forgets what came after")
    alt = (
        "A session. Observe appends real frames. Imagine appends imagined ones. The next observe drops "
        "the imagined ones "
        "and appends the truth. Fork makes several futures that share one past. Rewind forgets what came after a step."
    )
    return svg(920, 346, alt, "\n".join(parts))


USES = {
    "joint": "o frame, ~ next frame + action, a execute, @ look again",
    "closed_loop": "o frame, ~ next frame, i read the action, a execute, @ look again",
    "open_loop": "o frame, ~ 16 frames, i read 16 actions, a execute all",
    "representation": "o frame, ~ one pass only, i head reads features, a execute, @ look again",
    "planning": "o frame, ~ several futures, i best value, a its first action, @ look again",
    "evaluation": "o frame, i any policy acts, ~ imagined frame, @ until success is seen",
    "synthesis": "o frame, ~ a whole episode, i read its actions, i a dataset",
}
"""o: seen; ~: imagined; i: computed; a: executed by the robot; @: back to the start"""


def use(name: str) -> str:
    """What happens from one real frame on."""
    w, h, gap = 142, 48, 26
    steps = [(step[0], step[2:]) for step in USES[name].split(", ")]
    parts = []
    boxes = [step for step in steps if step[0] != "@"]
    for i, (kind, words) in enumerate(boxes):
        x = 6 + i * (w + gap)
        if i:
            parts.append(arrow(x - gap + 3, 6 + h / 2, x - 3, 6 + h / 2))
        parts.append(box(x, 6, w, h, {"o": "given", "~": "dream"}.get(kind, "box"), 24 if kind == "a" else 3))
        parts.append(text(x + w / 2, 6 + h / 2 + 5, words, f"m {'on' if kind == 'o' else ''}"))
    width = 6 + len(boxes) * (w + gap) - gap + 6
    height = 60
    if steps[-1][0] == "@":
        first, last = 6 + w / 2 + (w + gap if name == "evaluation" else 0), width - 6 - w / 2
        parts.append(f'<path d="M{last:g} {6 + h}V84H{first:g}" class="way"/>')
        parts += [arrow(first, 84, first, 6 + h + 3), text((first + last) / 2, 79, steps[-1][1], "m s")]
        height = 92
    alt = f"{name.replace('_', ' ')}: " + ", then ".join(words for _kind, words in steps) + "."
    return svg(int(width), height, alt, "\n".join(parts))


def all_figures() -> dict[Path, str]:
    """File -> its text."""
    concepts = {"timeline": timeline(), "levels": levels(), "attention": attention(), "session": session()}
    uses = {IMAGES / "uses" / f"{name}.svg": use(name) for name in USES}
    return {IMAGES / f"{name}.svg": figure for name, figure in concepts.items()} | uses


if __name__ == "__main__":
    for path, figure in all_figures().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(figure)
    sys.stdout.write(f"{len(all_figures())} figures in {IMAGES.name}/\n")
