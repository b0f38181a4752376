"""Plots as SVG inside a page: they follow its colours, light or dark, and tell their series apart without any
colour."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 340, 210
"""Narrow enough for a phone; a page sets several side by side."""
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 36
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "1 5", "12 4")
INKS = ("var(--dream)", "var(--ink)", "var(--soft)")
MOST_MARKERS = 8


@dataclass(frozen=True)
class Series:
    """A line: its name and as many x as y, in order of x. All finite."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Point:
    """One policy: success in the dream and in the simulator, and the 95 % bounds of either where they are known."""

    name: str
    imagined: float
    real: float
    imagined_bounds: tuple[float, float] | None = None
    real_bounds: tuple[float, float] | None = None


def measured_bar(low: float, value: float, high: float, colour: str, alt: str) -> str:
    """A rate in [0, 1] with its interval, as a small bar whose tick is the rate."""
    width = 140
    left, tick, right = (width * min(max(x, 0.0), 1.0) for x in (low, value, high))
    return (
        f'<svg class="bar" width="{width}" height="10" viewBox="0 0 {width} 10" role="img" aria-label="{_(alt)}">'
        f'<rect x="0" y="4" width="{width}" height="2" fill="var(--line)"/>'
        f'<rect x="{left:.1f}" y="2" width="{max(right - left, 1):.1f}" height="6" fill="{colour}" opacity=".35"/>'
        f'<rect x="{min(max(tick - 1.5, 0), width - 3):.1f}" y="0" width="3" height="10" fill="{colour}"/></svg>'
    )


