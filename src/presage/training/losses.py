"""The one training loss: every noise level of every stream of a window, teacher-forced on its clean past.

A window of T rows becomes one sequence:

    clean blocks 0 .. T-1          (a[i-1], o[i], progress?)   the past that everything else looks at
    action blocks 1 .. T           (a[i-1])                    the policy with imagination skipped: one token each
    noisy blocks, some of 1 .. T-1 (a[i-1], o[i])              levels drawn from the law: all other uses

so that what is trained is exactly what a cached session computes.

Shapes: B batch, N blocks, T tokens of a stream, C numbers per token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from presage.networks.world_model import WorldModel
from presage.timeline.attention import timeline_rule
from presage.timeline.levels import DYNAMICS_ONLY, Law, draw, draw_levels
from presage.timeline.sampler import corrupt, flow_weight
from presage.timeline.streams import ACTION, PROGRESS, STATE, VIDEO, Stream, Tokens, block_tokens


@dataclass(frozen=True)
class Batch:
    """B windows of N rows, normalised. `values[ACTION]` at row i is the chunk executed after frame i."""

    values: dict[str, Tensor]
    """stream -> (B, N, T, C)"""
    text: Tensor
    """(B, 256)"""
    frame_valid: Tensor
    """(B, N) False where the row is padding past the episode's end"""
    action_valid: Tensor
    """(B, N) False where no chunk was executed or recorded"""
    quality: Tensor
    """(B, N) of the chunk: 1 expert, 0 not, NaN unknown"""
    progress_valid: Tensor
    """(B, N) False where the outcome of the episode is unknown"""

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            {k: v.to(device) for k, v in self.values.items()},
            *(
                getattr(self, f).to(device)
                for f in ("text", "frame_valid", "action_valid", "quality", "progress_valid")
            ),
        )


@dataclass(frozen=True)
class LossConfig:
    law: Law = Law()
    noisy_blocks: int = 2
    """Fully noised blocks per window; each costs as many tokens as a clean one."""
    context_noise: float = 0.2
    """Half of the clean frames are noised up to this level, so that a dream survives its own small errors."""
    drop_actions: float = 0.15
    """Share of windows whose past actions are hidden: video without actions is data too."""
    poor_policy_weight: float = 0.2
    """Weight of the policy loss on chunks that are not the expert's."""


