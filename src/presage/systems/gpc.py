"""Generative Predictive Control (Qi et al. 2025): a diffusion policy proposes, a world model looks ahead, and a reward
that is read off imagined frames picks the proposal (RANK) or improves it by gradient (OPT).

The policy is frozen. The world model is trained in two phases, one step and then several, on demonstrations and on
play; in use it starts from no noise, so that a gradient finds the same future again. A latent U-Net that answers in one
step stands for their diffusion over pixels, and play for their random exploration.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from presage.networks.composed import Composed
from presage.policy.executors import open_loop
from presage.policy.features import candidates, latents
from presage.simulator.planners import BestOf, Gradient, Propose, Score, Search, committed
from presage.simulator.scorers import blind, judged
from presage.systems.lab.check import CheckResult
from presage.systems.lab.cloning import policy_head, policy_stage
from presage.systems.lab.outcome import COVERAGE, JUDGE, judge_part, judge_stage
from presage.systems.lab.pushing import CAMERA, oracle, without_world
from presage.systems.lab.searches import Check, Outcomes, Searcher, compare_searches
from presage.systems.lab.verdict import Sanity, paired_difference
from presage.systems.lab.world_base import world_model, world_stages
from presage.systems.parts import codec_stage
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import DDPM
from presage.training.objectives.invert import in_a_row
from presage.worlds.protocol import Policy

AHEAD, EXECUTED = 3, 1
"""Rows that a proposal spans, all of them imagined, and those that are executed before the next"""
ALL = {"labelled": 1.0, "noise": 1.0}
"""Demonstrations, and play"""
REWARD = judged(COVERAGE.name)
"""Coverage of the last imagined frame"""


def gpc(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = ALL) -> System:
    """data: kinds that the world model learns from."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        parts = {JUDGE: judge_part(shape, size, COVERAGE)}
        model = world_model(shape, size, acting=DDPM(100, "clean", limit=1.0), beside=[COVERAGE], parts=parts)
        model.parts["head"] = policy_head(shape, size, in_a_row(model.streams[0], AHEAD), "diffusion")
        return model

    stages = (
        codec_stage(size, ALL),
        policy_stage(size, pictures, AHEAD, steps=2500, draws=2),
        *world_stages(size, data, (6000, 1500)),
        judge_stage(pictures, COVERAGE, size, ALL),
    )
    return System(Card.of("gpc"), build, stages, uses(pictures))


def proposing(pictures: Sequence[str]) -> Propose:
    return candidates(latents(pictures), AHEAD)


def uses(pictures: Sequence[str]) -> dict[str, Callable[[Composed, int], Policy]]:
    def searching(search: Search, score: Score = REWARD) -> Callable[[Composed, int], Policy]:
        return open_loop(committed(search, proposing(pictures), score), EXECUTED, context=None)

    return {
        "base": searching(BestOf(1), blind),
        "RANK 10": searching(BestOf(10)),
        "RANK 50": searching(BestOf(50)),
        "OPT 10": searching(Gradient(1, 10)),
        "random of 50": searching(BestOf(50), blind),
    }


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    acting, propose = uses([f"image.{CAMERA}"]), proposing([f"image.{CAMERA}"])
    searchers = {name: Searcher("all", without_world(use)) for name, use in acting.items()}
    for k in (10, 50):
        searchers[f"RANK {k}, demonstrations"] = Searcher("demonstrations", without_world(acting[f"RANK {k}"]))
    searchers["oracle rank 10"] = Searcher("all", oracle(BestOf(10), propose, EXECUTED))
    controls = {"base": 0.05, "random of 50": 0.05}
    return compare_searches(
        find("gpc"),
        Check(
            lambda shape: gpc(shape, DEBUG if quick else SMALL),
            once=("codec", JUDGE),
            policy="policy",
            model=("one step", "rollout"),
            worlds={"all": {"clean": 1.0, "disturbed": 1.0, "noise": 1.0}, "demonstrations": {"clean": 1.0}},
            arms=searchers,
            claims=[("RANK 50", controls), ("OPT 10", controls)],
            lines=without_failures,
            propose=propose,
            score=REWARD,
            ahead=AHEAD,
        ),
        arms,
        seeds,
        quick,
        out,
    )


def without_failures(outcomes: Outcomes) -> list[Sanity]:
    """A model that saw demonstrations alone must not help, or help less the harder it is searched: where it helps, the
    simulator leaks somewhere."""
    few, many = (outcomes[f"RANK {k}, demonstrations"] for k in (10, 50))
    gain = min(paired_difference(many, other).value for other in (outcomes["base"], few))
    return [Sanity("RANK 50 by a model of demonstrations, over base or its RANK 10", gain, gain <= 0, "0 or less")]
