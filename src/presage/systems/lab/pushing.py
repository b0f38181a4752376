"""Push-T in the lab: demonstrations and play with what each frame covers, coverage as a figure, the simulator as an
oracle, and what a world model and a reward on frames are worth there.

Shapes: B rows of a batch, R rows, N candidates, H rows ahead, C numbers of a chunk.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from presage.episodes.dataset import Dataset
from presage.networks.composed import IMAGE, Composed
from presage.policy.executors import open_loop
from presage.simulator.planners import Propose, Score, Search, committed
from presage.simulator.scorers import led_to
from presage.systems.lab.arms import CHUNK, SIZE, recorded
from presage.systems.lab.datasets import PUSHT, dataset
from presage.systems.lab.outcome import COVERAGE, judged_frames, with_outcome
from presage.systems.lab.probes import MOVED
from presage.systems.lab.recording import OBJECT
from presage.systems.lab.starts import FIRST_TUNING_SEED, Start
from presage.timeline.session import Session
from presage.training.recorded import Recorded, joined
from presage.worlds.collect import renderer_of, simulation_of
from presage.worlds.instructions import instructions
from presage.worlds.protocol import Policy
from presage.worlds.rollout import rollout
from presage.worlds.vector import VectorWorld
from presage.worlds.world import Snapshot, find_world

CAMERA = "top"
HELD = 20
"""Demonstrations that nobody is trained on"""
ROWS = 40
"""Of an episode: the expert needs 8 to 38"""

Use = Callable[[Composed, int, VectorWorld], Policy]
"""Model, seed and the world that it acts in, which the oracle alone looks into"""


# -- what there is ----------------------------------------------------------------------------------------------------


def coverage_at(places: np.ndarray) -> np.ndarray:
    """(R,) of the goal that a block at (R, 3) x, y, angle covers."""
    simulation, covered = simulation_of(*PUSHT), []
    for place in places:
        simulation.block = np.array([*place, 0.0, 0.0, 0.0], np.float64)
        covered.append(simulation.coverage)
    return np.array(covered)


def coverage_in(snapshots: Sequence[bytes]) -> np.ndarray:
    """(B,) at the moments of snapshots."""
    return coverage_at(np.stack([Snapshot.from_bytes(each).arrays["block"][:3] for each in snapshots]))


def push_data(quick: bool) -> tuple[dict[str, Recorded], Recorded]:
    """Kinds of data, all with the coverage that each frame shows, and clean demonstrations that nobody is trained on.

    `labelled` is what the policy clones: demonstrations, and what experts do after they were disturbed. World models
    learn from `clean` demonstrations, from `disturbed` ones as they are, and from play (`noise`).

    Raises:
        UserError: the lab's datasets of Push-T were not made.
    """
    clean, disturbed, play = (_covering(name, quick) for name in ("pdemo", "pnoise", "pplay"))
    count = len(clean.length)
    shown = count - min(HELD, count // 2)
    known = clean.only(range(shown))
    good = replace(disturbed, labelled=disturbed.labelled & (disturbed.quality == 1))
    kinds = {"labelled": joined([known, good]), "clean": known, "disturbed": disturbed, "noise": play}
    return kinds, clean.only(range(shown, count))


def _covering(name: str, quick: bool) -> Recorded:
    places = Dataset(dataset(name, quick)).column(OBJECT)
    return with_outcome(recorded(name, quick, (CAMERA,)), COVERAGE, coverage_at(places))


def final_coverage(use: Use, starts: Sequence[Start], rows: int = ROWS) -> Callable[[Composed, int], list[float]]:
    """The figure of a policy: how much of the goal is covered at the end, in the simulator."""

    def covered(model: Composed, seed: int) -> list[float]:
        out: list[float] = []
        with closing(VectorWorld(list(PUSHT), min(17, len(starts)), (CAMERA,), SIZE, chunk=CHUNK)) as world:
            for i in range(0, len(starts), world.num_envs):
                now = starts[i : i + world.num_envs]
                rollout(use(model, seed, world), world, [s.task for s in now], [s.seed for s in now], rows)
                out += coverage_in(world.snapshot(range(len(now)))).tolist()
        return out

    return covered


def without_world(use: Callable[[Composed, int], Policy]) -> Use:
    """An arm that looks into nothing but its model."""
    return lambda model, seed, world: use(model, seed)


def true_outcomes(model: Composed, snapshots: Sequence[bytes], candidates: Tensor) -> Tensor:
    """(B, N) coverage after candidates (B, N, H, C), tried in the simulator from each snapshot."""
    b, n, horizon, _ = candidates.shape
    chunks = model.decode_action(candidates.reshape(b * n * horizon, 1, -1))
    actions = np.clip(chunks.reshape(b, n, horizon * CHUNK, -1), -1, 1)
    simulation, out = simulation_of(*PUSHT), np.zeros((b, n), np.float32)
    for row, data in enumerate(snapshots):
        before = Snapshot.from_bytes(data)
        for i in range(n):
            simulation.load(before)
            for action in actions[row, i]:
                simulation.step(action)
            out[row, i] = simulation.coverage
    return torch.from_numpy(out)


def oracle(search: Search, propose: Propose, executed: int) -> Use:
    """The same search, judged by the simulator: what a perfect world model and reward would give."""

    def use(model: Composed, seed: int, world: VectorWorld) -> Policy:
        def score(session: object, candidates: Tensor) -> Tensor:
            return true_outcomes(model, world.snapshot(policy.rows.tolist()), candidates)

        policy = open_loop(committed(search, propose, score), executed, context=None)(model, seed)
        return policy

    return use


# -- what world models and rewards are worth --------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Moments:
    """B moments of episodes of a policy, and what it would do there."""

    before: Mapping[str, np.ndarray]
    executed: np.ndarray
    now: Mapping[str, np.ndarray]
    snapshots: list[bytes]
    candidates: Tensor
    """(B, N, H, C)"""
    true: Tensor
    """(B, N) coverage after each, in the simulator"""


def moments(model: Composed, propose: Propose, acting: Policy, starts: Sequence[Start], n: int) -> Moments:
    """A moment of each start, two to nine rows after it."""
    rows = [2 + i % 8 for i in range(len(starts))]
    kept: list[tuple[Any, ...]] = [()] * len(starts)
    with closing(VectorWorld(list(PUSHT), len(starts), (CAMERA,), SIZE, chunk=CHUNK)) as world:
        seen, info = world.reset(seed=[s.seed for s in starts])
        acting.reset(list(info["instruction"]))
        before, executed = seen, np.zeros(0)
        for row in range(max(rows) + 1):
            for i in (i for i, when in enumerate(rows) if when == row):
                old, new = ({name: x[i].copy() for name, x in each.items()} for each in (before, seen))
                kept[i] = (old, executed[i], new, *world.snapshot([i]))
            executed = np.clip(acting.act(seen), -1, 1)
            before = {name: x.copy() for name, x in seen.items()}
            seen = {name: x.copy() for name, x in world.step(executed)[0].items()}
    earlier, done, later, snapshots = zip(*kept, strict=True)
    first, second = (_stacked(part) for part in (earlier, later))
    candidates = propose(_session(model, first, np.stack(done), second), n)
    return Moments(
        first, np.stack(done), second, list(snapshots), candidates, true_outcomes(model, snapshots, candidates)
    )


def _stacked(each: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def regret(model: Composed, score: Score, at: Moments) -> dict[str, float]:
    """How much coverage is lost against the best of the candidates, by whom the model picks and by whom chance does."""
    session = _session(model, at.before, at.executed, at.now)
    with torch.inference_mode():
        picked = score(session, at.candidates).argmax(1).cpu()
    best, taken = at.true.amax(1), at.true.gather(1, picked[:, None])[:, 0]
    return {"regret": float((best - taken).mean()), "by chance": float((best - at.true.mean(1)).mean())}


def _session(
    model: Composed, before: Mapping[str, np.ndarray], executed: np.ndarray, now: Mapping[str, np.ndarray]
) -> Session[Composed]:
    session = Session(model, list(instructions(*PUSHT)[:1]) * len(executed))
    session.observe(dict(before))
    session.observe(dict(now), executed)
    return session


def foresight_errors(model: Composed, held: Recorded, ahead: int, clip: bool, count: int = 60) -> dict[str, float]:
    """Of the last of `ahead` frames, on the pixels that truly moved: over what copying the present frame errs, and over
    what the model errs when it is given the actions of other rows."""
    name = f"{IMAGE}{CAMERA}"
    first = np.concatenate([np.arange(s + 1, s + n - ahead) for s, n in zip(held.start, held.length)])
    first = first[np.linspace(0, len(first) - 1, min(count, len(first))).astype(int)]
    done = torch.stack([model.encode_action(held.action[first + h]).flatten(1) for h in range(ahead)], 1)[:, None]
    seen = [{name: held.frames[name][first + i], "state": held.state[first + i]} for i in (-1, 0)]
    session = _session(model, seen[0], held.action[first - 1], seen[1])
    now, true = held.frames[name][first], held.frames[name][first + ahead]
    moves = np.abs(true.astype(int) - now).max(-1) > MOVED

    def error(shown: np.ndarray) -> float:
        return float(np.square(shown.astype(float) - true)[moves].mean())

    def imagined(actions: Tensor) -> float:
        return error(model.decode_images(led_to(session.without_noise(), actions, clip=clip))[name])

    right, wrong = imagined(done), imagined(done.roll(len(first) // 2, 0))
    return {"error / copied frame's": right / error(now), "error / with other actions": right / wrong}


def reward_errors(model: Composed, held: Recorded, ends: int = 12) -> dict[str, float]:
    """How far the reward is off on true frames; and how much it says is covered where an expert has just succeeded, and
    where the block is put back from there to its start."""
    said = judged_frames(model, held.frames, held.text[held.instruction], COVERAGE)
    off = float(np.abs(said - held.latents[COVERAGE.name][:][:, 0, 0].astype(float)).mean())
    simulation, renderer = simulation_of(*PUSHT), renderer_of(find_world(*PUSHT), (CAMERA,), SIZE, 2)
    shown: dict[str, list[np.ndarray]] = {"a success": [], "its block put back": []}
    for seed in range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + ends):
        simulation.reset(seed)
        start = simulation.block.copy()
        for _ in range(200):
            simulation.step(simulation.expert_action())
            if simulation.success:
                break
        for name in shown:
            shown[name].append(simulation.frames(renderer)[CAMERA])
            simulation.block = start
    text = np.repeat(held.text[:1], ends, 0)
    says = {n: judged_frames(model, {f"{IMAGE}{CAMERA}": np.stack(x)}, text, COVERAGE).mean() for n, x in shown.items()}
    return {"reward off by": off, **{f"reward of {name}": float(value) for name, value in says.items()}}
