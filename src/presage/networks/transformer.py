"""The timeline transformer: predicts the clean value of every token from noisy ones, given the clean past.

Levels, text and behaviour quality enter once, added to the token embedding per (stream, block): per-token modulation in
every layer costs a quarter of the arithmetic on a CPU. Time enters by rotary embedding of the absolute block index, so
a cache that drops its oldest block re-indexes nothing.

Shapes: B batch, S tokens, P cached tokens, D width, H heads, N blocks in one call, T tokens of a stream, C numbers a
token.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.networks.embedding import quality_marks, waves
from presage.networks.packed import KV
from presage.networks.reader import SceneReader
from presage.timeline.backbone import Condition
from presage.timeline.streams import Stream


@dataclass(frozen=True)
class TransformerConfig:
    width: int = 256
    layers: int = 6
    heads: int = 4
    mlp: int = 4
    """Hidden width of the feed-forward layers as a multiple of `width`."""
    reader: int = 384
    """Width of the scene reader."""
    text_dim: int = 256
    window: int = 3
    """Clean blocks before its own that a token sees."""
    streams: list[Stream] = field(default_factory=list)
    beside: Sequence[str] = ()
    """Streams of which a token is read with what was seen last at its place (`packed.Packed`)."""


class _Layer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d = config.width
        self.heads = config.heads
        self.norm_attention = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.norm_mlp = nn.LayerNorm(d)
        self.up = nn.Linear(d, config.mlp * d)
        self.down = nn.Linear(config.mlp * d, d)

    def forward(
        self,
        x_BSD: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask_SK: Tensor,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        b, s, d = x_BSD.shape
        qkv = self.qkv(self.norm_attention(x_BSD)).view(b, s, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = _rotate(q, *rotary), _rotate(k, *rotary)
        keys, values = k, v
        if past is not None:
            keys, values = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        # Plain products: on a CPU the fused kernel's backward pass is slower than these three lines.
        scores = (q * (d // self.heads) ** -0.5) @ keys.transpose(-1, -2) + mask_SK
        mixed = scores.softmax(-1) @ values
        x_BSD = x_BSD + self.out(mixed.transpose(1, 2).reshape(b, s, d))
        x_BSD = x_BSD + self.down(F.gelu(self.up(self.norm_mlp(x_BSD))))
        return x_BSD, k, v


class Transformer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.streams = {s.name: s for s in config.streams}
        d = config.width
        key, read = _module_key, {s.name: s.dim * (1 + (s.name in config.beside)) for s in config.streams}
        self.inputs = nn.ModuleDict(
            {key(s.name): nn.Linear(read[s.name], d) for s in config.streams if s.derive is None}
        )
        for s in config.streams:
            if s.derive is not None:
                action = next(a.dim for a in config.streams if a.acts)
                self.inputs[key(s.name)] = SceneReader(s.dim, config.text_dim, config.reader, d, action)
        self.outputs = nn.ModuleDict({key(s.name): nn.Linear(d, s.dim) for s in config.streams if s.derive is None})
        self.positions = nn.ParameterDict(
            {key(s.name): nn.Parameter(torch.randn(s.tokens, d) * 0.02) for s in config.streams}
        )
        self.missing = nn.ParameterDict({key(s.name): nn.Parameter(torch.randn(d) * 0.02) for s in config.streams})
        self.level = nn.Sequential(nn.Linear(64, d), nn.SiLU(), nn.Linear(d, d))
        self.text = nn.Linear(config.text_dim, d)
        self.quality = nn.Linear(2, d, bias=False)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(d)
        # Data without quality marks never trains these weights, so they must start without an effect.
        nn.init.zeros_(self.quality.weight)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            for linear in (layer.out, layer.down):  # residual branches start small, so that depth does not explode
                nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * config.layers))
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
        """Token embeddings (B, N, T, D) of one stream in N blocks.

        `x_BNTC=None` asks with the learned query alone. `quality` (1 expert, 0 not, NaN unknown) conditions the action
        stream on how well the robot is to behave. `missing` marks blocks where the stream was not recorded.
        """
        key, text_BE = _module_key(stream), condition.text
        context = self.level(waves(level_BN, 32)) + self.text(text_BE)[:, None]
        if self.streams[stream].acts and quality_BN is not None:
            context = context + self.quality(quality_marks(quality_BN))
        absent = self.missing[key].expand(*level_BN.shape, self.streams[stream].tokens, -1)
        if x_BNTC is None:
            value = absent
        else:
            read = self.inputs[key]
            value = read(x_BNTC, text_BE) if isinstance(read, SceneReader) else read(x_BNTC)
            if missing_BN is not None:
                value = torch.where(missing_BN[..., None, None], absent.to(value.dtype), value)
        return value + self.positions[key] + context[:, :, None]

    def forward(
        self,
        x_BSD: Tensor,
        times: Tensor,
        mask_SK: Tensor,
        past: KV | None = None,
        tap: int | None = None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, KV]:
        """Run the layers.

        Args:
            x_BSD: token embeddings.
            times: (S,) when each token is, in steps, for the rotary embedding; (B, 1, S) where rows differ.
            mask_SK: True where a token may look; K = P + S, the cached tokens first.
            past: keys and values of the P cached tokens.
            tap: return the hidden states after this many layers instead of the normalised last ones.
            condition: not looked at: `embed` has added it. Other networks look at it in every layer.

        Returns:
            hidden states (B, S, D) and the keys and values of the S tokens.
        """
        rotary = _rotary(times, self.config.width // self.config.heads)
        bias = torch.zeros(mask_SK.shape, device=x_BSD.device).masked_fill(~mask_SK, float("-inf"))
        keys, values = [], []
        for i, layer in enumerate(self.layers):
            x_BSD, k, v = layer(x_BSD, rotary, bias, None if past is None else (past.keys[i], past.values[i]))
            keys.append(k)
            values.append(v)
            if tap == i + 1:
                return x_BSD, KV(torch.stack(keys), torch.stack(values))
        return self.norm(x_BSD), KV(torch.stack(keys), torch.stack(values))

    def read(self, stream: str, hidden: Tensor) -> Tensor:
        """What the output layer makes of hidden states (..., D) of that stream: (..., C)."""
        return self.outputs[_module_key(stream)](hidden)


def _module_key(stream: str) -> str:
    return stream.replace(".", "_")


def _rotary(blocks: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines (..., S, dim/2); periods from 2 pi to about 600 blocks, since the window is short."""
    frequency = torch.exp(-torch.linspace(0.0, math.log(100.0), dim // 2, device=blocks.device))
    angle = blocks[..., None].float() * frequency
    return angle.cos(), angle.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)
