"""A stand-in for a network that knows its world: a ball on a line, and words that count up.

    ball[n] = ball[n - 1] + move[n]

A robot that knows no better moves by the speed that it was told, times how well it behaves, or to its goal at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from presage.timeline.backbone import Base, Condition, Output, Tap, Window
from presage.timeline.corruption import MaskReplace, Regress
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

MOVE, BALL = Stream("move", 1, 1, acts=True), Stream("ball", 1, 1)
WORDS, SUM = Stream("words", 3, 5, MaskReplace()), Stream("sum", 1, 1, Regress(), seen=False)


@dataclass
class Oracle:
    streams: Sequence[Stream] = (MOVE, BALL, WORDS, SUM)
    heard: list[Window] = field(default_factory=list)
    """Every window that it was shown."""

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def __call__(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        self.heard.extend(windows)
        raw = []
        for w in windows:
            raw.append({SUM.name: w.values[BALL.name]} if w.remember else self._answer(w, memory, condition))
            if w.remember:
                for i in range(w.steps.shape[1]):
                    kept = {name: x[:, i] for name, x in w.values.items()}
                    memory = memory.add(Entry(w.steps[:, i], kept, tuple(w.levels)))
        return Output(raw, memory, None if tap is None else [_shown(w) for w in windows])

    def _answer(self, w: Window, memory: Memory[Entry], condition: Condition) -> Values:
        ball = memory.entries[-1].kept[BALL.name][:, None] if len(memory) else torch.zeros(len(w.steps), 1, 1, 1)
        speed = condition.text[:, None, None].expand(*w.steps.shape, 1, 1)
        if w.quality is not None:
            speed = speed * w.quality.nan_to_num(1.0)[..., None, None]
        if BALL.name in condition.goal:
            speed = condition.goal[BALL.name][:, None] - ball
        move, seen = _given(w, MOVE, speed), _given(w, BALL, torch.full_like(speed, torch.nan))
        before = torch.cat([ball, seen[:, :-1]], 1)
        answers = {MOVE.name: torch.where(seen.isnan(), speed, seen - before), BALL.name: ball + move.cumsum(1)}
        if WORDS.name in w.levels:  # logits
            word = (
                memory.entries[-1].kept[WORDS.name]
                if len(memory)
                else torch.zeros(len(w.steps), WORDS.tokens, WORDS.dim)
            )
            answers[WORDS.name] = torch.stack([word.roll(i + 1, -1) for i in range(w.steps.shape[1])], 1) * 100
        return answers


def _given(w: Window, stream: Stream, otherwise: Tensor) -> Tensor:
    if stream.name not in w.levels or stream.name not in w.values:
        return otherwise
    return torch.where((w.levels[stream.name] == 0)[..., None, None], w.values[stream.name], otherwise)


def _shown(w: Window) -> Values:
    """Features: the values, and behind them the level that was told."""
    level = {name: w.levels[name][..., None, None].expand(*x.shape[:-1], 1) for name, x in w.values.items()}
    return {name: torch.cat([x, level[name]], -1) for name, x in w.values.items()}


@dataclass
class Line:
    """The oracle as the model of a session. Instructions are speeds."""

    backbone: Oracle = field(default_factory=Oracle)
    context: int = 3
    base: Base | None = None
    device: torch.device = torch.device("cpu")

    @property
    def streams(self) -> Sequence[Stream]:
        return self.backbone.streams

    def condition(self, instructions: list[str] | Tensor) -> Condition:
        return Condition(
            instructions if isinstance(instructions, Tensor) else torch.tensor([[float(x)] for x in instructions])
        )

    def encode(self, observation: dict[str, np.ndarray], executed: np.ndarray | None) -> Values:
        read = {name: torch.from_numpy(x).float() for name, x in observation.items()}
        return read if executed is None else read | {MOVE.name: torch.from_numpy(executed).float()}


def sight(*balls: float, word: int = 0) -> dict[str, np.ndarray]:
    """An observation of one row for each ball."""
    words = np.eye(WORDS.dim)[np.arange(WORDS.tokens) + word]
    return {BALL.name: np.array(balls).reshape(-1, 1, 1), WORDS.name: np.stack([words] * len(balls))}


def moves(*steps: Sequence[float] | float) -> Tensor:
    """Values (B, 1, 1) of a move for each row; or (B, N, 1, 1) of several."""
    return torch.tensor(steps)[..., None, None].float()