def lines(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """A line plot with a legend below. The y axis is logarithmic where all values are positive and span a factor
    of 10."""
    xs = [x for s in series for x in s.x]
    ys = [y for s in series for y in s.y]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) >= 10
    x_ticks, y_ticks = ticks(min(xs), max(xs)), (log_ticks if logarithmic else ticks)(min(ys), max(ys))
    scale = math.log10 if logarithmic else float
    x_low, x_high = min(min(xs), x_ticks[0]), max(max(xs), x_ticks[-1])
    y_low, y_high = scale(min(min(ys), y_ticks[0])), scale(max(max(ys), y_ticks[-1]))

    def at(x: float, y: float) -> tuple[float, float]:
        along = (x - x_low) / ((x_high - x_low) or 1)
        up = (scale(y) - y_low) / ((y_high - y_low) or 1)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
        for tick in y_ticks
        for y in [at(x_low, tick)[1]]
    )
    grid += "".join(
        f'<text x="{at(tick, min(ys))[0]:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick:g}</text>'
        for tick in x_ticks
    )
    drawn, legend = "", ""
    for i, one in enumerate(series):
        places = [at(x, y) for x, y in zip(one.x, one.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        style = f'fill="none" stroke="{_ink(i)}" stroke-width="1.8" stroke-dasharray="{DASHES[i % len(DASHES)]}"'
        step = max(1, math.ceil(len(places) / MOST_MARKERS))
        marks = "".join(_marker(i, x, y) for x, y in places[step // 2 :: step])
        drawn += f'<polyline points="{path}" {style}/>{marks}'
        y = HEIGHT + 16 + 18 * i
        legend += (
            f'<line x1="{LEFT}" x2="{LEFT + 34}" y1="{y - 4}" y2="{y - 4}" {style}/>{_marker(i, LEFT + 17, y - 4)}'
        )
        legend += f'<text x="{LEFT + 42}" y="{y}">{_(one.name)}</text>'
    alt = f"{title}: {y_label} over {x_label}. " + " ".join(
        f"{s.name}: from {s.y[0]:.3g} at {s.x[0]:g} to {s.y[-1]:.3g} at {s.x[-1]:g}." for s in series
    )
    labels = (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">{_(x_label)}</text>'
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}" fill="none" '
        'stroke="var(--line)"/>'
    )
    total = HEIGHT + 8 + 18 * len(series)
    return _svg(WIDTH, total, alt, grid + labels + drawn + legend)


def scatter(points: Sequence[Point]) -> str:
    """Success in the dream against success in the simulator, with the diagonal; a letter names each point, A the
    first."""
    side, margin = 300, 38
    span = side - margin - 10

    def at(imagined: float, real: float) -> tuple[float, float]:
        return margin + span * imagined, 10 + span * (1 - real)

    x0, y0 = at(0, 0)
    x1, y1 = at(1, 1)
    marks = ""
    for i, p in enumerate(points):
        x, y = at(p.imagined, p.real)
        for bounds, horizontal in ((p.imagined_bounds, True), (p.real_bounds, False)):
            if bounds is None:
                continue
            (xa, ya), (xb, yb) = ((at(b, p.real) if horizontal else at(p.imagined, b)) for b in bounds)
            marks += (
                f'<line x1="{xa:.1f}" y1="{ya:.1f}" x2="{xb:.1f}" y2="{yb:.1f}" '
                'stroke="var(--dream)" stroke-opacity=".4"/>'
            )
        marks += (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="var(--dream)" fill-opacity=".75">'
            f"<title>{_(p.name)}</title></circle>"
            f'<text x="{min(x + 7, side - 8):.1f}" y="{max(y - 6, 12):.1f}">{letter(i)}</text>'
        )
    listed = "; ".join(f"{p.name} {100 * p.imagined:.0f} % imagined, {100 * p.real:.0f} % real" for p in points)
    numbers = "".join(
        f'<text x="{at(v, 0)[0]:.0f}" y="{y0 + 15:.0f}" text-anchor="middle">{100 * v:.0f}</text>'
        f'<text x="{x0 - 6:.0f}" y="{at(0, v)[1] + 4:.0f}" text-anchor="end">{100 * v:.0f}</text>'
        for v in (0, 0.5, 1)
    )
    alt = f"Scatter of policies, success in imagination against success in the simulator. {listed}"
    return _svg(
        side,
        side + 24,
        alt,
        f'<rect x="{x0}" y="{y1}" width="{span}" height="{span}" fill="none" stroke="var(--line)"/>'
        f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="var(--soft)" stroke-dasharray="4 4"/>{marks}{numbers}'
        f'<text x="{(x0 + x1) / 2}" y="{y0 + 34}" text-anchor="middle">success in imagination, %</text>'
        f'<text x="12" y="{(y0 + y1) / 2}" text-anchor="middle" transform="rotate(-90 12 {(y0 + y1) / 2})">'
        "success in the simulator, %</text>",
    )


def letter(i: int) -> str:
    """A, B, ... Z, A1, B1, ...: the name of point `i` in a scatter."""
    return chr(ord("A") + i % 26) + (str(i // 26) if i >= 26 else "")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten apart) that lie within `low` ... `high`."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 5, 10) if s * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)] or [low]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around `low` ... `high`, with 2 and 5 between them where they are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    found = [f * 10.0**e for e in range(first, last + 1) for f in factors]
    return [t for t in found if low * 0.999 <= t <= high * 1.001] or [low, high]


def _marker(i: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond, in turn; hollow from the fifth on."""
    look = f'fill="{_ink(i)}"' if i < 4 else f'fill="var(--paper)" stroke="{_ink(i)}"'
    kind = i % 4
    if kind == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" {look}/>'
    shapes = {
        1: [(-3, -3), (3, -3), (3, 3), (-3, 3)],
        2: [(0, -4), (4, 3), (-4, 3)],
        3: [(0, -4), (4, 0), (0, 4), (-4, 0)],
    }
    corners = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[kind])
    return f'<polygon points="{corners}" {look}/>'


def _ink(i: int) -> str:
    return INKS[i % len(INKS)]


def _svg(width: int, height: int, alt: str, inside: str) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg {size} role="img" aria-label="{_(alt)}">{inside}</svg>'


def _(text: str) -> str:
    return html.escape(text)
