"""LingBot-VA (2026): video and action interleaved in one causal sequence, decided in turn, executed while it decides.

Two experts attend jointly, a wide one for video and a narrow one for actions. The next frame is imagined first, its
denoising stopped half-way, then the action that leads to it; the network was trained on a noisy past, so half-denoised
frames do. While a chunk runs, a forward step under that very chunk stands for the frame that is not there yet.

The paper starts from Wan 2.2 (5B); here all is from scratch: a stage of video alone, and the action expert begins with
the video expert's layers, scaled.
"""

from collections.abc import Mapping
from dataclasses import replace

from presage.networks.composed import ACTION, IMAGE, Composed
from presage.networks.experts import Expert, Experts, ExpertsConfig, Inherit
from presage.networks.packed import Packed
from presage.policy.asynchronous import Asynchronous, Foresight, forward
from presage.policy.sampled import sampled
from presage.systems.parts import actions, codec_stage, conv_codec, scaled, videos
from presage.systems.system import SMALL, Card, Shape, Size, System
from presage.timeline.attention import Rule, one_way, teacher_forced
from presage.timeline.corruption import Flow
from presage.timeline.levels import GIVEN, Levels, Role, Schedule, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.one_of import OneOf
from presage.training.stage import Stage
from presage.worlds.protocol import Policy

CONTEXT = 2
"""Rows of past that anything sees"""
HALF = 0.5
"""Where video stops, and the highest level of a noisy past"""
BOTH, FEW = {"labelled": 1.0, "free": 1.0}, {"labelled": 1.0}
SEES, ACTS = Uniform(0.2, "sees"), Uniform(0.2, "acts")
STOPPED = Uniform(0.0, "stopped", HALF)


def in_turn(stop: float) -> Schedule:
    """Three steps of video as a whole, fewer where it stops before; six of the action."""
    return Schedule.in_turn(2 if stop else 3, 6, stop)


def teacher(role: Role, noisy: bool) -> Denoise:
    """Forced on the true past, of which half is noisy."""
    return Denoise(Levels((role,)), history_noise=HALF if noisy else 0.0, memoryless=0.5)


def objective(noisy: bool) -> OneOf:
    """Video, the action that leads to it (eq. 6 and 7), and video after an action that is told (eq. 13)."""
    seen = OneOf(((teacher(Role(GIVEN, ACTS), noisy), 1.0), (teacher(Role(STOPPED if noisy else GIVEN, ACTS), noisy), 1.0)))
    return OneOf(((teacher(Role(SEES, None), noisy), 1.0), (seen, 2.0), (teacher(Role(SEES, GIVEN), noisy), 1.0)))


def one_way_rule(context: int) -> Rule:
    return teacher_forced(context, one_way)


def lingbot_va(shape: Shape, size: Size = SMALL, noisy: bool = True, data: Mapping[str, float] = BOTH) -> System:
    def build(shape: Shape) -> Composed:
        codec = conv_codec(shape, size)
        cameras = videos(shape, codec, Flow())
        times = tuple(i / shape.chunk - 1 for i in range(shape.chunk))  # between the frame before and its own
        streams = [replace(actions(shape, Flow(), per_step=True), offsets=times), *cameras]
        experts = (Expert("action", (ACTION,), size.width // 2), Expert("video", (f"{IMAGE}*",), size.width))
        network = Experts(ExpertsConfig(experts, size.layers, size.heads, size.width // size.heads), streams)
        return Composed(
            streams,
            {s.source: codec for s in cameras},
            Packed(network, streams, CONTEXT, one_way_rule),
            shape.action_codec,
            shape.state_codec,
            (shape.chunk, shape.action_dim),
            CONTEXT,
        )

    video = scaled(Optimiser(steps=400, batch=16, warmup=50), size)
    joint = scaled(Optimiser(steps=800, batch=16, warmup=50), size)
    return System(
        Card.of("lingbot_va"),
        build,
        (
            codec_stage(size, dict(data)),
            Stage("video", replace(teacher(Role(SEES, None), noisy), drop_actions=1.0), data=data, window=4, optimiser=video),
            Stage(
                "joint",
                objective(noisy),
                data=FEW,
                window=4,
                weights={ACTION: 1.0, f"{IMAGE}*": 1.0},
                optimiser=joint,
                begin=Inherit("action", "video"),
            ),
        ),
        {
            "policy": lambda model, seed: acting(model, seed, 0, None, 0.0),
            "naive": lambda model, seed: acting(model, seed, 1, None, HALF),
            "grounded": lambda model, seed: acting(model, seed, 1, forward(2, HALF), HALF),
        },
    )


def acting(model: Composed, seed: int, latency: int, foresee: Foresight | None, stop: float) -> Policy:
    """The model as a policy whose chunks come so many rows after what they were decided on."""
    return Asynchronous(model, sampled(in_turn(stop)), latency, foresee, context=CONTEXT, seed=seed)
