"""Checks of world models as evaluators: do imagined and true outcomes agree, and does that tell how often the better of
two policies is picked?

A trajectory is what a policy did in the simulator, and how it ended. The model imagines it from its first frame under
the same actions, and a head reads the outcome off the last imagined frame. As many trajectories succeed as fail, in
every task, and they are as long, so a model that guesses agrees in half of them.

Shapes: K trajectories, M policies, S pixels a side.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.networks.composed import Composed
from presage.simulator.success import best_threshold
from presage.systems.lab.arms import CAMERAS, recorded, run_arm, starts_of, steps_of
from presage.systems.lab.artifacts import Artifact, Source, artifact, source
from presage.systems.lab.check import Arm, CheckResult, block_of
from presage.systems.lab.cloning import Architecture
from presage.systems.lab.datasets import T3, dataset
from presage.systems.lab.delays import at_least, at_most
from presage.systems.lab.labels import LABELS, Seen
from presage.systems.lab.outcome import JUDGE, OUTCOME, judged_frames, put_back, success_shown, with_outcome
from presage.systems.lab.pool import Member, learned, pool
from presage.systems.lab.rolled import FIRST_ROLLED, rolled
from presage.systems.lab.starts import FIRST_TUNING_SEED, Start, near_seeds, tuning_block
from presage.systems.lab.trials import ROWS, Trials, dreamed, dreamed_by, shuffled_in_tasks, together, trials_of
from presage.systems.lab.verdict import Sanity, Verdict, judge
from presage.systems.lab.world_base import table_world
from presage.systems.system import Shape, System
from presage.systems.table import Row
from presage.training.recorded import Recorded, encoded, joined, shape_of

P_MOST, UNSEEN, HIDDEN = 800, "unseen", T3[-1]
"""Episodes of policies, and the kind of data without those of one task"""
DRIVERS: tuple[tuple[Architecture, int, int], ...] = (
    ("flow", 5, 11), ("filmed", 20, 11), ("pooled", 20, 11), ("flow", 20, 11)
)  # fmt: skip
"""Policies whose episodes models learn from: others than those that are judged"""
FIRST_PUT_BACK = FIRST_ROLLED + 500_000
HEAD = "outcome-head"
MAY = (
    *[Seen(name, LABELS) for name in ("noise", "play")],
    *[Seen(name, ("next.success",)) for name in ("t3", "put-back")],
)
"""Labels that a model which is judged may have seen: no action of a demonstration, which its policies learn from"""
STARTS, EACH, CALIBRATION = 42, 33, 24
"""Starts that every policy is judged on; successes of a task that are kept, and as many failures; starts of each driver
that thresholds come from"""
BINS = (0.0, 0.1, 0.2, 0.4, 1.0)
"""Of the true gap between two policies"""
GUESS, MARGIN = 0.6, 0.08


# -- agreement --------------------------------------------------------------------------------------------------------


def expected_picks(true: np.ndarray, hit: float, alarm: float, count: int, seed: int = 0) -> np.ndarray:
    """(1000, bins) share of right picks, over all pairs of M policies of true success (M,), by bins of their true gap,
    if a success is seen in a share `hit` of its dreams, a failure taken for one in a share `alarm`, and each policy has
    `count` dreams. NaN where a bin is empty."""
    rng = np.random.default_rng(seed)
    said = rng.binomial(count, hit * true + alarm * (1 - true), (1000, len(true))) / count
    return np.stack([right_picks(true, each) for each in said])


def right_picks(true: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(bins,) share of pairs of which the better one is picked; a tie is half a pick."""
    found: list[list[float]] = [[] for _ in BINS[1:]]
    for a, b in combinations(range(len(true)), 2):
        gap = true[a] - true[b]
        if gap:
            where = min(int(np.searchsorted(BINS, abs(gap), "left")) - 1, len(found) - 1)
            found[where].append((1 + np.sign(gap) * np.sign(said[a] - said[b])) / 2)
    return np.array([np.mean(each) if each else np.nan for each in found])


@dataclass(frozen=True, eq=False)
class Lab:
    """What models are judged on: balanced trajectories, others that thresholds come from, policies with their trials,
    and real successes, each as it is and with the object put back (R,)."""

    judged: Trials
    calibration: Trials
    policies: Sequence[tuple[Member, Trials]]
    back: Trials
    most: int = ROWS
    """Rows of a dream that a policy acts in"""


@dataclass(frozen=True)
class Said:
    """What is said of the judged trajectories: above `cut` it is success. hit, alarm: share of true successes and of
    true failures that are called success."""

    agrees: np.ndarray
    cut: float
    hit: float
    alarm: float


Reading = Callable[[Composed, Trials], np.ndarray]
"""(K,) probability of success"""


