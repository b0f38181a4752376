"""Wan 2.1's transformer as a network of the timeline: causal, cached, with streams it was not published with.

The published weights are used where they are: patch embedding, time and text embedders, every block's projections,
norms, modulation and feed-forward layer, and the output. What is added:

- Attention follows the timeline's mask, and keys and values can be cached. Rotary positions are (block, row, column)
  with absolute blocks, so that eviction re-indexes nothing. Cameras stand side by side, as in one wide picture.
- Levels differ by token, and so does the modulation that follows from them. Wan's time is 1000 times the level.
- Action, state and value are tokens too (the *added* ones). Attention to them is a softmax of its own, added
  through a gate that starts at zero for video tokens: before the first step of fine-tuning the video path is exactly
  the published model's. Outputs of added streams start at zero as well.

A session carries embeddings and hidden states without looking into them, so this network puts into them what it needs
again later: the noisy value and the level, which turn a predicted velocity into a clean value, and the token's place.

Wan: Wang et al. 2025, section 4.2. Gates: Alayrac et al. 2022 (Flamingo), section 2.2. Causal video with a cache:
Ye et al. 2026 (DreamZero), section 3.

Shapes: B batch, S tokens, P cached tokens, K = P + S, D width, H heads, N blocks in one call, T tokens of a stream,
C numbers a token, L text tokens, U different levels.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.networks.embedding import quality_marks
from presage.networks.lora import adapt
from presage.networks.names import is_video
from presage.networks.packed import KV
from presage.timeline.backbone import Condition
from presage.timeline.streams import Stream

if TYPE_CHECKING:
    from diffusers import WanTransformer3DModel

LORA_LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
TEXT_LENGTH = 512
"""Text tokens the published model looks at, zeros behind the sentence included."""
ROTARY_BASE = 10_000.0
TIME = 1000.0
_PLACE = 4  # level, row, column, added?


@dataclass(frozen=True)
class _Pass:
    """What all layers of one call share."""

    modulation: Tensor
    """(U, 6, D) of the different levels"""
    which: Tensor
    """(B, S) index of each token's level"""
    rotary: tuple[Tensor, Tensor]
    text: Tensor
    """(B, L, D)"""
    text_bias: Tensor
    """(L,)"""
    image: Tensor | None = None
    """(B, I, D) tokens of the first frame, for weights that were published with them"""
    mask: Tensor | None = None
    """(S, K) who looks at which video keys; None: everybody at all"""
    added_S: Tensor | None = None
    added_keys: Tensor | None = None
    """indices of added keys; None: there are none"""
    added_mask: Tensor | None = None
    """(S, added keys)"""


class _Carried(NamedTuple):
    """What rides along with a token."""

    x: Tensor
    noisy: Tensor
    place: Tensor


