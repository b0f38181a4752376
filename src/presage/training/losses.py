"""The one training loss: every noise level of every stream of a window, teacher-forced on its clean past.

A window of T rows becomes one sequence:

    clean blocks 0 .. T-1          (a[i-1], o[i], progress?)   the past that everything else looks at
    action blocks 1 .. T           (a[i-1])                    the policy with imagination skipped: one token each
    noisy blocks, some of 1 .. T-1 (a[i-1], o[i])              levels drawn from the law: all other uses

so that what is trained is exactly what a cached session computes.

Shapes: B batch, N blocks, T tokens of a stream, C numbers per token.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from presage.networks.kinematics import Kinematics
from presage.networks.world_model import WorldModel
from presage.timeline.attention import timeline_rule
from presage.timeline.levels import DYNAMICS_ONLY, Law, draw, draw_levels, state_level, unless_given
from presage.timeline.sampler import corrupt, flow_weight
from presage.timeline.streams import ACTION, PROGRESS, SCENE, STATE, VIDEO, Stream, Tokens, block_tokens


@dataclass(frozen=True)
class Batch:
    """B windows of N rows, normalised. `values[ACTION]` at row i is the chunk executed after frame i."""

    values: dict[str, Tensor]
    """stream -> (B, N, T, C)"""
    text: Tensor
    """(B, ...) as the model's `embed_text` gives it"""
    frame_valid: Tensor
    """(B, N) False where the row is padding past the episode's end"""
    action_valid: Tensor
    """(B, N) False where no chunk was executed or recorded"""
    quality: Tensor
    """(B, N) of the chunk: 1 expert, 0 not, NaN unknown"""
    progress_valid: Tensor
    """(B, N) False where the outcome of the episode is unknown"""
    dream_known: Tensor
    """(B, N) False where `dreamed` has no frame"""
    dreamed: dict[str, Tensor] = field(default_factory=dict)
    """what the model itself dreamed of these frames: stream -> (B, N, T, C); empty: no dreams"""
    has: dict[str, Tensor] = field(default_factory=dict)
    """stream -> (B, 1, 1, C) False for numbers that the robot of a window has not; absent: all have all"""

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            {k: v.to(device) for k, v in self.values.items()},
            self.text.to(device),
            self.frame_valid.to(device),
            self.action_valid.to(device),
            self.quality.to(device),
            self.progress_valid.to(device),
            self.dream_known.to(device),
            {k: v.to(device) for k, v in self.dreamed.items()},
            {k: v.to(device) for k, v in self.has.items()},
        )


def cat_batches(parts: list[Batch]) -> Batch:
    """One batch of the windows of several."""
    first = parts[0]
    return Batch(
        {k: torch.cat([p.values[k] for p in parts]) for k in first.values},
        torch.cat([p.text for p in parts]),
        torch.cat([p.frame_valid for p in parts]),
        torch.cat([p.action_valid for p in parts]),
        torch.cat([p.quality for p in parts]),
        torch.cat([p.progress_valid for p in parts]),
        torch.cat([p.dream_known for p in parts]),
        {k: torch.cat([p.dreamed[k] for p in parts]) for k in first.dreamed},
        {k: torch.cat([p.has[k] for p in parts]) for k in first.has},
    )


@dataclass(frozen=True)
class LossConfig:
    law: Law = Law()
    noisy_blocks: int = 2
    """Fully noised blocks per window; each costs as many tokens as a clean one."""
    context_noise: float = 0.4
    """Half of the clean frames are noised up to this level, so that a dream survives its own small errors. Half of the
    windows keep their states: those that follow from actions are better than the images."""
    dreamed: float = 0.8
    """Share of windows that are shown their dream where there is one (training/dreams.py); the goal stays the truth."""
    drop_actions: float = 0.4
    """Share of windows whose past actions are hidden: video without actions is data too."""
    drop_quality: float = 0.15
    """Share of windows that are not told how well the robot behaves: a dream must not assume that it behaves well."""
    memoryless: float = 0.6
    """Share of steps in which a frame is all that is seen: no past, no action that led there. How policies look."""
    poor_policy_weight: float = 0.2
    """Weight of the policy loss on chunks that are not the expert's."""


