"""Behaviour cloning: the baseline of presage's own model. The same encoder, data and decoder of actions, and no video:
only what an expert does is asked for, so nothing is imagined and nothing is learned from anybody else.
"""

from collections.abc import Mapping

from presage.policy.executors import receding
from presage.policy.sampled import sampled
from presage.systems.parts import scaled
from presage.systems.reference import ACTS, ALL, reference
from presage.systems.system import BASE, Card, Shape, Size, System
from presage.timeline.levels import Schedule
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.stage import Stage


def cloning(shape: Shape, size: Size = BASE, data: Mapping[str, float] = ALL) -> System:
    clone = Stage(
        "clone",
        Denoise(alone=ACTS, memoryless=1.0, poor_weight=0.0),
        data=data,
        window=4,
        optimiser=scaled(Optimiser(steps=1000, batch=32, warmup=200, ema=0.999), size),
    )
    uses = {"no_imagination": receding(sampled(Schedule.policy(5)))}
    return System(Card.of("cloning"), reference(shape, size).build, (clone,), uses)
