"""Noise levels are the modes: laws draw them in training, plans walk them down at inference.

k = 0 is given, k = 1 is unknown, `x_k = (1 - k) x + k noise`. A block has one level for what is seen (video and state)
and one for the action; progress is always asked for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Law:
    """A mixture of roles for the noisy blocks; weights need not add to 1."""

    joint: float = 0.25
    """video and action at one shared level: joint generation"""
    independent: float = 0.05
    """video and action at levels of their own (UWM)"""
    forward: float = 0.3
    """action given: forward dynamics"""
    inverse: float = 0.25
    """video given: inverse dynamics"""
    video: float = 0.15
    """action unknown: the video plan"""
    full_noise: float = 0.3
    """share of the drawn levels that are exactly 1, where every sampler starts"""


DYNAMICS_ONLY = Law(joint=0.0, independent=0.0, forward=0.6, inverse=0.25, video=0.15)
"""For blocks of poor quality: what happened is worth learning, what was chosen is not."""

_ROLES = ("joint", "independent", "forward", "inverse", "video")


def draw(law: Law, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw (video, action) levels for n blocks: two (n,) float tensors in [0, 1]."""
    weights = torch.tensor([float(getattr(law, r)) for r in _ROLES])
    role = torch.multinomial(weights, n, replacement=True, generator=generator)
    k = draw_levels(n, law.full_noise, generator)
    other = draw_levels(n, law.full_noise, generator)
    zero, one = torch.zeros(n), torch.ones(n)
    video = torch.stack([k, k, k, zero, k])
    action = torch.stack([k, other, zero, k, one])
    return video.gather(0, role[None])[0], action.gather(0, role[None])[0]


def unless_given(proposal: Tensor, video_level: Tensor) -> Tensor:
    """Proposed actions (..., T, C), zero in blocks whose video is given (its level, shape (...), is 0): inverse
    dynamics has to read them from what is seen, not from what a good robot would have done."""
    return proposal * (video_level > 0).to(proposal.dtype)[..., None, None]


def state_level(video_level: Tensor, action_level: Tensor) -> Tensor:
    """Level of the state in blocks of these levels: that of the video, but given where the action is. What a known
    action does to the robot itself is kinematics (networks/kinematics.py), and the video shows it."""
    return video_level * (action_level > 0).to(video_level.dtype)


def draw_levels(n: int, full_noise: float, generator: torch.Generator) -> Tensor:
    """n levels: exactly 1 with probability `full_noise`, else uniform in [0, 1)."""
    k = torch.rand(n, generator=generator)
    return torch.where(torch.rand(n, generator=generator) < full_noise, torch.ones(n), k)


@dataclass(frozen=True)
class Plan:
    """Levels from start to end, one more entry than denoising steps. `video=None`: imagination skipped, the block
    holds the action alone."""

    video: tuple[float, ...] | None
    action: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.video is not None and len(self.video) != len(self.action):
            raise ValueError(f"{len(self.video)} levels of the video for {len(self.action)} of the action")

    @property
    def steps(self) -> int:
        return len(self.action) - 1

    @staticmethod
    def joint(steps: int) -> "Plan":
        return Plan(_down(steps), _down(steps))

    @staticmethod
    def policy(steps: int) -> "Plan":
        return Plan(None, _down(steps))

    @staticmethod
    def forward(steps: int) -> "Plan":
        return Plan(_down(steps), _flat(0.0, steps))

    @staticmethod
    def inverse(steps: int) -> "Plan":
        return Plan(_flat(0.0, steps), _down(steps))

    @staticmethod
    def video_only(steps: int) -> "Plan":
        return Plan(_down(steps), _flat(1.0, steps))


def _down(steps: int) -> tuple[float, ...]:
    return tuple(1 - i / steps for i in range(steps + 1))


def _flat(level: float, steps: int) -> tuple[float, ...]:
    return (level,) * (steps + 1)
