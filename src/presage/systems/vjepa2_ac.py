"""V-JEPA 2-AC (Assran et al. 2025): plan in the features of a frozen encoder, which nobody ever draws.

An encoder learns from video alone, by predicting the features of what is masked. A transformer then learns what robot
actions do to its features, from play: by teacher forcing, and by the loss after two steps of its own predictions. To
act it is shown a goal picture, and the cross-entropy method looks for the actions whose imagined features come nearest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from presage.codecs.features import FeatureCodec, FeatureConfig
from presage.networks.composed import Composed
from presage.networks.goal_policy import GoalPolicy
from presage.networks.packed import Packed
from presage.networks.transformer import Transformer, TransformerConfig
from presage.networks.unchanged import Unchanged
from presage.policy.goal_cloning import cloned
from presage.policy.grounded import GroundedPolicy
from presage.simulator.planners import CEM, BestOf, Search, held, planned, uniform
from presage.simulator.scorers import goal_distance
from presage.systems.lab.check import CheckResult
from presage.systems.lab.reaching import Check, Reacher, Training, reach
from presage.systems.parts import actions, scaled, state
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.attention import teacher_forced
from presage.timeline.corruption import Given, Regress
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.clone_goals import CloneGoals
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.masked_features import MaskedFeatures
from presage.training.objectives.rollout import Rollout
from presage.training.objectives.together import Together
from presage.training.stage import Stage

ROWS = {"base": 8}
"""Of a window, as there; half as many where a training takes minutes"""
FORWARD = Denoise(Levels((Role(sees=UNKNOWN, acts=GIVEN),)))
"""The next features and pose, the action that leads there given: teacher forcing (section 3.1)"""
PLAY = {"labelled": 1.0}


def vjepa2_ac(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = PLAY) -> System:
    rows = ROWS.get(size.name, 4)

    def build(shape: Shape) -> Composed:
        patch, width = min(8, shape.size // 4), 64 if size is not DEBUG else 16
        codec = FeatureCodec(FeatureConfig(shape.size, patch, width))
        tokens, dim, camera = codec.config.tokens, codec.config.token_dim, f"image.{shape.cameras[0]}"
        features = Stream("features", tokens, dim, Regress("l1"), source=camera)
        streams = [actions(shape, Given(), per_step=False), features, state(shape, Regress("l1"))]
        network = Transformer(TransformerConfig(size.width, size.layers, size.heads, streams=streams))
        parts = {"cloning": GoalPolicy([features], streams[2:], shape.chunk * shape.action_dim)}  # the baseline
        backbone = Packed(network, streams, rows - 1, teacher_forced, from_base=True)
        base = Unchanged(tuple(s.name for s in streams[1:]))
        return Composed(streams, {camera: codec}, backbone, shape, rows - 1, parts, told=False, base=base)

    encode = scaled(Optimiser(steps=800, batch=32, warmup=100, lr=1e-3, ema=0.99), size)
    predict = scaled(Optimiser(steps=600, batch=32, warmup=60, lr=1e-3), size)
    clone = scaled(Optimiser(steps=2000, batch=128, warmup=100), size)
    return System(
        Card.of("vjepa2_ac"),
        build,
        (
            Stage("encode", MaskedFeatures(colours=True), ("codecs",), data, window=2, optimiser=encode, raw=True),
            Stage("predict", Together((FORWARD, Rollout(2))), data=data, window=rows, optimiser=predict),
            Stage("cloning", CloneGoals(), ("parts.cloning",), data, window=7, optimiser=clone),
        ),
    )


HORIZON = 1
"""Rows that a plan looks ahead, as in the paper's tables"""


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size = DEBUG if quick else SMALL
    samples = (8, 2, 2) if quick else (64, 4, 8)
    near = goal_distance("features")

    def planning(search: Search) -> Callable[[Composed, int], GroundedPolicy]:
        def use(model: Composed, seed: int) -> GroundedPolicy:
            chunk, dim = model.chunk_shape
            decide = planned(search, uniform(HORIZON, dim), near, held(chunk))
            return GroundedPolicy(model, decide, seed=seed, context=None)

        return use

    def cloning(model: Composed, seed: int) -> GroundedPolicy:
        return GroundedPolicy(model, cloned(), seed=seed)

    search = CEM(*samples)
    reachers = {
        "CEM": Reacher("true", planning(search)),
        "random shooting": Reacher("true", planning(BestOf(search.samples * search.iterations))),
        "goal cloning": Reacher("cloning", cloning),
        "CEM, shuffled actions": Reacher("shuffled", planning(search)),
    }
    trainings = {
        "true": Training(("predict",)),
        "shuffled": Training(("predict",), True),
        "cloning": Training(("cloning",)),
    }
    margins = dict.fromkeys(list(reachers)[1:], 0.15)
    blind = Reacher("true", planning(BestOf(1)))
    whole = Check(lambda shape: vjepa2_ac(shape, size), "encode", trainings, reachers, margins, near, blind)
    return reach(find("vjepa2_ac"), whole, arms, seeds, quick, out)
