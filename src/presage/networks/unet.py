"""A U-Net over the cameras of a step: convolutions keep where things are, a transformer says what happens.

The tokens of a camera stream are the places of a square grid, in pixels or latents, so they unfold to an image. All
cameras of a step, and the past frames that it sees, are stacked along the channels: UniPi's tiling of the first frame
onto every frame of a clip (Du et al. 2023, section 3.1). Levels, what the robot does, its state and text modulate every
block (FiLM, Perez et al. 2018), and are tokens beside those of the image at the bottom. The steps of a clip meet there
and in attention along time at each place of the decoder (Ho et al. 2022, Video Diffusion Models, section 3).

Its memory is past frames. What is given at full noise is predicted in one pass, and a tap at a stage of the decoder
reads what such a pass says of the future (Hu et al. 2024, VPP, section 4.1).

Shapes: B batch, N steps, P past frames, T tokens of a stream, C numbers a token, G places a side, W channels, D width,
E width of the condition, V streams that are no pictures.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.device import autocast
from presage.networks.compositing import Change, Composite, Head, Value
from presage.networks.embedding import quality_marks, waves
from presage.networks.unet_blocks import Attention, PlaceNorm, Residual, along_time
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.memory import Entry, Memory
from presage.timeline.streams import Stream, Values

LEVEL, OLDEST = "level of ", "oldest "
"""Prefixes of what an entry holds beside a frame: how noisy it is, and the first frame that was ever kept."""
HIDDEN = tuple(f"*.{name}.*" for name in ("down", "shrink", "up", "grow", "time", "layers", "to_tokens", "from_tokens"))
"""Patterns of its hidden layers' names, whose matrices Muon may train (`Optimiser.orthogonal`)"""
HEADS: Mapping[str, Callable[[int, int], Head]] = {"value": Value, "change": Change, "composite": Composite}


@dataclass(frozen=True)
class UNetConfig:
    pictures: tuple[str, ...]
    """Streams whose tokens are the places of a square grid, row by row; of equal size"""
    widths: tuple[int, ...] = (64, 128, 192)
    """Channels at each resolution; each is half of the one before"""
    dim: int = 256
    """Width of the transformer at the bottom"""
    layers: int = 4
    heads: int = 4
    past: int = 2
    """Past frames that a step sees"""
    fold: int = 1
    """A token is a square of so many places a side, its numbers being (C, fold, fold)"""
    blocks: tuple[int, ...] = ()
    """Residual blocks at each resolution on the way down; one by default"""
    head: Literal["value", "change", "composite"] = "change"
    """What the last channels are (compositing.py). For a composite the oldest frame is shown too."""
    deaf: bool = False
    """Words and quality do not reach a question whose action is given: they must not change what it leads to."""
    tiled: bool = True
    """Every step of a clip sees the past; else its first alone (the ablation of UniPi, table 2)."""
    by_frame: bool = True
    """Each step of a clip is modulated by what the robot does on its own way there; else all are alike, by what it does
    in the whole clip (the ablation of IRASim, Zhu et al. 2024, section 3.2)"""
    plain_words: bool = False
    """Words reach every block by one linear map, and nothing else: what words ask for together that never stood
    together is the sum of what each asks for. Else they are mixed with all that a block is told, and are a token."""
    text_dim: int = 256


