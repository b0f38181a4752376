"""Experts with joint attention: every stream belongs to an expert with its own norms, projections, feed-forward layers
and width, and all tokens look at each other (Liang et al. 2024, Mixture-of-Transformers; LingBot-VA, section 4.2: a
wide expert for video, a narrow one for actions).

Which expert a token belongs to rides along in the last number of what `embed` returns, and, with adaptive norms, what
is told of its step before that; narrow tokens are padded to the widest.

Shapes: B batch, N steps in one call, S tokens, P cached tokens, T tokens of a stream, C numbers a token, E width of an
expert, W widest of them, A width of attention, K numbers that tell of a step, H heads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.networks.embedding import quality_marks, waves
from presage.networks.packed import KV
from presage.networks.transformer import _module_key, _rotary, _rotate
from presage.timeline.backbone import Condition
from presage.timeline.streams import Stream


@dataclass(frozen=True)
class Expert:
    name: str
    streams: tuple[str, ...]
    """Patterns; a stream belongs to the first expert that has one which matches"""
    width: int


@dataclass(frozen=True)
class ExpertsConfig:
    experts: tuple[Expert, ...]
    layers: int = 6
    heads: int = 4
    head: int = 40
    """Width of an attention head, the same for all experts"""
    mlp: int = 4
    """Hidden width of feed-forward layers as a multiple of the expert's"""
    text_dim: int = 256
    condition: Literal["added", "adaln"] = "added"
    """How noise level, text and quality of a step enter: added to its tokens once, or by adaptive norms in every layer
    (Peebles & Xie 2023), which cost a fifth of the arithmetic"""
    told: int = 32
    """Numbers that a step's condition is squeezed into"""


class _Branch(nn.Module):
    """What an expert does in one layer, before and after the attention."""

    def __init__(self, width: int, config: ExpertsConfig) -> None:
        super().__init__()
        attention = config.heads * config.head
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * attention, bias=False)
        self.out = nn.Linear(attention, width, bias=False)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, config.mlp * width)
        self.down = nn.Linear(config.mlp * width, width)
        for linear in (self.out, self.down):  # residual branches start small, so that depth does not explode
            nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * config.layers))
        self.modulation = nn.Linear(config.told, 6 * width) if config.condition == "adaln" else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def modulate(self, told_BSK: Tensor | None) -> Sequence[Tensor | float]:
        """Shift, scale and gate of the attention, and of the feed-forward layers."""
        if self.modulation is None or told_BSK is None:
            return (0.0, 0.0, 0.0) * 2
        return self.modulation(told_BSK).chunk(6, -1)

    def before(self, x_BSE: Tensor, how: Sequence[Tensor | float]) -> Tensor:
        """Queries, keys and values (B, S, 3 A)."""
        return self.qkv(self.norm_attention(x_BSE) * (1 + how[1]) + how[0])

    def after(self, x_BSE: Tensor, mixed_BSA: Tensor, how: Sequence[Tensor | float]) -> Tensor:
        x_BSE = x_BSE + self.out(mixed_BSA) * (1 + how[2])
        return x_BSE + self.down(F.gelu(self.up(self.norm_mlp(x_BSE) * (1 + how[4]) + how[3]))) * (1 + how[5])