READINGS: Mapping[str, Reading] = {
    "dream": lambda model, trials: dreamed(model, trials.recorded),
    "other actions": lambda model, t: dreamed(model, t.recorded, shuffled_in_tasks(t.recorded.task)),
    "first frame": lambda model, trials: judged_frames(model, trials.first, trials.text, OUTCOME),
    "true last frame": lambda model, trials: judged_frames(model, trials.last, trials.text, OUTCOME),
}


def said_by(model: Composed, reading: Reading, lab: Lab) -> Said:
    before, ended = reading(model, lab.calibration), lab.calibration.success
    cut = best_threshold(before, ended).threshold if ended.any() and not ended.all() else 0.5
    above, true = reading(model, lab.judged) > cut, lab.judged.success
    return Said(above == true, cut, _share(above[true]), _share(above[~true]))


def _share(x: np.ndarray) -> float:
    return float(x.mean()) if len(x) else 0.5


OUTSIDE, BACK = "bins in which picks are outside of what agreement says", "put-backs called success"


def picks(model: Composed, lab: Lab, said: Said) -> dict[str, float]:
    """Right picks in dreams that policies act in, bin by bin, and how many bins are outside of what agreement says."""
    true = np.array([trials.success.mean() for _, trials in lab.policies])
    imagined = np.array(
        [(dreamed_by(model, m.make(), trials, lab.most) > said.cut).mean() for m, trials in lab.policies]
    )
    measured = right_picks(true, imagined)
    expected = expected_picks(true, said.hit, said.alarm, len(lab.policies[0][1].success))
    both = true.std() > 0 and imagined.std() > 0
    figures = {"correlation of imagined and true success": float(np.corrcoef(true, imagined)[0, 1]) if both else 0.0}
    outside = 0
    for i in np.flatnonzero(~np.isnan(measured)):
        low, high = np.quantile(expected[:, i], [0.025, 0.975])
        outside += int(not low <= measured[i] <= high)
        words = f"gap {BINS[i]} to {BINS[i + 1]}"
        figures[f"right picks, {words}"] = float(measured[i])
        figures[f"as agreement says, {words}"] = float(expected[:, i].mean())
    return figures | {OUTSIDE: float(outside)}


# -- the check --------------------------------------------------------------------------------------------------------


def compare_alignment(
    row: Row,
    make: Callable[..., System],
    models: Mapping[str, Mapping[str, float]],
    names: Sequence[str],
    seeds: Sequence[int],
    quick: bool,
    out: Path,
) -> CheckResult:
    """The check of the claim that the first of `models` agrees with true outcomes more often than the one without
    episodes of policies.

    make: the system of a shape and, by its keyword `rollouts`, of what its stage `adapt` learns from. models: arm ->
    those kinds of data.

    Raises:
        UserError: there is no such arm, or the lab lacks a dataset.
    """
    claimed, none = next(iter(models)), "P = 0"
    arms = {name: (name, "dream") for name in models}
    arms |= {f"{claimed}, other actions": (claimed, "other actions")}
    arms |= {name: (claimed, name) for name in ("first frame", "true last frame")}
    for name in names:
        if name not in arms:
            raise UserError(f"{row.title} has no arm {name!r}: there are {', '.join(arms)}")
    began, base = monotonic(), table_world(quick, out, MAY)
    block, drivers = block_of(row, quick, out), learned(DRIVERS[:1] if quick else DRIVERS, quick, out)
    kinds = {name: recorded(name, quick) for name in ("noise", "play")}
    shape = shape_of(kinds["noise"])
    kinds = {name: encoded(base.model, part) for name, part in (kinds | rollouts(drivers, quick)).items()}
    weights = with_head(base, make(shape), shape, quick, out)
    lab = lab_of(drivers, starts_of(block, T3, STARTS, quick), quick, out)
    starts = [Start(task, i, False) for i, task in enumerate(lab.judged.recorded.task)]
    done = {}
    for name in [name for name in arms if not names or name in names]:
        of, how = arms[name]
        whole = make(shape, rollouts=models[of])
        adapt = replace(
            whole, build=_starting(whole, weights), stages=tuple(s for s in whole.stages if s.name == "adapt")
        )
        answers: dict[str, Said] = {}

        def judge_model(model: Composed, seed: int, how: str = how, answers: dict[str, Said] = answers) -> list[float]:
            answers["last"] = said_by(model, READINGS[how], lab)
            return answers["last"].agrees.astype(float).tolist()

        def figures(model: Composed, name: str = name, answers: dict[str, Said] = answers) -> Mapping[str, float]:
            said = answers["last"]  # of the model that was judged just before
            hidden = np.array(lab.judged.recorded.task) == HIDDEN
            shown = {"hallucinated": said.alarm, "missed": 1 - said.hit}
            shown |= {f"agreement in {HIDDEN}": _share(said.agrees[hidden])}
            return shown | (beside(model, lab, said) if name == claimed else {})

        data = {kind: kinds[kind] for kind in models[of]}
        done[name] = run_arm(name, adapt, shape, data, seeds, judge_model, out, starts, figures, f"training/{of}")
        print(f"{name}: agrees in {done[name].mean:.2f}, {done[name].seconds:.0f} s", flush=True)
    seconds = max(sum(arm.seconds for arm in done.values()), monotonic() - began)
    figures_of_all = {"trajectories": float(len(starts)), "policies": float(len(lab.policies))}
    return CheckResult(
        row, "agreement", tuple(done.values()), verdict_of(done, claimed, none), tuple(seeds), block, quick, seconds,
        figures_of_all,
    )  # fmt: skip


