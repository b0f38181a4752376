"""Recorded datasets in memory; `held.py` makes a composed model's batches of them.

Shapes: R rows, B windows, N rows of a window, S pixels a side, A numbers of an action.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from presage.codecs.pixels import patches
from presage.codecs.scalars import ScalarCodec, Spread
from presage.codecs.text import embed_said
from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.outcome import chunk_quality, steps_to_success, valid_actions
from presage.networks.composed import IMAGE, Composed, Shape, module
from presage.training.fingerprint import hash_of
from presage.training.pictures import Pictures, Seen, behind, picked


@dataclass(frozen=True, eq=False)
class Recorded:
    """Episodes, one behind the other."""

    frames: Mapping[str, Seen]
    """`image.<camera>` -> (R, S, S, 3) uint8"""
    action: np.ndarray
    """(R, chunk, A) raw, executed after each row"""
    labelled: np.ndarray
    """(R,) bool: the action was recorded"""
    state: np.ndarray
    """(R, D) raw"""
    quality: np.ndarray
    """(R,) of what was done: 1 like an expert, 0 not, NaN unknown"""
    instruction: np.ndarray
    """(R,) index into `text`"""
    text: np.ndarray
    """(I, E) embedded instructions"""
    length: np.ndarray
    """(K,) rows of each episode"""
    task: list[str] = field(default_factory=list)
    """of each episode"""
    latents: Mapping[str, Seen] = field(default_factory=dict)
    """stream -> (R, T, C) float16 of cameras whose codec is costly (`encoded`)"""
    rare: dict[str, np.ndarray] = field(default_factory=dict)
    """`image.<camera>` -> (COLOURS,) how much pixels of a colour count (`emphasised`)"""
    fps: float = 5.0
    """Rows a second"""
    to_success: np.ndarray | None = None
    """(R,) rows until one shows a success, NaN unknown (`steps_to_success`); None: all unknown"""

    @property
    def start(self) -> np.ndarray:
        return np.cumsum(self.length) - self.length

    @property
    def fingerprint(self) -> str:
        """A hash of what is learned from it."""
        names = ("action", "labelled", "state", "quality", "instruction", "text", "length", "left")
        shown = {**self.frames, **{f"latents of {name}": x for name, x in self.latents.items()}}
        some = {name: x[:: max(1, len(x) // 64)] for name, x in shown.items()}
        return hash_of({name: getattr(self, name) for name in names} | some)

    @property
    def left(self) -> np.ndarray:
        """(R,) `to_success`, NaN where it is unknown"""
        return np.full(len(self.action), np.nan) if self.to_success is None else self.to_success

    def without_labels(self, episodes: Sequence[int]) -> "Recorded":
        """The same, the actions, states and outcomes of `episodes` unknown: video alone."""
        hidden = np.isin(np.repeat(np.arange(len(self.length)), self.length), list(episodes))
        quality = np.where(hidden, np.float32(np.nan), self.quality)
        to_success = None if self.to_success is None else np.where(hidden, np.nan, self.to_success)
        return replace(self, labelled=self.labelled & ~hidden, quality=quality, to_success=to_success)

    def only(self, episodes: Sequence[int]) -> "Recorded":
        """These episodes alone."""
        chosen = list(episodes)
        kept = self._rows(_runs(self.start[chosen], self.length[chosen]))
        return replace(kept, length=self.length[chosen], task=[self.task[e] for e in chosen] if self.task else [])

    def begun(self, length: np.ndarray) -> "Recorded":
        """Of each episode the first `length` (K,) rows."""
        return replace(self._rows(_runs(self.start, length)), length=length)

    def shuffled(self, seed: int = 0) -> "Recorded":
        """The rows of every episode in a random order: the same pictures, and no motion to learn from."""
        rng = np.random.default_rng(seed)
        return self._rows(np.concatenate([a + rng.permutation(n) for a, n in zip(self.start, self.length)]))

    def _rows(self, kept: np.ndarray) -> "Recorded":
        columns = {n: getattr(self, n)[kept] for n in ("action", "labelled", "state", "quality", "instruction")}
        frames = {name: picked(x, kept) for name, x in self.frames.items()}
        latents = {name: picked(x, kept) for name, x in self.latents.items()}
        columns["to_success"] = None if self.to_success is None else self.to_success[kept]
        return replace(self, frames=frames, latents=latents, **columns)

    def delayed(self, rows: int) -> "Recorded":
        """Each row holds the action of so many rows later: what to decide on it while what comes before still runs.
        Where the episode ends before, it is unknown."""
        later = np.arange(len(self.action)) + rows
        last = np.repeat(self.start + self.length - 1, self.length)
        there = np.minimum(later, last)
        return replace(self, action=self.action[there], labelled=self.labelled[there] & (later <= last))

    def stretched(self, rows: int) -> "Recorded":
        """Every episode followed by `rows` repetitions of its last row, without labels: who is done stands still."""
        ends = self.start + self.length - 1
        kept = np.concatenate([np.r_[a : e + 1, [e] * rows] for a, e in zip(self.start, ends)])
        new = np.concatenate([np.r_[np.zeros(n, bool), np.ones(rows, bool)] for n in self.length])
        longer = self._rows(kept)
        return replace(longer, labelled=longer.labelled & ~new, length=self.length + rows)


def _runs(start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Rows of pieces (K,) that begin somewhere and are so long, one behind the other."""
    return np.concatenate([np.arange(a, a + n) for a, n in zip(start, length, strict=True)])