class Experts(nn.Module):
    """Implements `networks.packed.TokenNetwork`.

    Raises:
        ValueError: a stream belongs to no expert.
    """

    def __init__(self, config: ExpertsConfig, streams: Sequence[Stream]) -> None:
        super().__init__()
        self.config = config
        self.streams = {s.name: s for s in streams}
        self.expert_of = {s.name: _expert_of(s.name, config.experts) for s in streams}
        self.widest = max(e.width for e in config.experts)
        width = {s.name: config.experts[self.expert_of[s.name]].width for s in streams}
        key, told = _module_key, config.told
        self.inputs = nn.ModuleDict({key(s.name): nn.Linear(s.dim, width[s.name]) for s in streams})
        self.outputs = nn.ModuleDict({key(s.name): nn.Linear(width[s.name], s.dim) for s in streams})
        self.positions = nn.ParameterDict(
            {key(s.name): nn.Parameter(torch.randn(s.tokens, width[s.name]) * 0.02) for s in streams}
        )
        self.missing = nn.ParameterDict({key(s.name): nn.Parameter(torch.randn(width[s.name]) * 0.02) for s in streams})
        self.level = nn.Sequential(nn.Linear(64, 4 * told), nn.SiLU(), nn.Linear(4 * told, told))
        self.text = nn.Linear(config.text_dim, told)
        self.quality = nn.Linear(2, told, bias=False)
        self.tell = nn.ModuleList([nn.Linear(told, e.width) for e in config.experts])
        self.layers = nn.ModuleList(
            [nn.ModuleList([_Branch(e.width, config) for e in config.experts]) for _ in range(config.layers)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(e.width) for e in config.experts])
        nn.init.zeros_(self.quality.weight)  # data without quality marks never trains it
        for output in self.outputs.values():
            assert isinstance(output, nn.Linear)
            nn.init.zeros_(output.weight)

    @property
    def depth(self) -> int:
        return len(self.layers)

    def embed(
        self,
        stream: str,
        x_BNTC: Tensor | None,
        level_BN: Tensor,
        condition: Condition,
        quality_BN: Tensor | None = None,
        missing_BN: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N, T, W + K + 1) of one stream in N steps."""
        key, expert = _module_key(stream), self.expert_of[stream]
        told = self.level(waves(level_BN, 32)) + self.text(condition.text)[:, None]
        if self.streams[stream].acts and quality_BN is not None:
            told = told + self.quality(quality_marks(quality_BN))
        told = F.silu(told)[:, :, None]
        absent = self.missing[key].expand(*level_BN.shape, self.streams[stream].tokens, -1)
        value = absent if x_BNTC is None else self.inputs[key](x_BNTC)
        if x_BNTC is not None and missing_BN is not None:
            value = torch.where(missing_BN[..., None, None], absent.to(value.dtype), value)
        value = value + self.positions[key] + self.tell[expert](told)
        tokens = value.shape[:3]
        number = torch.full((*tokens, 1), float(expert), device=value.device)
        padded = F.pad(value, (0, self.widest - value.shape[-1]))
        return torch.cat([padded, told.expand(*tokens, -1), number], -1)

    def forward(
        self,
        x: Tensor,
        times: Tensor,
        mask_SK: Tensor,
        past: KV | None = None,
        tap: int | None = None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, KV]:
        """Run the layers on tokens (B, S, W + K + 1), with the arguments of `TokenNetwork`.

        Returns:
            hidden states (B, S, W), those of narrow experts padded, and the keys and values of the S tokens.
        """
        number = x[0, :, -1].round().long()
        order = number.argsort(stable=True)
        sizes = torch.bincount(number, minlength=len(self.config.experts)).tolist()
        back = order.argsort()
        x, times, cached = x.index_select(1, order), times[..., order], mask_SK.shape[1] - len(order)
        mask = torch.cat([mask_SK[:, :cached], mask_SK[:, cached:][:, order]], 1)[order]
        bias = torch.zeros(mask.shape, device=x.device).masked_fill(~mask, float("-inf"))
        rotary = _rotary(times, self.config.head)
        parts = [p[..., : e.width] for p, e in zip(x.split(sizes, 1), self.config.experts)]
        told = [p[..., self.widest : -1] for p in x.split(sizes, 1)]
        keys, values = [], []
        for i, layer in enumerate(self.layers):
            before = None if past is None else (past.keys[i], past.values[i])
            parts, k, v = self._layer(layer, parts, told, rotary, bias, before)
            keys.append(k)
            values.append(v)
            if tap == i + 1:
                break
        else:
            parts = [norm(part) for norm, part in zip(self.norms, parts)]
        hidden = torch.cat([F.pad(p, (0, self.widest - p.shape[-1])) for p in parts], 1)
        kept = [torch.stack(x).index_select(-2, back) for x in (keys, values)]
        return hidden.index_select(1, back), KV(*kept)

    def _layer(
        self,
        layer: nn.Module,
        parts: Sequence[Tensor],
        told: Sequence[Tensor],
        rotary: tuple[Tensor, Tensor],
        bias: Tensor,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        assert isinstance(layer, nn.ModuleList)
        branches = [branch for branch in layer if isinstance(branch, _Branch)]
        how = [branch.modulate(t) for branch, t in zip(branches, told)]
        qkv = torch.cat([branch.before(p, h) for branch, p, h in zip(branches, parts, how)], 1)
        q, k, v = qkv.unflatten(-1, (3, self.config.heads, self.config.head)).permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, *rotary), _rotate(k, *rotary)
        seen, what = (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))
        # Plain products: on a CPU the fused kernel's backward pass is slower than these two lines.
        scores = (q * self.config.head**-0.5) @ seen.transpose(-1, -2) + bias
        mixed = (scores.softmax(-1) @ what).transpose(1, 2).flatten(2)
        mixes = mixed.split([p.shape[1] for p in parts], 1)
        return [branch.after(p, m, h) for branch, p, m, h in zip(branches, parts, mixes, how)], k, v

    def read(self, stream: str, hidden: Tensor) -> Tensor:
        """What the output layer of a stream makes of hidden states (..., W): (..., C)."""
        width = self.config.experts[self.expert_of[stream]].width
        return self.outputs[_module_key(stream)](hidden[..., :width])


@dataclass(frozen=True)
class Inherit:
    """Starts the layers of one expert from those of another, interpolated to its width and scaled so that what comes
    out is as large: beside a trained video expert, training an action expert from random weights is unstable
    (LingBot-VA, section 4.2, where the factor is sqrt(d_video / d_action))."""

    heir: str
    source: str

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> None:
        for network in (m for m in model.modules() if isinstance(m, Experts)):
            names = [e.name for e in network.config.experts]
            for layer in network.layers:
                assert isinstance(layer, nn.ModuleList)
                weights = dict(layer[names.index(self.source)].named_parameters())
                for name, own in layer[names.index(self.heir)].named_parameters():
                    own.copy_(_resized(weights[name], own.shape))


def _resized(weight: Tensor, shape: torch.Size) -> Tensor:
    """A vector, or a matrix (out, in), interpolated to another shape."""
    if len(shape) == 1:
        return F.interpolate(weight[None, None], size=shape[0], mode="linear", align_corners=True)[0, 0]
    scale = math.sqrt(weight.shape[1] / shape[1])
    size = (shape[0], shape[1])
    return scale * F.interpolate(weight[None, None], size=size, mode="bilinear", align_corners=True)[0, 0]


def _expert_of(stream: str, experts: Sequence[Expert]) -> int:
    for i, expert in enumerate(experts):
        if any(fnmatchcase(stream, pattern) for pattern in expert.streams):
            return i
    raise ValueError(f"stream {stream!r} belongs to no expert: there are {', '.join(e.name for e in experts)}")