def timeline_loss(
    model: WorldModel, batch: Batch, config: LossConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts (detached scalars)."""
    network, values = model.network, batch.values
    b, n = batch.frame_valid.shape
    device = batch.text.device
    streams = model.streams
    recorded = [s for s in streams if not s.is_query]

    def noise_like(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator).to(device)

    # Clean blocks. Block i holds the action of row i - 1; block 0 has none.
    drop = (torch.rand(b, generator=generator) < config.drop_actions).to(device)
    past_action = torch.roll(values[ACTION], 1, 1)
    past_missing = ~torch.roll(batch.action_valid, 1, 1) | drop[:, None]
    past_missing[:, 0] = True
    context = draw_levels(b * n, 0.0, generator).view(b, n) * config.context_noise
    context = (context * (torch.rand(b, n, generator=generator) < 0.5)).to(device)
    clean = []
    for s in streams:
        if s.kind == ACTION:
            level = past_missing.float()
            clean.append(network.embed(s.name, past_action, level, batch.text, missing_BN=past_missing))
        elif s.is_query:
            clean.append(network.embed(s.name, None, torch.ones(b, n, device=device), batch.text))
        else:
            x = values[s.name]
            clean.append(network.embed(s.name, corrupt(x, noise_like(x), context), context, batch.text))

    # Action blocks: the policy, imagination skipped.
    policy_level = draw_levels(b * n, 0.5, generator).view(b, n).to(device)
    noisy_action = corrupt(values[ACTION], noise_like(values[ACTION]), policy_level)
    policy = network.embed(ACTION, noisy_action, policy_level, batch.text, batch.quality, ~batch.action_valid)

    # Noisy blocks: the same block indices for the whole batch, so that one mask serves it.
    chosen = (torch.randperm(n - 1, generator=generator)[: config.noisy_blocks].sort().values + 1).to(device)
    m = len(chosen)
    row_quality = batch.quality[:, chosen - 1]
    row_missing = ~batch.action_valid[:, chosen - 1]
    kv, ka = draw(config.law, b * m, generator)
    kv_poor, ka_poor = draw(DYNAMICS_ONLY, b * m, generator)
    poor = (row_quality < 0.5).cpu().view(-1)
    video_level = torch.where(poor, kv_poor, kv).view(b, m).to(device)
    action_level = torch.where(poor, ka_poor, ka).view(b, m).to(device)
    action_level = torch.where(row_missing, 1.0, action_level)
    noisy = []
    for s in recorded:
        if s.kind == ACTION:
            x = corrupt(values[ACTION][:, chosen - 1], noise_like(values[ACTION][:, chosen - 1]), action_level)
            noisy.append(network.embed(s.name, x, action_level, batch.text, row_quality, row_missing))
        else:
            x = values[s.name][:, chosen]
            noisy.append(network.embed(s.name, corrupt(x, noise_like(x), video_level), video_level, batch.text))

    tokens = _sequence(streams, recorded, n, chosen.tolist(), device)
    mask = timeline_rule(model.config.window)(tokens, tokens)
    parts = [torch.cat(clean, 2).flatten(1, 2), policy.flatten(1, 2), torch.cat(noisy, 2).flatten(1, 2)]
    hidden, _ = network(torch.cat(parts, 1), tokens.block, mask)
    h_clean, h_policy, h_noisy = hidden.split([p.shape[1] for p in parts], 1)

    losses: dict[str, Tensor] = {}
    sizes = [s.tokens for s in streams]
    progress = h_clean.unflatten(1, (n, sum(sizes))).split(sizes, 2)[[s.kind for s in streams].index(PROGRESS)]
    error = (network.read(PROGRESS, progress).float() - values[PROGRESS]).square().mean((2, 3))
    losses["progress"] = _mean(error, (batch.progress_valid & batch.frame_valid).float())

    error = (network.read(ACTION, h_policy).float()[:, :, None] - values[ACTION]).square().mean((2, 3))
    weight = torch.where(batch.quality < 0.5, config.poor_policy_weight, 1.0) * flow_weight(policy_level)
    losses["policy"] = _mean(error * weight, batch.action_valid.float())

    pieces = h_noisy.unflatten(1, (m, sum(s.tokens for s in recorded))).split([s.tokens for s in recorded], 2)
    for s, h in zip(recorded, pieces, strict=True):
        if s.kind == ACTION:
            target, level, valid = values[ACTION][:, chosen - 1], action_level, ~row_missing
            valid = valid & (action_level > 0) & ~((video_level == 1) & (row_quality < 0.5))
        else:
            target, level = values[s.name][:, chosen], video_level
            valid = batch.frame_valid[:, chosen] & (video_level > 0)
        error = (network.read(s.name, h).float() - target).square().mean((2, 3)) * flow_weight(level)
        losses[s.kind if s.kind != VIDEO else s.name] = _mean(error, valid.float())

    video = torch.stack([v for k, v in losses.items() if k.startswith(VIDEO)]).mean()
    total = video + losses["policy"] + losses[ACTION] + 0.5 * losses["progress"]
    if STATE in losses:
        total = total + 0.25 * losses[STATE]
    return total, {"loss": total.detach(), **{k: v.detach() for k, v in losses.items()}}


def _sequence(streams: list[Stream], recorded: list[Stream], n: int, chosen: list[int], device: torch.device) -> Tokens:
    action = [s for s in streams if s.kind == ACTION]
    parts = [block_tokens(streams, i, 0, device) for i in range(n)]
    parts += [block_tokens(action, i + 1, 2, device) for i in range(n)]
    parts += [block_tokens(recorded, i, 1, device) for i in chosen]
    return Tokens.cat(parts)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum() / weight.sum().clamp(min=1.0)