def joined(parts: Sequence[Recorded]) -> Recorded:
    """One behind the other; all need the same cameras and sizes."""
    first = parts[0]
    offset = np.cumsum([0, *[len(p.text) for p in parts]])
    columns = {
        n: np.concatenate([getattr(p, n) for p in parts])
        for n in ("action", "labelled", "state", "quality", "text", "length")
    }
    return Recorded(
        frames={name: behind([p.frames[name] for p in parts]) for name in first.frames},
        instruction=np.concatenate([p.instruction + o for p, o in zip(parts, offset)]),
        task=[task for p in parts for task in p.task],
        latents={name: behind([p.latents[name] for p in parts]) for name in first.latents},
        rare={},
        fps=first.fps,
        to_success=np.concatenate([p.left for p in parts]),
        **columns,
    )


def read_recorded(
    dataset: Dataset, cameras: Sequence[str], size: int, chunk: int, action_dim: int = 0, state_dim: int = 0
) -> Recorded:
    """All episodes of a dataset whose rows hold chunks, as `presage collect` records them. Where nobody was told
    anything, the embedding is 0.

    action_dim, state_dim: numbers of what the dataset has no column of. No action of it is labelled then.
    """
    frames = frame_cache(dataset, list(cameras), size)
    rows = len(frames)
    valid, action = np.zeros(rows, bool), np.zeros((rows, chunk * action_dim), np.float32)
    if "action" in dataset.features:
        valid = valid_actions(dataset)
        action = np.where(valid[:, None], dataset.column("action").reshape(rows, -1), 0.0).astype(np.float32)
    state = np.full((rows, state_dim), np.nan, np.float32)
    if "observation.state" in dataset.features:
        state = dataset.column("observation.state").reshape(rows, -1).astype(np.float32)
    said, number = np.unique([e.instruction for e in dataset.episodes], return_inverse=True)
    length = np.array([e.length for e in dataset.episodes])
    return Recorded(
        {f"{IMAGE}{camera}": Pictures([frames[:, i]]) for i, camera in enumerate(cameras)},
        action.reshape(rows, chunk, -1),
        valid.astype(bool),
        state,
        chunk_quality(dataset).astype(np.float32),
        np.repeat(number, length),
        embed_said(said.tolist()),
        length,
        [str(e.info.get("task", e.instruction)) for e in dataset.episodes],
        fps=dataset.fps,
        to_success=steps_to_success(dataset),
    )


def fit_scalar_codecs(recorded: Recorded) -> tuple[ScalarCodec, ScalarCodec]:
    """Of actions and states, fitted on labelled rows."""
    action = recorded.action.reshape(len(recorded.action), -1)[recorded.labelled]
    return ScalarCodec.between([Spread.of(action)]), ScalarCodec.between([Spread.of(recorded.state)])


