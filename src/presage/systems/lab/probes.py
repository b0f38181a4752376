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
            values[s.name] = model.encode_action(pairs.recorded.action[pairs.now])
        else:
            values[s.name] = model.encode_pictures(s.source, pairs.frames(s.source, 1))
    return values


def imagine(model: Composed, pairs: Pairs, schedule: Schedule, given: Values | None = None, seed: int = 0) -> Values:
    """The next step (P, T, C) after each pair's first row."""
    recorded, now = pairs.recorded, pairs.now
    session = Session(model, torch.from_numpy(recorded.text[recorded.instruction[now]]).to(model.device), seed=seed)
    session.observe(_observation(pairs))
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
    name = action_of(model)
    return _distance(values[name], truth(model, pairs, [name])[name])


def action_of(model: Composed) -> str:
    """The stream of what the robot does next: of a question's own step, or an answer to what is seen."""
    return next(s.name for s in model.streams if s.source == ACTION)


def sampled_error(model: Composed, pairs: Pairs, schedule: Schedule) -> float:
    """The action error where a schedule samples it."""
    return action_error(model, pairs, imagine(model, pairs, schedule))


def forward_errors(model: Composed, pairs: Pairs, schedule: Schedule) -> dict[str, float]:
    """Of frames after a given action, by a schedule of forward dynamics: over what copying the frame before errs, and
    over what the model errs where it is given another pair's action."""
    name = action_of(model)
    frames = [
        frame_error(model, pairs, imagine(model, pairs, schedule, truth(model, told, [name])))
        for told in (pairs, pairs.others)
    ]
    return {
        "forward error / copied frame's, moved pixels": frames[0] / copy_error(pairs),
        "forward error / with other actions": frames[0] / frames[1],
    }


def mean_action_error(model: Composed, pairs: Pairs) -> float:
    """That of the mean chunk of the pairs' own instruction: the trivial policy."""
    name = action_of(model)
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


@dataclass(frozen=True)
class Exchange:
    """What a network answers of half destroyed streams, before and after others beside them are those of another pair.
    Root mean squares."""

    change: float
    """Of the answers"""
    error: float
    """Before, in the numbers that training scores"""
    error_after: float


@torch.no_grad()
def exchange(model: Composed, pairs: Pairs, exchanged: Sequence[str], asked: Sequence[str], level: float) -> Exchange:
    """Ask for streams `asked`, at level 0.5, beside `exchanged` at `level`. Where that is 1 they are noise, and
    exchanging them should change nothing."""
    true, other = truth(model, pairs, [*exchanged, *asked]), truth(model, pairs.others, exchanged)
    generator = torch.Generator().manual_seed(0)
    noise = {name: _noise(x, generator) for name, x in true.items()}
    noise_after = noise | {name: _noise(x, generator) for name, x in other.items()}
    recorded, zeros = pairs.recorded, torch.zeros(len(pairs.now), 1, device=model.device)
    condition = model.condition(torch.from_numpy(recorded.text[recorded.instruction[pairs.now]]).to(model.device))
    seen = {name: x[:, None] for name, x in model.encode(_observation(pairs)).items()}
    history = Window(seen, dict.fromkeys(seen, zeros), zeros.long(), remember=True)
    levels = {name: zeros + (level if name in exchanged else 0.5) for name in true}
    held, answers, errors = [s for s in model.streams if s.name in true], [], []
    for values, noises in ((true, noise), (true | other, noise_after)):
        x = {s.name: s.corruption.corrupt(values[s.name][:, None], levels[s.name], noises[s.name]) for s in held}
        question = Window(x, levels, zeros.long() + 1, together=True)
        raw = model.backbone([history, question], model.backbone.start(len(zeros)), condition).raw[1]
        wrong = [
            s.corruption.error(raw[s.name], true[s.name][:, None], x[s.name], noise[s.name], levels[s.name]).flatten(1)
            for s in held
            if s.name in asked
        ]
        answers.append(torch.cat([raw[name].flatten(1) for name in asked], 1))
        errors.append(float(torch.cat(wrong, 1).mean().sqrt()))
    return Exchange(_distance(*answers), *errors)


def _noise(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x[:, None].shape, generator=generator).to(x.device)


def _observation(pairs: Pairs) -> dict[str, np.ndarray]:
    recorded, now = pairs.recorded, pairs.now
    return {**{name: x[now] for name, x in recorded.frames.items()}, "state": recorded.state[now]}


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
