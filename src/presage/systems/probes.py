"""What a model says of held-out recordings: by which schedule, told what, and how far from the truth.

Shapes: P pairs of a row and the one that follows it, T tokens of a stream, C numbers a token, S pixels a side.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from presage.measures.video import frame_errors
from presage.networks.composed import ACTION, IMAGE, Composed
from presage.timeline.backbone import Window
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.training.recorded import Recorded

MOVED = 20
"""A pixel moves where a channel changes by more, of 255."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Rows `now` (P,) of recordings, each followed by another row of its episode."""

    recorded: Recorded
    now: np.ndarray

    @staticmethod
    def of(recorded: Recorded, count: int) -> "Pairs":
        """`count` pairs or as many as there are, evenly over all episodes."""
        last = np.cumsum(recorded.length) - 1
        rows = np.setdiff1d(np.flatnonzero(recorded.labelled), last)
        return Pairs(recorded, rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)])

    @property
    def others(self) -> "Pairs":
        """For each pair one of another episode."""
        return Pairs(self.recorded, np.roll(self.now, len(self.now) // 2))

    def frames(self, source: str, after: int = 0) -> np.ndarray:
        """(P, S, S, 3) uint8 of a camera."""
        return self.recorded.frames[source][self.now + after]


def truth(model: Composed, pairs: Pairs, names: Sequence[str]) -> Values:
    """What is seen after each pair's first row, and what was done there: (P, T, C) of the named streams."""
    values: Values = {}
    for s in (s for s in model.streams if s.name in names):
        if s.source == ACTION:
            values[s.name] = model.encode_action(pairs.recorded.action[pairs.now]).unflatten(-1, (s.tokens, s.dim))
        else:
            values[s.name] = model.encode_images(s.source, pairs.frames(s.source, 1))
    return values


def imagine(model: Composed, pairs: Pairs, schedule: Schedule, given: Values | None = None, seed: int = 0) -> Values:
    """The next step (P, T, C) after each pair's first row."""
    recorded, now = pairs.recorded, pairs.now
    session = Session(model, torch.from_numpy(recorded.text[recorded.instruction[now]]).to(model.device), seed=seed)
    session.observe({**{name: x[now] for name, x in recorded.frames.items()}, "state": recorded.state[now]})
    return session.imagine(schedule, given).values


def by(schedule: Schedule) -> Callable[[Composed, Pairs], Values]:
    """What a model imagines after each pair's first row by a schedule."""
    return lambda model, pairs: imagine(model, pairs, schedule)


def session_of(model: Composed, pairs: Pairs, seed: int = 0) -> Session[Composed]:
    """A session that has seen each pair's first row alone."""
    recorded, now = pairs.recorded, pairs.now
    text = torch.from_numpy(recorded.text[recorded.instruction[now]]).to(model.device)
    session = Session(model, text, seed=seed, context=0)
    session.observe({**{name: x[now] for name, x in recorded.frames.items()}, "state": recorded.state[now]})
    return session


def action_error(model: Composed, pairs: Pairs, values: Values) -> float:
    """Root mean square error of the chunk, in halves of the range of recorded actions."""
    name = next(s.name for s in model.streams if s.acts)
    return _distance(values[name], truth(model, pairs, [name])[name])


def mean_action_error(model: Composed, pairs: Pairs) -> float:
    """That of the mean chunk of the pairs' own instruction: the trivial policy."""
    name = next(s.name for s in model.streams if s.acts)
    true = truth(model, pairs, [name])[name]
    said = pairs.recorded.instruction[pairs.now]
    mean = torch.stack([true[torch.from_numpy(said == i)].mean(0) for i in said])
    return _distance(mean, true)


def frame_error(model: Composed, pairs: Pairs, values: Values) -> float:
    """Mean squared error of imagined frames over the pixels that truly move, in squared 8-bit levels."""
    frames = model.decode_images(values)
    return float(np.mean([_moved(pairs, source, shown) for source, shown in frames.items()]))


def copy_error(pairs: Pairs) -> float:
    """That of the frame before: the trivial prediction."""
    return float(np.mean([_moved(pairs, source, pairs.frames(source)) for source in _sources(pairs)]))


@torch.no_grad()
def change(model: Composed, pairs: Pairs, level: float) -> float:
    """How much the network's answer of half destroyed frames changes when the action, shown at `level`, is exchanged
    for that of another pair: root mean square. At level 1 the action is noise, and should be ignored."""
    names = [s.name for s in model.streams]
    true, other = truth(model, pairs, names), truth(model, pairs.others, names)
    generator = torch.Generator().manual_seed(0)
    noise, noise_of_other = ({n: torch.randn(x.shape, generator=generator) for n, x in true.items()} for _ in range(2))
    recorded, zeros = pairs.recorded, torch.zeros(len(pairs.now), 1, device=model.device)
    condition = model.condition(torch.from_numpy(recorded.text[recorded.instruction[pairs.now]]).to(model.device))
    shown = {
        s.name: model.encode_images(s.source, pairs.frames(s.source))[:, None] for s in model.streams if not s.acts
    }
    history = Window(shown, dict.fromkeys(shown, zeros), zeros.long(), remember=True)
    answers = []
    for actions, noises in ((true, noise), (other, noise_of_other)):
        levels = {s.name: zeros + (level if s.acts else 0.5) for s in model.streams}
        values = {
            s.name: s.corruption.corrupt(
                (actions if s.acts else true)[s.name][:, None],
                levels[s.name],
                (noises if s.acts else noise)[s.name][:, None].to(model.device),
            )
            for s in model.streams
        }
        question = Window(values, levels, zeros.long() + 1, together=True)
        raw = model.backbone([history, question], model.backbone.start(len(zeros)), condition).raw[1]
        answers.append(torch.cat([raw[name].flatten(1) for name in shown], 1))
    return _distance(*answers)


def _sources(pairs: Pairs) -> list[str]:
    return [name for name in pairs.recorded.frames if name.startswith(IMAGE)]


def _moved(pairs: Pairs, source: str, shown: np.ndarray) -> float:
    now, after = pairs.frames(source), pairs.frames(source, 1)
    moves = np.abs(after.astype(int) - now).max(-1) > MOVED
    weight = moves.sum((1, 2))
    errors = frame_errors(shown, after, moves)
    return float(np.nansum(errors * weight) / max(1, weight.sum()))


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt())