def shape_of(labelled: Recorded) -> Shape:
    """What a model of this data has to fit; scales of actions and states are fitted on its labelled rows."""
    cameras = tuple(source.removeprefix(IMAGE) for source in labelled.frames)
    size = next(iter(labelled.frames.values())).shape[1] if labelled.frames else 0
    chunk, action_dim = labelled.action.shape[1:]
    scalars = fit_scalar_codecs(labelled)
    return Shape(cameras, size, chunk, action_dim, labelled.state.shape[1], *scalars, labelled.fps)


def encoded(model: Composed, recorded: Recorded, batch: int = 256) -> Recorded:
    """`recorded` with latents of those cameras whose codec has weights, which stand still from now on. Latents that it
    brings stay."""
    latents = dict(recorded.latents)
    for s in (s for s in model.streams if s.name not in latents):
        if s.source.startswith(IMAGE) and next(module(model.codec(s.source)).parameters(), None) is not None:
            images = recorded.frames[s.source]
            parts = [images[i : i + batch] for i in range(0, len(images), batch)]
            latents[s.name] = np.concatenate(
                [model.encode_pictures(s.source, part).half().cpu().numpy() for part in parts]
            )
    return replace(recorded, latents=latents)


NOTICED, MOVING = 16, 3.0
"""Of 255 levels, a change that is seen; how many times as much a pixel counts that changed"""


def moving(weight: Tensor, images: Tensor) -> Tensor:
    """Weights (B, N, S, S) of pixels (B, N, S, S, 3), those of a row made such that what left a place counts there as
    what came, and that changes count more: else an object that moves may as well leave a ghost."""
    was, before = (torch.cat([x[:, :1], x[:, :-1]], 1) for x in (weight, images))
    changed = ((images.int() - before.int()).abs().amax(-1) > NOTICED).float()
    return torch.maximum(weight, was) * (1 + (MOVING - 1) * F.max_pool2d(changed, 3, 1, 1))


def by_token(weight: Tensor, tokens: int, dim: int) -> Tensor:
    """Weights of pixels (M, S, S) as those of tokens (M, T, C) that are the places of a square grid: pixel by pixel
    where a token's numbers are its pixels' colours, else their mean."""
    grid = math.isqrt(tokens)
    patch = weight.shape[1] // grid
    x = patches(weight[..., None], patch)
    if dim == 3 * patch**2:
        return x.repeat_interleave(3, -1)
    return x.mean(-1, keepdim=True).expand(-1, -1, dim)


Sources = Mapping[str, Sequence[Recorded]]
"""Name of a kind of data -> its datasets"""


COLOURS = 16**3
"""That are told apart: four bits each of red, green and blue"""


def colours(images: Tensor) -> Tensor:
    """(..., 3) uint8 -> (...) number of its colour."""
    red, green, blue = (images.int() >> 4).unbind(-1)
    return (red << 8) | (green << 4) | blue


def emphasised(recorded: Recorded, most: float) -> Recorded:
    """`recorded` with weights of colours: the rarer, the more a pixel counts, between 1 and `most`. What a scene is
    about is small: a puck is a dozen of four thousand pixels."""
    rare = {}
    for source, frames in recorded.frames.items():
        some = frames[:: max(1, len(frames) // 4000)]
        found = colours(torch.as_tensor(some)).flatten().cpu()
        share = np.bincount(found.numpy(), minlength=COLOURS) / len(found)
        rare[source] = np.sqrt(0.01 / np.maximum(share, 1e-6)).clip(1.0, most).astype(np.float32)
    return replace(recorded, rare=rare)


def done_well(kind: str) -> Callable[[Composed, Mapping[str, Recorded]], Recorded]:
    """Data for a stage: episodes of a kind in most of whose rows an expert acted; all of them where none is such."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        recorded = data[kind]
        poor = np.add.reduceat((recorded.quality < 0.5).astype(int), recorded.start)
        chosen = np.flatnonzero(2 * poor < recorded.length)
        return recorded.only(chosen.tolist()) if len(chosen) else recorded

    return make


def stood_still(kind: str, rows: int) -> Callable[[Composed, Mapping[str, Recorded]], Recorded]:
    """Data for a stage: a kind whose episodes end in `rows` rows of standing still; `labelled` where there is none."""
    return lambda model, data: data.get(kind, data["labelled"]).stretched(rows)
