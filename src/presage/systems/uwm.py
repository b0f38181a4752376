"""Unified World Models (Zhu et al. 2025): one diffusion of action and future frame, each at a noise level of its own.

Where the action is pinned at pure noise, video without actions trains the same network; in use, what is pinned and what
is given chooses between policy, forward dynamics, inverse dynamics and video prediction.
"""

from collections.abc import Mapping

from presage.networks.composed import Composed
from presage.networks.dit import DiT, DiTConfig
from presage.policy.grounded import GroundedPolicy
from presage.policy.sampled import sampled
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.timeline.corruption import DDPM
from presage.timeline.levels import Levels, Role, Schedule, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.stage import Stage

STEPS = 10
"""Of DDIM, where training has 100 (their configuration)"""
BOTH = {"labelled": 1.0, "free": 1.0}

SEES, ACTS = Uniform(0.1, "sees"), Uniform(0.1, "acts")
"""Independent levels. A tenth is at exactly 1, where policy and video mode pin what they do not ask for: with 100
uniform levels alone the network meets that one in a step of a hundred, and this training is a hundred times shorter."""
JOINT = Denoise(Levels((Role(SEES, ACTS),)), clip=True)
ACTION_ONLY = Denoise(Levels((Role(None, ACTS),)), clip=True)
"""The same network without a future frame: a diffusion policy (Chi et al. 2023)"""


def uwm(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = BOTH) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras = videos(shape, codec, DDPM(100, "noise", limit=3.0))
        streams = [actions(shape, DDPM(100, "noise", limit=1.0), per_step=True), *cameras]
        seen = tuple(s.name for s in cameras)
        network = DiT(DiTConfig(size.width, size.layers, size.heads, told=seen, registers=8), streams)
        codecs = {s.source: codec for s in cameras}
        chunk = (shape.chunk, shape.action_dim)
        return Composed(streams, codecs, network, shape.action_codec, shape.state_codec, chunk, context=1)

    optimiser = scaled(Optimiser(steps=4000, batch=32, warmup=200, lr=1e-3), size)
    weights = {"action": 1.0, "image.*": 1.0}
    return System(
        Card.of("uwm"),
        build,
        (
            codec_stage(size, dict(data)),
            Stage("joint", JOINT, data=data, window=2, weights=weights, optimiser=optimiser),
        ),
        {
            "policy": lambda model, seed: GroundedPolicy(model, sampled(Schedule.marginal(STEPS)), seed=seed),
            "joint": lambda model, seed: GroundedPolicy(model, sampled(Schedule.joint(STEPS)), seed=seed),
        },
    )