class WanNetwork(nn.Module):
    """`embed`, `forward` and `read` of a published `WanTransformer3DModel`; see `TokenNetwork` for what they mean.

    Args:
        transformer: diffusers' model; its weights are used in place.
        streams: of one block, in token order.
        grid: tokens a side of one camera.
        lora: rank of the trained change of the frozen weights; None: all weights are trained.
    """

    def __init__(
        self, transformer: "WanTransformer3DModel", streams: list[Stream], grid: int, lora: int | None
    ) -> None:
        super().__init__()
        c = transformer.config
        d = c.num_attention_heads * c.attention_head_dim
        self.streams = {s.name: s for s in streams}
        self.width, self.heads, self.grid = d, c.num_attention_heads, grid
        self.noisy_dim = 4 * c.out_channels
        self.transformer = transformer
        if lora is not None:
            adapt(transformer, LORA_LAYERS, lora)
        added = [s for s in streams if not is_video(s)]
        self.inputs = nn.ModuleDict({s.name: nn.Linear(s.dim, d) for s in added})
        self.outputs = nn.ModuleDict({s.name: nn.Linear(d, s.dim) for s in added})
        self.positions = nn.ParameterDict({s.name: nn.Parameter(torch.randn(s.tokens, d) * 0.02) for s in added})
        self.missing = nn.ParameterDict({s.name: nn.Parameter(torch.randn(d) * 0.02) for s in added})
        self.quality = nn.Linear(2, d, bias=False)
        self.gates = nn.Parameter(torch.zeros(c.num_layers, d))
        nn.init.zeros_(self.quality.weight)
        for output in self.outputs.values():
            assert isinstance(output, nn.Linear)
            nn.init.zeros_(output.weight)
        self.to(next(transformer.parameters()).device)

    def trained(self) -> dict[str, nn.Parameter]:
        """What training changes and a checkpoint holds."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    # -- the seam -----------------------------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        return len(self.gates)

    def embed(
        self,
        stream: str,
        x_BNTC: Tensor | None,
        level_BN: Tensor,
        condition: Condition,
        quality_BN: Tensor | None = None,
        missing_BN: Tensor | None = None,
    ) -> Tensor:
        """Tokens of one stream in N blocks, as `forward` takes them (B, N, T, D + what rides along). Text enters
        later."""
        s = self.streams[stream]
        shape = (*level_BN.shape, s.tokens)
        place = level_BN.new_zeros(*shape, _PLACE)
        place[..., 0] = level_BN[..., None]
        noisy = level_BN.new_zeros(*shape, self.noisy_dim)
        if is_video(s):
            if x_BNTC is None:
                raise ValueError(f"{stream}: a frame is always there, given or noisy")
            # Weights published for image-to-video have more channels, for the first frame; the past tells that here.
            weight = self.transformer.patch_embedding.weight[:, : self.noisy_dim // 4].flatten(1)
            x = F.linear(x_BNTC.to(weight.dtype), weight, self.transformer.patch_embedding.bias)
            noisy[..., : s.dim] = x_BNTC
            index = torch.arange(s.tokens, device=x.device)
            place[..., 1] = index // self.grid
            place[..., 2] = index % self.grid + self.grid * self._camera(stream)
        else:
            x = self._embed_added(s, x_BNTC, shape, quality_BN, missing_BN)
            place[..., 3] = 1.0
        return torch.cat([x.float(), noisy, place], -1)

    def _embed_added(
        self, s: Stream, x: Tensor | None, shape: tuple[int, ...], quality: Tensor | None, missing: Tensor | None
    ) -> Tensor:
        absent = self.missing[s.name].expand(*shape, -1)
        value = absent if x is None else self.inputs[s.name](x).float()
        if x is not None and missing is not None:
            value = torch.where(missing[..., None, None], absent, value)
        if s.acts and quality is not None:
            value = value + self.quality(quality_marks(quality))[:, :, None]
        return value + self.positions[s.name]

    def forward(
        self,
        packed_BSE: Tensor,
        blocks: Tensor,
        mask_SK: Tensor,
        past: KV | None = None,
        tap: int | None = None,
        condition: Condition | None = None,
    ) -> tuple[Tensor, KV]:
        """Run the layers.

        Args:
            packed_BSE: what `embed` returned.
            blocks: (S,) block index of each token; (B, 1, S) where rows are at different times.
            mask_SK: True where a token may look; the cached tokens first.
            past: keys and values of the P cached tokens, and one layer more of keys: 1 where a key is an added one.
            tap: return the plain hidden states (B, S, D) after this many layers.
            condition: its text is (B, L, E), zeros behind the instruction.

        Returns:
            what `read` takes, and the keys and values of the S tokens in the form of `past`.
        """
        assert condition is not None, "Wan looks at the instruction in every layer"
        text = condition.text
        x, noisy, place = self._unpack(packed_BSE)
        place = place.detach()
        level, row, column, added_S = place[..., 0], place[0, :, 1], place[0, :, 2], place[0, :, 3] > 0.5
        added_K = added_S
        if past is not None:
            added_K = torch.cat([past.keys[-1][0, 0, :, 0] > 0.5, added_S])
        added_keys = added_K.nonzero()[:, 0]
        levels, which = torch.unique(level, return_inverse=True)
        time, modulation = self._time(levels)
        shared = _Pass(
            modulation,
            which,
            self._rotary(blocks, row, column),
            self.transformer.condition_embedder.text_embedder(text.to(self._dtype)),
            padding_bias(text.shape[1], text.device),
            mask=mask_SK & ~added_K,
            added_S=added_S,
            added_keys=added_keys,
            added_mask=mask_SK[:, added_keys],
        )
        x = x.to(self._dtype)
        keys, values = [], []
        for i in range(len(self.transformer.blocks)):
            cached = None if past is None else (past.keys[i], past.values[i])
            x, k, v = self._layer(i, x, shared, cached)
            keys.append(k)
            values.append(v)
            if tap == i + 1:
                return x, KV(torch.stack(keys), torch.stack(values))
        x = self._finish(x, time, which)
        keys.append(added_S.to(x.dtype)[None, None, :, None].expand_as(k).to(k.dtype))
        return torch.cat([x.float(), noisy, place], -1), KV(torch.stack(keys), torch.stack(values))

    def read(self, stream: str, hidden: Tensor) -> Tensor:
        """Predicted clean value (..., C): Wan's `x_k - k * velocity` for video, the token itself for added streams."""
        x, noisy, place = self._unpack(hidden)
        if not is_video(self.streams[stream]):
            return self.outputs[stream](x)
        velocity = self.transformer.proj_out(x.to(self._dtype)).float()
        velocity = velocity.unflatten(-1, (4, -1)).transpose(-1, -2).flatten(-2)  # patch, channel -> channel, patch
        return noisy - place[..., :1] * velocity

    # -- as published -------------------------------------------------------------------------------------------------

    def clip_velocity(self, latents: Tensor, level_B: Tensor, text: Tensor, image: Tensor | None = None) -> Tensor:
        """The published forward pass: a whole clip at one level, every token looking at every other.

        Args:
            latents: (B, Z, F, h, w) noisy; weights for image-to-video take the first frame's mask and latents behind
            them.
            level_B: in [0, 1].
            text: (B, L, E), zeros behind the instruction.
            image: (B, I, E') features of the first frame, for weights that were published with them.

        Returns:
            velocity (B, Z, F, h, w).
        """
        _, _, frames, high, wide = latents.shape
        rows, columns = high // 2, wide // 2
        x = self.transformer.patch_embedding(latents.to(self._dtype)).flatten(2).transpose(1, 2)
        place = torch.cartesian_prod(*(torch.arange(n, device=x.device) for n in (frames, rows, columns)))
        time, modulation = self._time(level_B)
        which = torch.arange(len(x), device=x.device)[:, None].expand(-1, x.shape[1])
        embedder = self.transformer.condition_embedder
        shared = _Pass(
            modulation,
            which,
            self._rotary(place[:, 0], place[:, 1], place[:, 2]),
            embedder.text_embedder(text.to(self._dtype)),
            padding_bias(text.shape[1], text.device),
            image=None if image is None else embedder.image_embedder(image.to(self._dtype)),
        )
        for i in range(len(self.transformer.blocks)):
            x, _, _ = self._layer(i, x, shared, None)
        x = self.transformer.proj_out(self._finish(x, time, which))
        x = x.unflatten(1, (frames, rows, columns)).unflatten(-1, (2, 2, -1))
        return x.permute(0, 6, 1, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _dtype(self) -> torch.dtype:
        return self.transformer.proj_out.weight.dtype

    def _camera(self, stream: str) -> int:
        return [s.name for s in self.streams.values() if is_video(s)].index(stream)

    def _unpack(self, packed: Tensor) -> _Carried:
        return _Carried(*packed.split((self.width, self.noisy_dim, _PLACE), -1))

    def _time(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """(U,) levels -> time embedding (U, D) and modulation (U, 6, D)."""
        embedder = self.transformer.condition_embedder
        waves = embedder.timesteps_proj(levels * TIME)
        time = embedder.time_embedder(waves.to(embedder.time_embedder.linear_1.weight.dtype))
        modulation = embedder.time_proj(embedder.act_fn(time.to(self._dtype)))
        return time, modulation.unflatten(-1, (6, -1))

    def _rotary(self, blocks: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines (S, D/H/2), or (B, 1, S, D/H/2): a third of the channels each for time, row and column."""
        head = self.width // self.heads
        space = 2 * (head // 6)
        angles = [
            at.double()[..., None] * ROTARY_BASE ** -torch.arange(0, 1, 2 / n, device=at.device, dtype=torch.float64)
            for at, n in ((blocks, head - 2 * space), (rows, space), (columns, space))
        ]
        shape = angles[0].shape[:-1]
        angle = torch.cat([a.expand(*shape, -1) for a in angles], -1)
        return angle.cos().float(), angle.sin().float()

    def _layer(
        self, i: int, x: Tensor, shared: _Pass, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        block = self.transformer.blocks[i]
        table = block.scale_shift_table.float() + shared.modulation.float()
        shift, scale, gate, shift_ffn, scale_ffn, gate_ffn = (part[shared.which] for part in table.unbind(1))
        y = (block.norm1(x.float()) * (1 + scale) + shift).to(x.dtype)
        attention = block.attn1
        v = self._split(attention.to_v(y))
        q = _rotate(self._split(attention.norm_q(attention.to_q(y))), *shared.rotary).to(v.dtype)
        k = _rotate(self._split(attention.norm_k(attention.to_k(y))), *shared.rotary).to(v.dtype)
        keys, values = (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))
        mixed = _join(F.scaled_dot_product_attention(q, keys, values, attn_mask=shared.mask))
        if shared.added_keys is not None:
            mixed = mixed + self._look_at_added(i, q, keys, values, shared)
        x = (x.float() + attention.to_out[0](mixed) * gate).to(x.dtype)
        x = x + self._look_at_text(block.attn2, block.norm2(x.float()).to(x.dtype), shared)
        y = (block.norm3(x.float()) * (1 + scale_ffn) + shift_ffn).to(x.dtype)
        return (x.float() + block.ffn(y).float() * gate_ffn).to(x.dtype), k, v

    def _look_at_added(self, i: int, q: Tensor, keys: Tensor, values: Tensor, shared: _Pass) -> Tensor:
        """Attention (B, S, D) to added keys; video tokens take it through their gate, added tokens as it is."""
        assert shared.added_keys is not None and shared.added_S is not None
        keys, values = (x.index_select(2, shared.added_keys) for x in (keys, values))
        mixed = _join(F.scaled_dot_product_attention(q, keys, values, attn_mask=shared.added_mask))
        gate = torch.where(shared.added_S[:, None], 1.0, self.gates[i])
        return mixed * gate.to(mixed.dtype)

    def _look_at_text(self, attention: Any, y: Tensor, shared: _Pass) -> Tensor:
        v = self._split(attention.to_v(shared.text))
        q = self._split(attention.norm_q(attention.to_q(y))).to(v.dtype)
        k = self._split(attention.norm_k(attention.to_k(shared.text))).to(v.dtype)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=shared.text_bias.to(v.dtype)[None, None, None])
        if shared.image is not None:
            v = self._split(attention.add_v_proj(shared.image))
            k = self._split(attention.norm_added_k(attention.add_k_proj(shared.image))).to(v.dtype)
            mixed = mixed + F.scaled_dot_product_attention(q, k, v)
        return attention.to_out[0](_join(mixed))

    def _finish(self, x: Tensor, time: Tensor, which: Tensor) -> Tensor:
        table = self.transformer.scale_shift_table.float() + time.float()[:, None]
        shift, scale = (part[which] for part in table.unbind(1))
        return (self.transformer.norm_out(x.float()) * (1 + scale) + shift).to(x.dtype)

    def _split(self, x: Tensor) -> Tensor:
        """(B, S, D) -> (B, H, S, D/H)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate neighbouring channels as pairs, in fp32."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


def padding_bias(length: int, device: torch.device) -> Tensor:
    """(L,) added to the scores of L text tokens: the last one, a zero, stands for all zeros up to the published length.

    Equal keys and values that are n times there weigh as one whose score is larger by log n.
    """
    bias = torch.zeros(length, device=device)
    bias[-1] = math.log(TEXT_LENGTH - length + 1)
    return bias
