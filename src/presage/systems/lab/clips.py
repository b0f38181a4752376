"""Checks of systems that plan in video on the lab's pucks: words combined anew, executed blindly and looking.

The clip is what must carry the plan. So beside the system stand the same plan under other words, one whose translator
is shown the first frame all along, and one whose translator is shown the future of another row.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.policy.executors import OpenLoop, open_loop
from presage.policy.heads import answer
from presage.policy.translators import ClipPlan, of_others, repeated
from presage.systems.lab.arms import Judge, recorded, seconds_of, sized, starts_of, success, trained
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.datasets import HELD_OUT, MANY
from presage.systems.lab.kept import kept, made_of
from presage.systems.lab.starts import Start
from presage.systems.lab.verdict import FLOOR, Sanity, judge
from presage.systems.system import SMALL, Shape, Size, System
from presage.systems.table import Row
from presage.timeline.noise import streams
from presage.training.objectives.invert import in_a_row
from presage.training.recorded import Recorded, shape_of
from presage.worlds.instructions import INSTRUCTIONS
from presage.worlds.knocks import Knocked
from presage.worlds.protocol import Policy
from presage.worlds.vector import VectorWorld

EPISODES, BESIDE, CHANCE = 60, 30, 1 / 9
"""Starts that are judged, and those of each figure beside; a puck and a mark at random"""
STEPS, KNOCK = 30, 5
"""Chunks of an episode (demonstrations take 17 to 25), and after how many of them the puck is knocked"""
RECORDED = "pairs that were recorded"
"""Where neither arm succeeds on these, nothing is said of pairs that were not"""
MARGIN, HELD = 0.15, 30
"""HELD: demonstrations that the translator is tested on and nothing is trained on"""


def knocked(world: VectorWorld) -> Knocked:
    """Every episode is knocked."""
    return Knocked(world, lambda seed: KNOCK)


def compare_clips(
    row: Row,
    system: Callable[[Shape, Size], System],
    cloning: Callable[[Shape, Size], System],
    plan_of: Callable[[Shape], ClipPlan],
    every: int,
    names: Sequence[str],
    seeds: Sequence[int],
    quick: bool,
    out: Path,
) -> CheckResult:
    """The check of the claim that a plan in video does combinations of words that cloning does not.

    every: chunks after which the closed loop looks.

    Raises:
        UserError: there is no such arm, or the lab lacks its dataset.
    """
    began, block = monotonic(), block_of(row, quick, out)
    data = recorded("many", quick)
    episodes, held = len(data.length), min(HELD, len(data.length) // 4)
    rows, test = data.only(range(episodes - held)), data.only(range(episodes - held, episodes))
    shape = shape_of(rows)
    plan = plan_of(shape)
    uses: dict[str, Callable[[Composed, int], Policy]] = {
        row.title: open_loop(plan),
        "cloning": cloning(shape, sized(SMALL, quick)).uses["policy"],
        "other words": told(other_words, plan),
        "first frame repeated": open_loop(replace(plan, shown=repeated)),
        "others' futures": open_loop(replace(plan, shown=of_others)),
    }
    for name in names:
        if name not in uses:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(uses)}")
    starts, known = starts_of(block, HELD_OUT, EPISODES, quick), starts_of(block, MANY[::2], BESIDE, quick)
    some, most = starts[:BESIDE], KNOCK + 1 if quick else STEPS
    found: dict[str, list[Arm]] = {name: [] for name in uses if not names or name in names}
    sanity: list[Sanity] = []
    for seed in seeds:
        folder = out / str(seed)
        models, took, steps = {}, {}, {}
        for name, recipe in ((row.title, system), ("cloning", cloning)):
            value = recipe(shape, sized(SMALL, quick))
            models[name] = trained(value, shape, {"labelled": rows}, seed, folder)
            took[name] = sum(seconds_of(folder / stage.name) for stage in value.stages)
            steps[name] = sum(stage.optimiser.steps for stage in value.stages)
        for name in found:
            whose = "cloning" if name == "cloning" else row.title
            model, use = models[whose], uses[name]
            beside: dict[str, Judge] = {}
            if name in (row.title, "cloning"):
                beside = {RECORDED: success(use, known, max_steps=most)}
                beside |= {"with a knock": success(use, some, around=knocked, max_steps=most)}
            if name == row.title:
                closed = open_loop(plan, every)
                beside |= {"closed loop": success(closed, some, max_steps=most)}
                beside |= {"closed loop, with a knock": success(closed, some, around=knocked, max_steps=most)}
            path = folder / "arms" / f"{name.replace(' ', '_')}.json"
            judged = _judged(name, model, use, beside, starts, seed, len(rows.action), most, path)
            judged = replace(judged, steps=steps[whose], seconds=judged.seconds + took.get(name, 0.0))
            found[name].append(judged)
            print(f"{name}: {found[name][-1].mean:.2f} {dict(found[name][-1].figures)}", flush=True)
        sanity += translations(models[row.title], plan, test)
    sanity = list({line.name: line for line in sorted(sanity, key=lambda line: -line.value)}.values())  # the worst seed
    arms = {name: _over_seeds(parts) for name, parts in found.items()}
    verdict = None
    if len(arms) == len(uses):
        at_home = max(arms[name].figure(RECORDED) for name in (row.title, "cloning"))
        sanity.append(Sanity(f"best success on {RECORDED}", at_home, at_home >= FLOOR, f"{FLOOR} or more"))
        margins = {name: MARGIN for name in uses if name != row.title}
        verdict = judge({name: arm.outcomes for name, arm in arms.items()}, row.title, margins, sanity, chance=CHANCE)
    seconds = max(sum(arm.seconds for arm in arms.values()), monotonic() - began)
    beside_all = {line.name: line.value for line in sanity}
    return CheckResult(row, "success", tuple(arms.values()), verdict, tuple(seeds), block, quick, seconds, beside_all)


def other_words(instruction: str) -> str:
    """The instruction of another puck and another mark."""
    task = next(task for task, wordings in INSTRUCTIONS.items() if instruction in wordings)
    _, colour, place = task.split("-")
    others = [t for t in (*MANY, *HELD_OUT) if colour not in t and place not in t]
    return INSTRUCTIONS[others[0]][0]


def told(change: Callable[[str], str], plan: ClipPlan) -> Callable[[Composed, int], Policy]:
    """A plan under other words than those that are judged."""

    class Told(OpenLoop):
        def reset(self, instructions: list[str]) -> None:
            super().reset([change(each) for each in instructions])

    return lambda model, seed: Told(model, plan, seed=seed)


def _judged(
    name: str,
    model: Composed,
    use: Callable[[Composed, int], Policy],
    beside: Mapping[str, Judge],
    starts: Sequence[Start],
    seed: int,
    rows: int,
    most: int,
    path: Path,
) -> Arm:
    """What an arm does on all starts, in at most `most` chunks; kept in `path`."""

    def judged() -> dict[str, Any]:
        began = monotonic()
        outcome = success(use, starts, max_steps=most)(model, seed)
        figures = {key: sum(each := judge(model, seed)) / len(each) for key, judge in beside.items()}
        return {"outcome": outcome, "figures": figures, "seconds": monotonic() - began}

    done = kept(path, made_of(starts=starts, weights=model, use=use, beside=dict(beside), rows=most), judged)
    parameters = sum(p.numel() for p in model.parameters())
    return Arm(name, (tuple(done["outcome"]),), done["seconds"], parameters, rows, 0, done["figures"])


def _over_seeds(parts: Sequence[Arm]) -> Arm:
    figures = {key: sum(p.figure(key) for p in parts) / len(parts) for key in parts[0].figures}
    outcomes = tuple(outcome for part in parts for outcome in part.outcomes)
    return replace(parts[0], outcomes=outcomes, seconds=sum(p.seconds for p in parts), figures=figures)


@torch.inference_mode()
def translations(model: Composed, plan: ClipPlan, test: Recorded) -> list[Sanity]:
    """The translator on true futures, against futures of others and none: its error must double."""
    first = [s + i for s, n in zip(test.start, test.length) for i in range(0, n - plan.every - 1, plan.every)]
    frames = torch.stack([_frames(model, plan, test, first, d) for d in (0, plan.every)], 1)
    acts = next(s for s in model.streams if s.acts)
    done = torch.stack([model.encode_action(test.action[[i + d for i in first]]) for d in range(plan.every)], 1)
    text = torch.from_numpy(test.text[test.instruction[first]])
    between = in_a_row(acts, plan.every)

    def error(shown: Tensor) -> float:
        said = answer(model.parts[plan.part], shown, text, between, streams(0, len(first)), plan.reads)
        return float((said - done.view_as(said)).square().mean().sqrt())

    true = error(frames)
    wrong = {"others' futures": of_others(frames), "first frame repeated": repeated(frames)}
    named = {f"translator's error with {name} / true ones": error(x) / true for name, x in wrong.items()}
    return [Sanity(name, value, value > 2, "above 2") for name, value in named.items()]


def _frames(model: Composed, plan: ClipPlan, test: Recorded, first: Sequence[int], after: int) -> Tensor:
    """(P, T, C of all cameras) of the rows `after` later."""
    rows = np.asarray(first) + after
    return torch.cat([model.encode_pictures(name, test.frames[name][rows]) for name in plan.pictures], -1)
