"""IRASim (Zhu et al. 2024): a world model in which each action modulates its own frame, and a policy that executes the
best of its proposals, judged by the last frame that the model imagines.

What counts is what the model has seen: trained on demonstrations alone it believes in every proposal, and picking by it
does not help; episodes of the very policy, with its failures, make it help. A latent U-Net stands for their latent
diffusion transformer. It imagines one frame after the other, each from its own action; theirs imagines a clip, and so
does a model that stands beside it, with its ablation, one modulation for all frames.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from presage.networks.composed import Composed
from presage.networks.unet import HIDDEN
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
from presage.systems.lab.world_base import world_model, world_stages
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
"""Rows that are imagined"""
CLIP = Denoise(Levels((Role(Uniform(0.5), GIVEN),), per_step=False), clip=True)
"""All frames at one level, all actions given"""
LAST_FRAME = judged(COVERAGE.name)


def irasim(shape: Shape, size: Size = SMALL, data: Mapping[str, float] = ALL) -> System:
    """data: kinds that the world model learns from."""
    pictures = tuple(f"image.{camera}" for camera in shape.cameras)
    stages = (
        codec_stage(size, ALL),
        policy_stage(size, pictures, AHEAD, steps=2500, draws=2),
        *world_stages(size, data, (6000, 1500), HIDDEN),
        judge_stage(pictures, COVERAGE, size, ALL),
    )
    return System(Card.of("irasim"), lambda shape: _built(shape, size), stages, uses(pictures))


def clips(shape: Shape, size: Size = SMALL, by_frame: bool = True) -> System:
    """A world model of clips, after one frame that is free of noise. by_frame: each action modulates its own frame
    (Zhu et al. 2024, section 3.2); else one modulation holds for all of them (their ablation)."""
    stage = Stage("clip", CLIP, data=ALL, window=1 + AHEAD, optimiser=scaled(Optimiser(2000, 16, warmup=50), size))
    return System(Card.of("irasim"), lambda shape: _built(shape, size, past=1, by_frame=by_frame), (stage,))


def _built(shape: Shape, size: Size, **world: Any) -> Composed:
    """world: as in `world_model`."""
    noise, parts = DDPM(100, "clean", limit=1.0), {JUDGE: judge_part(shape, size, COVERAGE)}
    model = world_model(shape, size, acting=noise, beside=[COVERAGE], parts=parts, **world)
    model.parts["head"] = policy_head(shape, size, in_a_row(model.streams[0], AHEAD), "diffusion")
    return model


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
RANDOM = "random weights"
MODULATED = {"each by its action": True, "all alike": False}
"""Frames of models of clips, which no arm uses"""


def check(arms: Sequence[str], seeds: Sequence[int], quick: bool, out: Path) -> CheckResult:
    size, acting = DEBUG if quick else SMALL, uses([f"image.{CAMERA}"])
    best, base = "P = 400, K = 30", "K = 1"
    searchers = {
        f"{p}, {k}": Searcher(p, without_world(acting[k])) for p in reversed(WORLDS) for k in ("K = 30", "K = 10")
    }
    searchers |= {base: Searcher("P = 0", without_world(acting["base"]))}
    searchers |= {"random of 30": Searcher("P = 0", without_world(acting["random of 30"]))}
    searchers |= {f"{RANDOM}, K = 30": Searcher(RANDOM, without_world(acting["K = 30"]))}
    return compare_searches(
        find("irasim"),
        Check(
            lambda shape: irasim(shape, size),
            once=("codec", JUDGE),
            policy="policy",
            model=("one step", "rollout"),
            worlds={RANDOM: {}, **WORLDS},
            arms=searchers,
            claims=[(best, {base: 0.05, "random of 30": 0.05, "P = 0, K = 30": 0.05})],
            lines=without_failures,
            propose=candidates(latents([f"image.{CAMERA}"]), AHEAD),
            score=LAST_FRAME,
            ahead=AHEAD,
            starts=100,
            others={f"clips, {how}": partial(clips, size=size, by_frame=own) for how, own in MODULATED.items()},
        ),
        arms,
        seeds,
        quick,
        out,
    )


def without_failures(outcomes: Outcomes) -> list[Sanity]:
    """Without the policy's failures picking must not help, nor by random weights: a harness that never shows this leaks
    the simulator."""
    gains = {world: paired_difference(outcomes[f"{world}, K = 30"], outcomes["K = 1"]) for world in ("P = 0", RANDOM)}
    return [
        Sanity(f"{world}: K = 30 over K = 1", gain.value, gain.low <= 0, "not above 0, by its interval")
        for world, gain in gains.items()
    ]
