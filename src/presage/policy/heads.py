"""Heads: features of a frozen model, or frames themselves -> actions.

A head is a network alone. What makes it regress or denoise is the corruption of the stream that it answers: shown
`x_k` at a level, it says what that corruption turns into a clean value (`timeline/corruption.py`).

Shapes: B batch, N frames, T places of a frame, D numbers of a feature, W width, K tokens of the action, C numbers a
token.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.networks.embedding import waves
from presage.networks.unet_blocks import Attention, PlaceNorm, Residual
from presage.timeline.backbone import Condition, Output, Tap, Window
from presage.timeline.levels import Schedule
from presage.timeline.memory import Entry, Memory
from presage.timeline.noise import Streams, draw
from presage.timeline.sampler import walk
from presage.timeline.streams import Stream

TEXT_DIM = 256


class CrossAttention(nn.Module):
    """Queries look at a context, then pass through a feed-forward layer; both residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm, self.norm_context = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.forth = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        seen = self.norm_context(context)
        x = x + self.attention(self.norm(x), seen, seen, need_weights=False)[0]
        return x + self.forth(x)


class PooledMLP(nn.Module):
    """Learned queries pool the features of all frames, and an MLP reads the action: for `Regress`."""

    def __init__(self, features: int, width: int, stream: Stream, queries: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.shape = (stream.tokens, stream.dim)
        self.enter, self.text = nn.Linear(features, width), nn.Linear(TEXT_DIM, width)
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.pool = CrossAttention(width, heads)
        self.read = nn.Sequential(
            nn.LayerNorm(queries * width),
            nn.Linear(queries * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, stream.tokens * stream.dim),
        )

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Features (B, N, T, D), text (B, 256) -> (B, K, C); `x_k` and `level` are not looked at."""
        x = self.enter(features).flatten(1, 2) + self.text(text)[:, None]
        return self.read(self.pool(self.queries.expand(len(x), -1, -1), x).flatten(1)).view(len(x), *self.shape)


class VideoFormer(nn.Module):
    """Learned queries gather what each frame says, then meet along time (Hu et al. 2024, VPP, section 4.2): features
    (B, N, T, D) -> (B, N * queries, W)."""

    def __init__(self, features: int, width: int, queries: int = 8, layers: int = 2, heads: int = 4, places: int = 0):
        """places: of a frame, whose positions are learned; 0: features know theirs."""
        super().__init__()
        self.enter = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.queries = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(places or 1, width) * 0.5)
        self.when = nn.Linear(32, width)
        self.gather = nn.ModuleList([CrossAttention(width, heads) for _ in range(layers)])
        self.meet = nn.ModuleList([Attention(width, heads) for _ in range(layers)])

    def forward(self, features: Tensor) -> Tensor:
        b, n = features.shape[:2]
        x = self.enter(features.flatten(0, 1)) + self.positions
        when = self.when(waves(torch.arange(n, device=x.device) / 32))
        queries = (self.queries + when[:, None]).expand(b, -1, -1, -1).flatten(0, 1)
        for gather, meet in zip(self.gather, self.meet):
            queries = gather(queries, x)
            queries = meet(queries.unflatten(0, (b, n)).flatten(1, 2)).view_as(queries)
        return queries.unflatten(0, (b, n)).flatten(1, 2)


class Convolutions(nn.Module):
    """Residual convolutions before and after a strided one: images (B, C, S, S) -> (B, W, ceil(S / stride), ...)."""

    def __init__(self, numbers: int, width: int, stride: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(numbers, width, 3, padding=1)
        self.before = nn.ModuleList([Residual(width, width, 1) for _ in range(2)])
        self.shrink = nn.Conv2d(width, width, 3, stride, 1)
        self.after = nn.ModuleList([Residual(width, width, 1) for _ in range(2)])

    def forward(self, images: Tensor) -> Tensor:
        nothing = images.new_zeros(len(images), 1)
        h = self.enter(images.contiguous(memory_format=torch.channels_last))
        for block in self.before:
            h = block(h, nothing)
        h = self.shrink(h)
        for block in self.after:
            h = block(h, nothing)
        return h


class Convolved(nn.Module):
    """Residual convolutions in the place of a Video Former, which keep where things are (Chi et al. 2023, Diffusion
    Policy, section 3.2: a ResNet): features (B, N, T, D) -> (B, 16, W), a sixteenth of the picture each. A token of the
    codec is unfolded into `fold` x `fold` places first, and all frames lie on their channels."""

    def __init__(self, places: int, numbers: int, width: int, frames: int = 1, fold: int = 2) -> None:
        super().__init__()
        self.side, self.fold = math.isqrt(places), fold
        stride = max(1, self.side * fold // 4)
        self.see = Convolutions(frames * numbers // fold**2, width, stride)
        self.norm = nn.LayerNorm(width)
        self.positions = nn.Parameter(torch.randn((-(-self.side * fold // stride)) ** 2, width) * 0.5)

    def forward(self, features: Tensor) -> Tensor:
        stacked = features.transpose(2, 3).flatten(1, 2).unflatten(2, (self.side, self.side))
        h = self.see(F.pixel_shuffle(stacked, self.fold))
        return self.norm(h.flatten(2).transpose(1, 2)) + self.positions


class ActionTransformer(nn.Module):
    """A transformer over the tokens of an action, which looks at a Video Former's queries (Hu et al. 2024, VPP, section
    4.2: a diffusion transformer): for `Flow`, `EDM` and `DDPM`."""

    def __init__(self, former: nn.Module, width: int, stream: Stream, layers: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.former = former
        self.enter, self.leave = nn.Linear(stream.dim, width), nn.Linear(width, stream.dim)
        # As large as what all tokens are told: they must be told apart.
        self.positions = nn.Parameter(torch.randn(stream.tokens, width) * 0.5)
        self.level = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.text = nn.Linear(TEXT_DIM, width)
        self.mix = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.look = nn.ModuleList([CrossAttention(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Features (B, N, T, D), text (B, 256), `x_k` (B, K, C) at `level` (B,) -> (B, K, C)."""
        return self.decide(self.former(features), text, x_k, level)

    def decide(self, queries: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """The same from what the former says of features, (B, Q, W): it says so once, however often this is asked."""
        told = self.level(waves(level)) + self.text(text)
        context = torch.cat([queries, told[:, None]], 1)
        x = self.enter(x_k) + self.positions + told[:, None]
        for mix, look in zip(self.mix, self.look):
            x = look(mix(x), context)
        return self.leave(F.silu(self.norm(x)))


class Gathered(nn.Module):
    """Residual convolutions over one frame, whose places are all read at once: features (B, 1, T, D) -> (B, 1, W).
    Queries that look at places one by one learn far more slowly where a thing lies, to a fraction of a place."""

    def __init__(self, places: int, numbers: int, channels: int, width: int) -> None:
        super().__init__()
        self.side = math.isqrt(places)
        self.see = Convolutions(numbers, channels, 2)
        self.leave = nn.Linear(channels * (-(-self.side // 2)) ** 2, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, features: Tensor) -> Tensor:
        images = features[:, 0].transpose(1, 2).unflatten(2, (self.side, self.side))
        gathered: Tensor = self.drop(F.silu(self.leave(self.see(images).flatten(1))))
        return gathered[:, None]


class ActionMLP(nn.Module):
    """Denoises an action, all of its numbers at once, beside the one vector that a former makes of a frame: for `Flow`,
    `EDM` and `DDPM`."""

    def __init__(self, former: nn.Module, width: int, stream: Stream) -> None:
        """width: of the former's vector, too."""
        super().__init__()
        self.former, self.shape = former, (stream.tokens, stream.dim)
        numbers = stream.tokens * stream.dim
        self.enter, self.text = nn.Linear(numbers, width), nn.Linear(TEXT_DIM, width)
        self.level = nn.Linear(32, width)
        self.join = nn.Sequential(nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, numbers))

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Features (B, 1, T, D), text (B, 256), `x_k` (B, K, C) at `level` (B,) -> (B, K, C)."""
        return self.decide(self.former(features), text, x_k, level)

    def decide(self, seen: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """The same from what the former says of features, (B, 1, W)."""
        frame = seen[:, 0] + self.text(text)
        beside = [F.silu(self.enter(x_k.flatten(1))), F.silu(self.level(waves(level)))]
        h = frame + self.join(torch.cat([frame, *beside], 1))
        return self.leave(h).view(len(h), *self.shape)


class TwoLevels(nn.Module):
    """A transformer over the tokens of an action, which looks at all hidden states of a clip, and whose layers follow
    two levels together, the clip's and its own, by a bilinear form of low rank (mimic-video 2025, section 3.2).

    Features carry the level that they were read at as their last number (`features.levelled`).
    """

    def __init__(
        self, features: int, places: int, width: int, stream: Stream, layers: int = 3, heads: int = 4, rank: int = 32
    ) -> None:
        """features: numbers of one, without the level. places: of a frame, of all cameras."""
        super().__init__()
        self.read = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, width))
        self.places = nn.Parameter(torch.randn(places, width) * 0.5)
        self.when, self.text = nn.Linear(32, width), nn.Linear(TEXT_DIM, width)
        self.enter, self.leave = nn.Linear(stream.dim, width), nn.Linear(width, stream.dim)
        self.positions = nn.Parameter(torch.randn(stream.tokens, width) * 0.5)
        self.seen, self.done = nn.Linear(32, rank), nn.Linear(32, rank)
        self.modulate = nn.ModuleList([nn.Linear(rank, 2 * width) for _ in range(layers)])
        self.mix = nn.ModuleList([Attention(width, heads) for _ in range(layers)])
        self.look = nn.ModuleList([CrossAttention(width, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Features (B, N, T, D + 1), text (B, 256), `x_k` (B, K, C) at `level` (B,) -> (B, K, C)."""
        hidden, clip = features[..., :-1], features[:, 0, 0, -1]
        when = self.when(waves(torch.arange(hidden.shape[1], device=hidden.device) / 32))
        told = self.text(text)[:, None]
        context = torch.cat([(self.read(hidden) + self.places + when[:, None]).flatten(1, 2), told], 1)
        both = self.seen(waves(clip)) * self.done(waves(level))
        x = self.enter(x_k) + self.positions + told
        for modulate, mix, look in zip(self.modulate, self.mix, self.look):
            shift, scale = modulate(both)[:, None].chunk(2, -1)
            x = look(mix(x * (1 + scale) + shift), context)
        return self.leave(F.silu(self.norm(x)))


class Filmed(nn.Module):
    """A head over one frame: residual convolutions that the text modulates, strided to `side` places a side, an MLP
    (Brohan et al. 2022, RT-1, section 5: FiLM, so that the words choose what the convolutions look for; here the places
    are kept). Words are heard through one linear map, so that those of a new combination add up. For `Regress`."""

    def __init__(self, places: int, numbers: int, widths: Sequence[int], stream: Stream, side: int = 4) -> None:
        """widths: channels at each resolution, from that of the places down to `side`."""
        super().__init__()
        self.shape, self.side, told = (stream.tokens, stream.dim), math.isqrt(places), 4 * widths[0]
        self.enter = nn.Conv2d(numbers, widths[0], 3, padding=1)
        self.text = nn.Linear(TEXT_DIM, told, bias=False)
        self.blocks = nn.ModuleList([Residual(w, w, told) for w in widths])
        self.shrink = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:])])
        self.norm = PlaceNorm(widths[-1])
        numbers = widths[-1] * side**2
        self.read = nn.Sequential(
            nn.Linear(numbers + told, 4 * widths[0]), nn.SiLU(), nn.Linear(4 * widths[0], stream.tokens * stream.dim)
        )

    def forward(self, features: Tensor, text: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """Features (B, 1, T, D), text (B, 256) -> (B, K, C); `x_k` and `level` are not looked at."""
        told = self.text(text)
        images = features[:, 0].transpose(1, 2).unflatten(2, (self.side, self.side))
        h = self.enter(images.contiguous(memory_format=torch.channels_last))
        for i, block in enumerate(self.blocks):
            h = block(h if i == 0 else self.shrink[i - 1](h), told)
        seen = F.silu(self.norm(h)).flatten(1)
        return self.read(torch.cat([seen, told], 1)).view(len(seen), *self.shape)


@dataclass(frozen=True, eq=False)
class Answering:
    """A head over features that are fixed, as a backbone of one stream, so that the one sampler walks its levels."""

    head: Callable[..., Tensor]
    features: Tensor
    streams: Sequence[Stream]

    def start(self, batch: int) -> Memory[Entry]:
        return Memory()

    def __call__(
        self, windows: Sequence[Window], memory: Memory[Entry], condition: Condition, tap: Tap | None = None
    ) -> Output:
        (stream,), (w,) = self.streams, windows
        like = torch.zeros(len(w.steps), stream.tokens, stream.dim, device=w.steps.device)
        x_k = w.values[stream.name][:, 0] if stream.name in w.values else like
        raw = self.head(self.features, condition.text, x_k, w.levels[stream.name][:, 0])
        return Output([{stream.name: raw.float()[:, None]}], memory)


@torch.inference_mode()
def answer(
    head: Callable[..., Tensor], features: Tensor, text: Tensor, stream: Stream, noise: Streams, steps: int = 1
) -> Tensor:
    """The action (B, K, C) that a head reads from features, denoised in `steps` steps."""
    start = {}
    if not stream.corruption.one_pass:
        start[stream.name] = draw(noise, (1, stream.tokens, stream.dim), features.device)
    backbone = Answering(head, features, [stream])
    when = torch.zeros(len(features), 1, dtype=torch.long, device=features.device)
    schedule = Schedule.policy(steps)
    values = walk(backbone, Memory(), Condition(text), schedule, start, when, backbone.streams)
    return values[stream.name][:, 0]