def beside(model: Composed, lab: Lab, said: Said) -> dict[str, float]:
    """Picks, and what the head says of real successes whose object is put back."""
    shown = judged_frames(model, lab.back.last, lab.back.text, OUTCOME) > 0.5
    return {BACK: _share(shown[~lab.back.success]), **picks(model, lab, said)}


def verdict_of(arms: Mapping[str, Arm], claimed: str, none: str) -> Verdict | None:
    blind = ("first frame", f"{claimed}, other actions")
    if not {claimed, none, *blind, "true last frame"} <= set(arms):
        return None
    sanity: list[Sanity] = [
        *[at_most(f"agreement, {name}", arms[name].mean, GUESS) for name in blind],
        at_least("agreement, true last frame", arms["true last frame"].mean, 0.85),
        at_most(BACK, arms[claimed].figure(BACK), 0.1),
        at_most(OUTSIDE, arms[claimed].figure(OUTSIDE), 0.0),
    ]
    return judge({name: arms[name].outcomes for name in (claimed, none)}, claimed, {none: MARGIN}, sanity)


def rollouts(drivers: Sequence[Member], quick: bool) -> dict[str, Recorded]:
    """What models are adapted to: kinds of data by the number of episodes, and all but those of one task. None begins
    far, where no other data do: to know the place would do for knowing the policy."""
    each, parts = (6 if quick else P_MOST) // len(drivers), []
    tasks = [T3[i % len(T3)] for i in range(each)]
    for d, driver in enumerate(drivers):
        seeds = near_seeds(tasks, FIRST_ROLLED + d * P_MOST)
        parts.append(rolled(driver.make(), tasks, seeds, max_steps=steps_of(quick)).recorded)
    most = joined(parts)
    every = 2 if quick else P_MOST // 200
    other = [i for i, task in enumerate(most.task) if task != HIDDEN]
    return {f"P = {P_MOST}": most, "P = 200": most.only(range(0, len(most.length), every)), UNSEEN: most.only(other)}


def with_head(base: Artifact, system: System, shape: Shape, quick: bool, out: Path) -> dict[str, torch.Tensor]:
    """Weights of the base and of a head that is trained on its codec: on demonstrations, perturbed experts and real
    successes with the object put back."""
    data = {name: source(name, quick) for name in ("noise", "t3")}
    for name, part in data.items():
        shown = success_shown(Dataset(dataset(name, quick)))
        seen = encoded(base.model, part.recorded.without_labels(range(len(part.recorded.length))))
        data[name] = replace(part, recorded=with_outcome(seen, OUTCOME, shown))
    rows, shows = put_back(T3, 2 if quick else 200, FIRST_PUT_BACK, CAMERAS)
    data["back"] = Source(with_outcome(rows, OUTCOME, shows), "put-back")
    (stage,) = [s for s in system.stages if s.name == JUDGE]
    head = replace(
        system,
        build=_starting(system, base.model.state_dict()),
        stages=(replace(stage, data={"noise": 1.0, "t3": 1.0, "back": 2.0}, make={}),),
    )
    return dict(artifact(HEAD, head, shape, data, out if quick else None, after=[base], may=MAY).model.state_dict())


def _starting(system: System, weights: Mapping[str, torch.Tensor]) -> Callable[[Shape], Composed]:
    def build(shape: Shape) -> Composed:
        model = system.build(shape)
        model.load_state_dict(weights, strict=False)
        return model

    return build


def lab_of(drivers: Sequence[Member], starts: Sequence[Start], quick: bool, out: Path) -> Lab:
    """starts: of the judged policies."""
    policies = [member for member in pool(quick, out) if not member.trivial]
    trials = trials_of([member.make() for member in policies], starts, steps_of(quick))
    before = starts_of(tuning_block(1), T3, CALIBRATION, quick)
    known = together(trials_of([driver.make() for driver in drivers], before, steps_of(quick)))
    whole = together(trials)
    rows, shows = put_back(T3, 2 if quick else 60, FIRST_TUNING_SEED, CAMERAS)
    kept, known = (trials if quick else trials.balanced(EACH) for trials in (whole, known))
    pairs = list(zip(policies, trials, strict=True))
    return Lab(kept, known, pairs, Trials(rows, shows), steps_of(quick, ROWS))
