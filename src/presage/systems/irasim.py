"""IRASim (Zhu et al. 2024): a world model in which each action modulates its own frame, and a policy that executes the
best of its proposals, judged by the last frame that the model imagines.

All rows that a proposal spans are one clip after one frame of history, which is free of noise. What counts is what the
model has seen: trained on demonstrations alone it believes in every proposal, and picking by it harms; episodes of the
very policy, with its failures, make picking help. A latent U-Net stands for their latent diffusion transformer.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from presage.networks.composed import Composed
from presage.policy.executors import open_loop
from presage.policy.features import candidates, latents
from presage.simulator.planners import BestOf, Score, committed
from presage.simulator.scorers import blind, judged
from presage.systems.gpc import ALL, EXECUTED
from presage.systems.lab.check import CheckResult
from presage.systems.lab.cloning import policy_head, policy_stage
from presage.systems.lab.outcome import COVERAGE, JUDGE, judge_part, judge_stage
from presage.systems.lab.pushing import CAMERA, without_world
from presage.systems.lab.searches import Check, Outcomes, Searcher, compare_searches
from presage.systems.lab.verdict import Sanity, paired_difference
from presage.systems.lab.world_base import world_model
from presage.systems.parts import codec_stage, scaled
from presage.systems.system import DEBUG, SMALL, Card, Shape, Size, System
from presage.systems.table import find
from presage.timeline.corruption import DDPM
from presage.timeline.levels import GIVEN, Levels, Role, Uniform
from presage.training.loop import Optimiser
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.invert import in_a_row
from presage.training.stage import Stage
from presage.worlds.protocol import Policy

AHEAD = 3
"""Rows of a clip"""
CLIP = Denoise(Levels((Role(Uniform(0.5), GIVEN),), per_step=False), clip=True)
"""All frames of a clip at one level, all actions given"""
LAST_FRAME = judged(COVERAGE.name, clip=True)


def irasim(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = ALL, by_frame: bool = True) -> System:
    """data: kinds that the world model learns from. by_frame: else one modulation for the whole clip (their
    ablation)."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)

    def build(shape: Shape) -> Composed:
        parts, noise = {JUDGE: judge_part(shape, size, COVERAGE)}, DDPM(100, "clean", limit=1.0)
        model = world_model(shape, size, past=1, acting=noise, beside=[COVERAGE], parts=parts, by_frame=by_frame)
        model.parts["head"] = policy_head(shape, size, in_a_row(model.streams[0], AHEAD), "diffusion")
        return model

    stages = (
        codec_stage(size, ALL),
        policy_stage(size, pictures, AHEAD, steps=2500, draws=2),
        Stage("clip", CLIP, data=data, window=1 + AHEAD, optimiser=scaled(Optimiser(2000, 16, warmup=50), size)),
        judge_stage(pictures, COVERAGE, size, ALL),
    )
    return System(Card.of("irasim"), build, stages, uses(pictures))


def uses(pictures: Sequence[str]) -> dict[str, Callable[[Composed, int], Policy]]:
    def best(k: int, score: Score = LAST_FRAME) -> Callable[[Composed, int], Policy]:
        return open_loop(committed(BestOf(k), candidates(latents(pictures), AHEAD), score), EXECUTED, context=None)

    return {"base": best(1, blind), "K = 10": best(10), "K = 30": best(30), "random of 30": best(30, blind)}


WORLDS = {
    "P = 0": {"clean": 1.0},
    "P = 100": {"clean": 1.0, "rolled 100": 1.0},
    "P = 400": {"clean": 1.0, "rolled 400": 1.0},
}
"""By the number of the policy's own episodes, half of what is learned from"""


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size, acting = DEBUG if quick else SMALL, uses([f"image.{CAMERA}"])
    best, base = "P = 400, K = 30", "K = 1"
    searchers = {
        f"{p}, {k}": Searcher(p, without_world(acting[k])) for p in reversed(WORLDS) for k in ("K = 30", "K = 10")
    }
    searchers |= {base: Searcher("P = 0", without_world(acting["base"]))}
    searchers |= {"random of 30": Searcher("P = 0", without_world(acting["random of 30"]))}
    return compare_searches(
        find("irasim"),
        Check(
            lambda shape: irasim(shape, size),
            once=("codec", JUDGE),
            policy="policy",
            model=("clip",),
            worlds=WORLDS,
            arms=searchers,
            claims=[(best, {base: 0.05, "random of 30": 0.05, "P = 0, K = 30": 0.05})],
            lines=sign_at_none,
            propose=candidates(latents([f"image.{CAMERA}"]), AHEAD),
            score=LAST_FRAME,
            ahead=AHEAD,
            clip=True,
            others={"P = 400, one modulation": lambda shape: irasim(shape, size, by_frame=False)},
        ),
        arms,
        seeds,
        quick,
        out,
    )


def sign_at_none(outcomes: Outcomes) -> list[Sanity]:
    """Without the policy's failures picking must not help: a harness that never shows this leaks the simulator."""
    gain = paired_difference(outcomes["P = 0, K = 30"], outcomes["K = 1"])
    return [Sanity("P = 0: K = 30 over K = 1", gain.value, gain.low <= 0, "not above 0, by its interval")]
