"""The 1X World Model as an evaluator (1X, report of June 2025): from real frames and exact actions it imagines what a
robot would see, and a head on imagined frames says whether the task was solved.

The model is adapted to episodes of policies, with all that went wrong in them. How often imagined and true outcomes
agree says how often the better of two policies is picked. A latent U-Net stands for their video model, which is larger,
and a head of cross-entropy for their heads of success and value.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from presage.networks.composed import Composed
from presage.systems.lab.alignment import P_MOST, UNSEEN, compare_alignment
from presage.systems.lab.check import CheckResult
from presage.systems.lab.outcome import JUDGE, OUTCOME, judge_part, judge_stage
from presage.systems.lab.world_base import AHEAD, ONE_STEP, PAST, world_model, world_stages
from presage.systems.parts import codec_stage, scaled
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.training.loop import Optimiser
from presage.training.objectives.rollout import Rollout
from presage.training.objectives.together import Together
from presage.training.stage import Stage

WORLD, ROLLOUTS = {"labelled": 1.0, "noise": 2.0}, {"noise": 1.0}
"""What the base learns from, and the robot's own rollouts, which nobody should imitate"""


def onex_evaluation(shape: Shape, size: Size = SMALL, rollouts: Mapping[str, float] = ROLLOUTS) -> System:
    """rollouts: kinds of data that the base is adapted to."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        return world_model(shape, size, beside=[OUTCOME], parts={JUDGE: judge_part(shape, size, OUTCOME)})

    several, optimiser = Together((ONE_STEP, Rollout(AHEAD))), scaled(Optimiser(600, 16, warmup=50), size)
    stages = (
        codec_stage(size, WORLD),
        *world_stages(size, WORLD, (1500, 500)),
        Stage("adapt", several, data=rollouts, window=PAST + AHEAD + 1, optimiser=optimiser),
        judge_stage(pictures, OUTCOME, size, WORLD),
    )
    return System(Card.of("onex_evaluation"), build, stages)


MORE = {"noise": 1.0, "play": 1.0}
MODELS = {
    f"P = {P_MOST}": MORE | {f"P = {P_MOST}": 2.0},
    "P = 0": MORE,
    "P = 200": MORE | {"P = 200": 2.0},
    f"P = {P_MOST}, none of the task": MORE | {UNSEEN: 2.0},
}
"""By the number of episodes of policies, half of what is learned from"""


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    make = partial(onex_evaluation, size=DEBUG if quick else SMALL)
    return compare_alignment(find("onex_evaluation"), make, MODELS, arms, seeds, quick, out)