BETA = {ACTION: 0.1, STATE: 0.02}
"""Error, in half ranges, beyond which it counts by its size and not by its square. The hand moves by 0.05 in a step:
with squared errors a step of the hand was worth nothing beside the pixels, and dreams lost the arm (docs/decisions.md).
"""


@dataclass(frozen=True)
class _Noisy:
    """The noisy blocks of a batch: which, at which levels, embedded."""

    chosen: Tensor
    """(M,) block indices, the same for the whole batch so that one mask serves it"""
    levels: dict[str, Tensor]
    """kind of stream -> (B, M)"""
    embedded: Tensor
    """(B, M * tokens, D)"""


def timeline_loss(
    model: WorldModel, batch: Batch, config: LossConfig, generator: torch.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and its parts (detached scalars)."""
    network, values, device = model.network, batch.values, batch.text.device
    b, n = batch.frame_valid.shape
    streams = model.streams

    untold = (torch.rand(b, 1, generator=generator) < config.drop_quality).to(device)
    told_quality = torch.where(untold, float("nan"), batch.quality)
    window = 0 if float(torch.rand(1, generator=generator)) < config.memoryless else model.config.window
    clean, shown = _embed_clean(model, batch, config, generator, hide_actions=window == 0)
    policy_level = draw_levels(b * n, 0.5, generator).view(b, n).to(device)
    noisy_action = corrupt(values[ACTION], _noise_like(values[ACTION], generator), policy_level)
    policy = network.embed(ACTION, noisy_action, policy_level, batch.text, told_quality, ~batch.action_valid)
    parts = [clean, policy.flatten(1, 2)]
    noisy = _embed_noisy(model, batch, told_quality, config, generator) if config.noisy_blocks else None
    if noisy is not None:
        parts.append(noisy.embedded)

    tokens = _sequence(streams, n, [] if noisy is None else noisy.chosen.tolist(), device)
    mask = timeline_rule(window)(tokens, tokens)
    hidden, _ = network(torch.cat(parts, 1), tokens.block, mask, text=batch.text)
    pieces = hidden.split([p.shape[1] for p in parts], 1)

    losses: dict[str, Tensor] = {}
    sizes = [s.tokens for s in streams]
    progress = pieces[0].unflatten(1, (n, sum(sizes))).split(sizes, 2)[[s.kind for s in streams].index(PROGRESS)]
    error = (network.read(PROGRESS, progress).float() - values[PROGRESS]).square().mean((2, 3))
    losses["progress"] = _mean(error, (batch.progress_valid & batch.frame_valid).float())

    with torch.no_grad():  # of frozen networks
        proposed = model.propose(shown, batch.text)
    action = next(s for s in streams if s.kind == ACTION)
    chunk = model.predict(action, pieces[1][:, :, None], proposed)
    error = (
        absolute_error(chunk, values[ACTION], BETA[ACTION], batch.has.get(ACTION)) * flow_weight(policy_level).sqrt()
    )
    weight = torch.where(batch.quality < 0.5, config.poor_policy_weight, 1.0)
    losses["policy"] = _mean(error * weight, batch.action_valid.float())

    total = losses["policy"] + 0.5 * losses["progress"]
    if noisy is not None:
        losses |= _noisy_losses(model, batch, noisy, pieces[2], _expected(model, batch, noisy, shown, proposed))
        video = torch.stack([v for k, v in losses.items() if k.startswith(VIDEO)]).mean()
        total = total + video + losses[ACTION]
        if STATE in losses:
            total = total + 2.0 * losses[STATE]
    return total, {"loss": total.detach(), **{k: v.detach() for k, v in losses.items()}}


def _embed_clean(
    model: WorldModel, batch: Batch, config: LossConfig, generator: torch.Generator, hide_actions: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clean blocks (B, N * tokens, D), and the frames (B, N, T, C) they show, some a little noisy. Block i holds the
    action of row i - 1; block 0 has none."""
    network, values, device = model.network, batch.values, batch.text.device
    b, n = batch.frame_valid.shape
    drop = (torch.rand(b, generator=generator) < config.drop_actions).to(device)
    action = torch.roll(values[ACTION], 1, 1)
    missing = ~torch.roll(batch.action_valid, 1, 1) | drop[:, None] | hide_actions
    missing[:, 0] = True
    level = draw_levels(b * n, 0.0, generator).view(b, n) * config.context_noise
    level = (level * (torch.rand(b, n, generator=generator) < 0.5)).to(device)
    frames = [s.name for s in model.streams if s.kind in (VIDEO, STATE)]
    levels = dict.fromkeys(frames, level)
    if STATE in levels:
        levels[STATE] = level * (torch.rand(b, 1, generator=generator) < 0.5).to(device)
    shown = {name: corrupt(values[name], _noise_like(values[name], generator), levels[name]) for name in frames}
    if batch.dreamed:
        asleep = (torch.rand(b, 1, generator=generator) < config.dreamed).to(device) & batch.dream_known
        shown |= {name: torch.where(asleep[..., None, None], x, shown[name]) for name, x in batch.dreamed.items()}
    views, out = model.with_views(shown), []
    for s in model.streams:
        if s.kind == ACTION:
            out.append(network.embed(s.name, action, missing.float(), batch.text, missing_BN=missing))
        elif s.is_query:
            out.append(network.embed(s.name, None, torch.ones(b, n, device=device), batch.text))
        else:
            out.append(network.embed(s.name, views[s.name], levels.get(s.name, level), batch.text))
    return torch.cat(out, 2).flatten(1, 2), shown


def _embed_noisy(
    model: WorldModel, batch: Batch, told_quality: Tensor, config: LossConfig, generator: torch.Generator
) -> _Noisy:
    network, values, device = model.network, batch.values, batch.text.device
    b, n = batch.frame_valid.shape
    chosen = (torch.randperm(n - 1, generator=generator)[: config.noisy_blocks].sort().values + 1).to(device)
    m = len(chosen)
    quality, missing = batch.quality[:, chosen - 1], ~batch.action_valid[:, chosen - 1]
    video, action = draw(config.law, b * m, generator)
    video_poor, action_poor = draw(DYNAMICS_ONLY, b * m, generator)
    poor = (quality < 0.5).cpu().view(-1)
    video_level = torch.where(poor, video_poor, video).view(b, m).to(device)
    action_level = torch.where(poor, action_poor, action).view(b, m).to(device)
    action_level = torch.where(missing, 1.0, action_level)
    levels = {
        ACTION: action_level,
        VIDEO: video_level,
        SCENE: video_level,
        STATE: state_level(video_level, action_level),
    }
    x = {}
    for s in model.streams:
        if s.is_denoised:
            target = values[s.name][:, chosen - 1 if s.kind == ACTION else chosen]
            x[s.name] = corrupt(target, _noise_like(target, generator), levels[s.kind])
    x, out = model.with_views(x), []
    for s in model.streams:
        if s.kind == ACTION:
            out.append(network.embed(s.name, x[s.name], action_level, batch.text, told_quality[:, chosen - 1], missing))
        elif not s.is_query:
            out.append(network.embed(s.name, x[s.name], levels[s.kind], batch.text))
    return _Noisy(chosen, levels, torch.cat(out, 2).flatten(1, 2))


@torch.no_grad()
def _expected(
    model: WorldModel, batch: Batch, noisy: _Noisy, shown: dict[str, Tensor], proposed: Tensor | None
) -> dict[str, Tensor]:
    """What noisy blocks (B, M, T, C) are changes of, as a session expects it (`Session.imagine`)."""
    last, values = noisy.chosen - 1, batch.values
    seen = {name: x[:, last] for name, x in shown.items()}
    state = None
    if STATE in seen and proposed is not None and model.kinematics is not None:
        seen[STATE] = values[STATE][:, last]  # the robot knows its own state, whatever it is shown
        memory = _memories(model.kinematics, batch)[:, last]
        state = model.kinematics(seen[STATE][:, :, 0], proposed[:, last, 0], memory)[:, :, None]
        given = (noisy.levels[STATE] == 0)[..., None, None]
        state = torch.where(given, values[STATE][:, noisy.chosen], state)
    expected = model.expect(seen, state, batch.text)
    if proposed is not None:
        expected[ACTION] = unless_given(proposed[:, last], noisy.levels[VIDEO])
    return expected


def _memories(kinematics: Kinematics, batch: Batch) -> Tensor:
    """(B, N, M) what kinematics remember at every row of windows, having felt nothing before the first."""
    state, action = batch.values[STATE][:, :, 0], batch.values[ACTION][:, :, 0]
    out = [kinematics.blank(state[:, 0])]
    for i in range(1, state.shape[1]):
        led_here = kinematics.remember(state[:, i - 1], action[:, i - 1], state[:, i], out[-1])
        out.append(led_here * batch.action_valid[:, i - 1, None])
    return torch.stack(out, 1)


def _noisy_losses(
    model: WorldModel, batch: Batch, noisy: _Noisy, hidden: Tensor, before: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Errors of what was asked for: streams at level 0 were given and cost nothing."""
    recorded = [s for s in model.streams if not s.is_query]
    sizes = [s.tokens for s in recorded]
    pieces = hidden.unflatten(1, (len(noisy.chosen), sum(sizes))).split(sizes, 2)
    losses = {}
    for s, h in zip(recorded, pieces, strict=True):
        if s.is_view:
            continue
        level = noisy.levels[s.kind]
        if s.kind == ACTION:
            target, valid = batch.values[ACTION][:, noisy.chosen - 1], batch.action_valid[:, noisy.chosen - 1]
        else:
            target, valid = batch.values[s.name][:, noisy.chosen], batch.frame_valid[:, noisy.chosen]
        out = model.predict(s, h, before.get(s.name))
        if s.kind in BETA:
            error = absolute_error(out, target, BETA[s.kind], batch.has.get(s.name)) * flow_weight(level).sqrt()
        else:
            error = per_block((out - target).square(), batch.has.get(s.name)) * flow_weight(level)
        losses[s.name] = _mean(error, (valid & (level > 0)).float())
    return losses


def absolute_error(predicted: Tensor, target: Tensor, beta: float, has: Tensor | None) -> Tensor:
    """(B, N) error of numbers (B, N, 1, C), squared within `beta` only: a squared error cares for large motions and
    leaves the small ones, which decide whether the gripper closes in the right place (Zhao et al. 2023, ACT)."""
    return per_block(F.smooth_l1_loss(predicted, target, beta=beta, reduction="none"), has)


def per_block(error: Tensor, has: Tensor | None) -> Tensor:
    """(B, N) mean of errors (B, N, T, C) over the numbers that there are: `has` (B, 1, 1, C), all by default."""
    if has is None:
        return error.mean((2, 3))
    return (error * has).sum((2, 3)) / (has.sum((2, 3)).clamp(min=1) * error.shape[2])


def _noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator).to(x.device)


def _sequence(streams: list[Stream], n: int, chosen: list[int], device: torch.device) -> Tokens:
    action = [s for s in streams if s.kind == ACTION]
    recorded = [s for s in streams if not s.is_query]
    parts = [block_tokens(streams, i, 0, device) for i in range(n)]
    parts += [block_tokens(action, i + 1, 2, device) for i in range(n)]
    parts += [block_tokens(recorded, i, 1, device) for i in chosen]
    return Tokens.cat(parts)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum() / weight.sum().clamp(min=1.0)
