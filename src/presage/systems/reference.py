"""presage's own model: one U-Net that denoises, step by step, what the cameras see and what the robot does.

It works on pixels. A frame is composed of the newest frame with a change, the oldest that was seen and fresh paint;
what an action leads to is asked without words, what to do with them. The robot's state is told where there is one, and
half of the training does without. In later stages half of the batches are dreams, of two steps and then of six. Part of
the windows are of experts' episodes alone, to learn what to do.
"""

from collections.abc import Mapping
from dataclasses import replace

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.codecs.text import TEXT_DIM
from presage.networks.composed import Composed
from presage.networks.judge import Judge
from presage.networks.unet import HIDDEN, UNet, UNetConfig
from presage.policy.executors import open_loop, receding
from presage.policy.sampled import ahead, sampled
from presage.systems.parts import actions, scaled, state, videos
from presage.systems.system import BASE, Card, Shape, Size, System
from presage.timeline.corruption import Flow
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Schedule, Uniform, flat
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.judge import JudgeSuccess, told
from presage.training.objectives.unroll import Unroll
from presage.training.recorded import done_well
from presage.training.stage import Stage

PAST, EARLIER = 4, 64
"""Rows of past that a step sees, rows back that the oldest frame may be"""
SEES, ACTS = Uniform(0.6, "sees"), Uniform(0.3, "acts")
FELT = {"state": UNKNOWN}
"""Inverse dynamics reads frames: the state would say where the hand is going."""
EXPERTS = Levels(
    (
        Role(SEES, GIVEN, weight=0.35),
        Role(SEES, SEES, weight=0.25),
        Role(GIVEN, ACTS, FELT, weight=0.15),
        Role(SEES, UNKNOWN, weight=0.25),
    )
)
"""Two of five windows are of experts. Asked mostly what their actions lead to, a model believes that such motion
succeeds, whatever the hand has hold of."""
OTHERS = Levels((Role(SEES, GIVEN, weight=0.8), Role(GIVEN, ACTS, FELT, weight=0.15), Role(SEES, UNKNOWN, weight=0.05)))
"""What happened after a poor action is worth learning; what was chosen is not."""
TRANSLATED = replace(Schedule.in_turn(1, 1), streams={"state": flat(UNKNOWN, 2)})
"""The next frame first, then the action that is read from it: what the state will be is not asked. One step each, as in
all uses: more are slower and succeed no more often (docs/lab_log.md)"""
ALL = {"labelled": 1.0}
WELL, EXPERT = "done well", 0.4
"""A kind of data, episodes that an expert led, and the share of the windows that are of it beside all others"""
VIDEO_ALONE = Levels((Role(SEES, UNKNOWN),))


def reference(shape: Shape, size: Size = BASE, data: Mapping[str, float] = ALL) -> System:
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        codec = PixelCodec(PixelCodecConfig(shape.size, max(1, shape.size // 32)))
        values = Flow(limit=1.5)  # of actions and states: few lie beyond 1
        cameras = videos(shape, codec, Flow(limit=1.0))
        streams = [actions(shape, values, per_step=False), *cameras, state(shape, values)]
        widths, layers = (size.channels, 2 * size.channels, 3 * size.channels), max(1, size.layers // 2)
        config = UNetConfig(
            pictures, widths, size.width, layers, size.heads, PAST, blocks=(1, 2, 1), head="composite", deaf=True
        )
        codecs = {s.source: codec for s in cameras}
        parts = {"judge": Judge(len(shape.cameras), shape.size, TEXT_DIM, size.channels // 2)}
        return Composed(streams, codecs, UNet(streams, config), shape, PAST, parts)

    ask = Denoise(EXPERTS, OTHERS, VIDEO_ALONE, drop_quality=0.15, memoryless=0.6)

    mixed = {**{kind: share * (1 - EXPERT) for kind, share in data.items()}, WELL: EXPERT * sum(data.values())}

    def imagined(name: str, own: float, asked: int, alone: Uniform | None, optimiser: Optimiser) -> Stage:
        """So many steps of a window are asked for, in a share `own` of the batches after what the model said itself."""
        return Stage(
            name,
            Unroll(ask, PAST, own=own, alone=alone, hidden=("state",), anchored=True),
            data=mixed,
            make={WELL: done_well("labelled")},
            window=1 + PAST + asked,
            back=EARLIER,
            before=PAST - 1,  # the first step that is asked for is an episode's first one, too
            emphasis=12.0,
            weights={"action*": 1.0, "image.*": 100.0, "state": 0.5, "recalled.*": 1.5},
            optimiser=scaled(replace(optimiser, orthogonal=HIDDEN, warmup=200, save_every=250), size),
        )

    world = imagined("world", 0.0, 1, None, Optimiser(steps=250, batch=32, cooldown=0.0, ema=0.998))
    near = imagined("near", 0.5, 2, ACTS, Optimiser(steps=5000, batch=16, cooldown=0.0, ema=0.999))
    far = imagined("far", 0.5, 6, ACTS, Optimiser(steps=1500, batch=6, cooldown=0.8, ema=0.999))
    thorough = replace(size, steps=max(size.steps, min(1.0, 4 * size.steps)))  # it is cheap, and short of it gains most
    judge = Stage(
        "judge",
        JudgeSuccess(),
        ("parts.judge",),
        {"told": 1.0},
        {"told": told("labelled")},
        window=1,
        raw=True,
        outcomes=True,
        optimiser=scaled(Optimiser(steps=1000, batch=64, warmup=100, ema=0.99), thorough),
    )
    return System(
        Card.of("reference"),
        build,
        (world, near, far, judge),
        {
            "joint": receding(sampled(Schedule.joint(1))),
            "closed_loop": receding(sampled(TRANSLATED)),
            "open_loop": open_loop(ahead(TRANSLATED, 16)),
            "no_imagination": receding(sampled(Schedule.policy(1))),
        },
    )