class UNet(nn.Module):
    """Implements `timeline.backbone.Backbone`."""

    def __init__(self, streams: Sequence[Stream], config: UNetConfig) -> None:
        """
        Raises:
            ValueError: a stream is derived or asked at every step, or pictures differ in size or are no squares.
        """
        super().__init__()
        named = {s.name: s for s in streams}
        if any(s.derive is not None or s.asked for s in streams):
            raise ValueError("a U-Net has no derived streams and none that are asked at every step")
        self.streams: Sequence[Stream] = streams
        self.config, c = config, config
        self.pictures = [named[name] for name in c.pictures]
        self.vectors = [s for s in streams if s.name not in c.pictures]
        shapes = {(s.tokens, s.dim) for s in self.pictures}
        side = math.isqrt(self.pictures[0].tokens)
        if len(shapes) != 1 or side**2 != self.pictures[0].tokens:
            raise ValueError(f"pictures are squares of one size, got tokens and numbers {sorted(shapes)}")
        self.channels = len(self.pictures) * self.pictures[0].dim // c.fold**2
        condition = 4 * c.widths[0]
        self.told = nn.Sequential(nn.Linear(self._told(), condition), nn.SiLU(), nn.Linear(condition, condition))
        self.remembers = c.head == "composite"
        self.enter = nn.Conv2d(self.channels * (1 + c.past + self.remembers), c.widths[0], 3, padding=1)
        blocks = c.blocks or (1,) * len(c.widths)
        self.down = nn.ModuleList(
            [
                nn.ModuleList([Residual(w, w, condition) for _ in range(n)])
                for w, n in zip(c.widths, blocks, strict=True)
            ]
        )
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(c.widths, c.widths[1:])])
        self.up = nn.ModuleList([Residual(2 * w, w, condition) for w in reversed(c.widths)])
        grown = list(reversed(c.widths))
        self.grow = nn.ModuleList([nn.Conv2d(a, 4 * b, 1) for a, b in zip(grown, grown[1:])])
        self.time = nn.ModuleList([Attention(w, c.heads) for w in grown[1:-1]])
        bottom = side * c.fold // 2 ** (len(c.widths) - 1)
        self.to_tokens, self.from_tokens = nn.Linear(c.widths[-1], c.dim), nn.Linear(c.dim, c.widths[-1])
        self.positions = nn.Parameter(torch.randn(bottom**2 + len(self.vectors), c.dim) * 0.02)
        self.condition_in = nn.Linear(condition, c.dim)
        if c.plain_words:
            self.words = nn.Linear(c.text_dim, condition, bias=False)
        else:
            self.text_in = nn.Linear(c.text_dim, c.dim)
        self.vectors_in = nn.ModuleList([nn.Linear(s.tokens * s.dim, c.dim) for s in self.vectors])
        self.vectors_out = nn.ModuleList([nn.Linear(c.dim, s.tokens * s.dim) for s in self.vectors])
        self.layers = nn.ModuleList([Attention(c.dim, c.heads) for _ in range(c.layers)])
        self.norm = nn.LayerNorm(c.dim)
        self.last = PlaceNorm(c.widths[0])
        self.head = HEADS[c.head](self.channels, len(self.pictures))
        self.paint = nn.Conv2d(c.widths[0], self.head.channels, 3, padding=1)
        for layer in (self.from_tokens, self.paint, *self.vectors_out):
            assert isinstance(layer, nn.Linear | nn.Conv2d)
            nn.init.zeros_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def tap(self) -> Tap:
        """Where its features are read, unless somebody says otherwise: at one of the decoder's stages"""
        return Tap.of(len(self.config.widths) + 1)

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def forward(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        for w in windows:
            if w.remember:
                memory = memory.add(*self._entries(w, memory))
        raw: list[Values] = []
        features: list[Values] = []
        recalled: list[Values] = []
        for w in windows:
            answers, read, old = ({}, {}, {}) if w.remember else self._answer(w, memory, condition, tap)
            raw.append(answers)
            features.append(read)
            recalled.append(old)
        return Output(raw, memory, None if tap is None else features, recalled if self.training else None)

    # -- the past -----------------------------------------------------------------------------------------------------

    def _entries(self, window: Window, memory: Memory[Entry]) -> list[Entry]:
        """What is kept of each step: what was seen there, how noisy that is, and the oldest frame."""
        kept = [s for s in self.streams if not s.acts and s.name in window.values]
        what = tuple(s.name for s in kept)
        out: list[Entry] = []
        for i in range(window.steps.shape[1]):
            frames = {s.name: window.values[s.name][:, i] for s in kept}
            for s in (s for s in kept if s.name in window.present):
                frames[s.name] = frames[s.name] * window.present[s.name][:, i, None, None]
            levels = {LEVEL + s.name: window.levels[s.name][:, i] for s in kept}
            if self.remembers:
                before = (out or memory.entries)[-1].kept if out or memory.entries else {}
                for s in (s for s in self.pictures if s in kept):
                    levels[OLDEST + s.name] = before.get(OLDEST + s.name, frames[s.name])
            out.append(Entry(window.steps[:, i], frames | levels, what))
        return out

    def _seen(self, window: Window, memory: Memory[Entry], condition: Condition) -> list[list[int]]:
        """Places in the memory of what each step of a question sees, the newest first; rows are on the clock of the
        first. The steps of a clip see what was before it."""
        steps = window.steps[0].tolist()
        first = [steps[0]] * len(steps) if window.together else steps
        reach = self.config.past if condition.context is None else max(1, min(self.config.past, condition.context))
        when = _when(memory)
        seen = [[i for i, t in enumerate(when) if s - reach <= t < s][::-1] for s in first]
        return seen if self.config.tiled or not window.together else [seen[0], *[[] for _ in steps[1:]]]

    def _recall(self, memory: Memory[Entry], name: str, seen: list[list[int]], like: Tensor) -> Tensor:
        """(B, N, P, ...) of what is kept under a name; the oldest frame again where fewer are seen, 0 where none is."""
        p, out = self.config.past, []
        for places in seen:
            chosen = [memory.entries[i].kept[name] for i in (places + places[-1:] * p)[:p]]
            out.append(torch.stack(chosen or [like] * p, 1))
        return torch.stack(out, 1)

    # -- a question ---------------------------------------------------------------------------------------------------

    def _answer(
        self, window: Window, memory: Memory[Entry], condition: Condition, tap: Tap | None
    ) -> tuple[Values, Values, Values]:
        (b, n), device = window.steps.shape, window.steps.device
        shown = self.pictures[0]
        seen = self._seen(window, memory, condition)
        blank = torch.zeros(b, shown.tokens, shown.dim, device=device)
        now = [window.values.get(s.name, blank[:, None].expand(b, n, -1, -1)) for s in self.pictures]
        past = [self._recall(memory, s.name, seen, blank) for s in self.pictures]
        newest = self._unfold(torch.stack([x[:, :, 0] for x in past], 2))  # (B * N, C', G, G)
        every = torch.cat([torch.stack(now, 2)[:, :, None], torch.stack(past, 3)], 2)  # (B, N, 1 + P, cameras, T, C)
        oldest = newest
        if self.remembers:
            # Without a past, as policies look, the newest frame is the first that was seen.
            prefix = "" if condition.context == 0 else OLDEST
            first = [self._recall(memory, prefix + s.name, seen, blank)[:, :, 0] for s in self.pictures]
            every = torch.cat([every, torch.stack(first, 2)[:, :, None]], 2)
            oldest = self._unfold(torch.stack(first, 2))
        hears = torch.ones(b, n, device=device)
        if self.config.deaf:
            acts = [window.levels[s.name] > 0 for s in self.vectors if s.acts and s.name in window.levels]
            hears = torch.stack(acts).any(0).float() if acts else hears
        text = condition.text[:, None] * hears[..., None]
        with autocast(device):
            told = self._tell(window, memory, text, hears, seen)
            if window.together and not self.config.by_frame:
                acting = [s.name for s in self.vectors if s.acts]
                window = replace(window, values={k: x for k, x in window.values.items() if k not in acting})
                others = self._tell(window, memory, text, hears, seen)
                told = others + (told - others).mean(1, keepdim=True)
            image = self._unfold(every.flatten(2, 3)).contiguous(memory_format=torch.channels_last)
            painted = tap is not None or any(s.name in window.levels for s in self.pictures)
            answer, vectors, stages = self._run(image, told, window, text, painted)
        if tap is not None:
            stage = stages[-1 if tap.layer is None else tap.layer - 1]
            return {}, {shown.name: stage.flatten(2).transpose(1, 2).unflatten(0, (b, n))}, {}
        raw: Values = {}
        recalled: Values = {}
        if answer is not None:
            raw = self._by_camera(self.head(answer.float(), newest, oldest), window)
            if self.training and isinstance(self.head, Composite):
                recalled = self._by_camera(self.head.recalled(answer.float()), window)
        for s, x in zip(self.vectors, vectors):
            if s.name in window.levels:
                raw[s.name] = x.float().view(b, n, s.tokens, s.dim)
        if self.training and device.type == "cuda":  # to look at levels is to wait; what was given costs nothing
            return raw, {}, recalled
        return {name: x for name, x in raw.items() if bool(window.levels[name].any())}, {}, recalled

    def _by_camera(self, images: Tensor, window: Window) -> Values:
        """Images (B * N, V * C', G, G) as the streams (B, N, T, C) that a question is about."""
        pictures = self._fold(images).unflatten(0, window.steps.shape).unbind(2)
        return {s.name: x for s, x in zip(self.pictures, pictures) if s.name in window.levels}

    def _told(self) -> int:
        c = self.config
        vectors = sum(2 * s.tokens * s.dim + 2 for s in self.vectors)
        return 32 * (2 + len(self.pictures)) + 2 * c.past + vectors + 2 + c.text_dim * (not c.plain_words)

    def _tell(
        self, window: Window, memory: Memory[Entry], text: Tensor, hears: Tensor, seen: list[list[int]]
    ) -> Tensor:
        """(B, N, E): levels, how old what is seen is, what the robot does, its state, text and quality."""
        (b, n), p, device = window.steps.shape, self.config.past, window.steps.device
        ones, none = torch.ones(b, n, device=device), torch.zeros(b, device=device)
        known = torch.tensor([[float(i < len(s)) for i in range(p)] for s in seen], device=device).expand(b, n, p)
        first, when = window.steps[0].tolist(), _when(memory)
        ahead = [t - (when[places[0]] if places else first[0] - 1) for t, places in zip(first, seen)]
        inside = [t - first[0] if window.together else 0 for t in first]
        placed = torch.tensor([ahead, inside], device=device)[:, None].expand(2, b, n) / 32
        parts = [waves(window.levels.get(s.name, ones)) for s in self.pictures]
        parts += [waves(placed[0]), waves(placed[1])]
        parts += [known, self._recall(memory, LEVEL + self.pictures[0].name, seen, none)]
        for s in self.vectors:
            level, there = window.levels.get(s.name, ones), window.present.get(s.name, ones)
            there = there.float() * (s.name in window.values)
            value = window.values.get(s.name, torch.zeros(b, n, s.tokens, s.dim, device=device)).flatten(2)
            before = torch.zeros_like(value)
            if memory.entries and s.name in memory.entries[-1].what and not s.acts:
                before = self._recall(memory, s.name, seen, torch.zeros(b, s.tokens, s.dim, device=device))
                before = before[:, :, 0].flatten(2)
            parts += [value * there[..., None], before, level[..., None], there[..., None]]
        quality = torch.full((b, n), float("nan"), device=device) if window.quality is None else window.quality
        parts.append(quality_marks(quality) * hears[..., None])
        if not self.config.plain_words:
            parts.append(text)
        mixed = F.silu(self.told(torch.cat([x.float() for x in parts], -1)))
        return mixed + self.words(text) if self.config.plain_words else mixed

    def _run(
        self, image: Tensor, told: Tensor, window: Window, text: Tensor, painted: bool
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        """What the output layers make of images (B * N, C', G, G): pictures where they are painted, vectors
        (B, N, numbers), and the decoder's stages from the bottom up."""
        (b, n), flat = window.steps.shape, told.flatten(0, 1)
        clip = n if window.together else 1
        h, skips = self.enter(image), []
        for i, blocks in enumerate(self.down):
            h = h if i == 0 else self.shrink[i - 1](h)
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, flat)
            skips.append(h)
        tokens = self._attend(h, told, window, text, clip)
        places = h.shape[2] * h.shape[3]
        h = h + self.from_tokens(tokens[:, :places]).transpose(1, 2).unflatten(2, h.shape[2:])
        vectors = [out(tokens[:, places + i]).view(b, n, -1) for i, out in enumerate(self.vectors_out)]
        stages = [h]
        if not painted:
            return None, vectors, stages
        for i, block in enumerate(self.up):
            h = h if i == 0 else F.pixel_shuffle(self.grow[i - 1](h), 2)
            h = torch.cat([h, skips.pop()], 1).contiguous(memory_format=torch.channels_last)
            h = block(h, flat)
            if clip > 1 and 0 < i < len(self.up) - 1:
                h = along_time(self.time[i - 1], h, clip)
            stages.append(h)
        return self.paint(F.silu(self.last(h))), vectors, stages

    def _attend(self, h: Tensor, told: Tensor, window: Window, text: Tensor, clip: int) -> Tensor:
        """(B * N, places + V, D) after the transformer, in which the steps of a clip see each other and the text."""
        (b, n) = window.steps.shape
        x = self.to_tokens(h.flatten(2).transpose(1, 2))
        for s, read in zip(self.vectors, self.vectors_in):
            value = window.values.get(s.name)
            token = read(
                torch.zeros(b * n, s.tokens * s.dim, device=h.device) if value is None else value.reshape(b * n, -1)
            )
            x = torch.cat([x, token[:, None]], 1)
        x = x + self.positions + self.condition_in(told).flatten(0, 1)[:, None]
        size = x.shape[1]
        x = x.reshape(b * n // clip, clip * size, -1)
        if not self.config.plain_words:
            words = self.text_in(text[:, ::clip].flatten(0, 1))[:, None]
            x = torch.cat([x, words.to(x.dtype)], 1)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x[:, : clip * size]).reshape(b * n, size, -1)

    # -- tokens and images --------------------------------------------------------------------------------------------

    def _unfold(self, x: Tensor) -> Tensor:
        """(B, N, pictures, T, C) -> (B * N, pictures * C / fold^2, G, G)."""
        side = math.isqrt(x.shape[3])
        images = x.flatten(0, 1).transpose(2, 3).unflatten(3, (side, side)).flatten(1, 2)
        return F.pixel_shuffle(images, self.config.fold)

    def _fold(self, images: Tensor) -> Tensor:
        """Back to (B * N, pictures, T, C)."""
        x = F.pixel_unshuffle(images, self.config.fold)
        return x.unflatten(1, (len(self.pictures), -1)).flatten(3).transpose(2, 3)


def _when(memory: Memory[Entry]) -> list[int]:
    """Absolute steps of what is kept, on the clock of the first row, asked of a card at once."""
    steps = [e.steps[0] for e in memory]
    return torch.stack(steps).tolist() if steps else []
