"""Recordings that a bench makes of a simulator and then knows alone, until it opens the simulator again for the truth.

They are written to disk and read like anybody's dataset, compressed pictures included.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from presage.episodes.episode import Episode, InfoValue
from presage.episodes.spool import as_key, spool_episode
from presage.episodes.writer import write_dataset
from presage.errors import UserError
from presage.simulator.recordings import open_held_out, sight_of
from presage.worlds.recording import Recording
from presage.worlds.rollout import RolloutResult


def record(root: Path, results: Sequence[RolloutResult], world: Any, fps: float, checkpoint: Path) -> Recording:
    """Write episodes with frames, states and actions as the dataset `root`, and open it as the checkpoint sees it.
    Where a task has n of them, of n seeds in a row, a seed names the episode that was recorded with it."""
    spool = root.with_name(f"{root.name}.partial")
    tasks = list(dict.fromkeys(r.task for r in results))
    for number, result in enumerate(results):
        place = result.seed % sum(r.task == result.task for r in results)
        key = f"{tasks.index(result.task):03d}-{place:05d}-{number:05d}-{as_key(result.task)}"
        spool_episode(spool, key, as_recorded_episode(result), fps)
    write_dataset(spool, root, fps=fps, robot_type=world.robot)
    return open_held_out(sight_of(checkpoint), root)


def as_recorded_episode(result: RolloutResult) -> Episode:
    """As `presage collect` records one: nothing is executed after the last frame."""
    assert result.actions is not None and result.states is not None
    rows = np.arange(result.steps + 1)
    action = np.concatenate(
        [result.actions.reshape(result.steps, -1), np.zeros((1, int(np.prod(result.actions.shape[1:]))))]
    )
    columns = {
        "observation.state": result.states.astype(np.float32),
        "action": action.astype(np.float32),
        "action.valid": rows < result.steps,
        "next.success": result.success & (rows >= result.steps - 1),
    }
    if not result.states.shape[1]:
        del columns["observation.state"]
    facts: dict[str, InfoValue] = {"task": result.task, "seed": result.seed, "success": result.success}
    return Episode(result.frames, columns, result.instruction, facts)


def read_back(recording: Recording) -> list[RolloutResult]:
    """Its episodes with all that was recorded, as far as their actions lead to a picture; `seed` is the simulator's."""
    made = []
    for e, told in enumerate(recording.steps.episodes):
        actions = recording.actions(e)[: int(recording.length[e]) - 1]
        rows = slice(recording.row(e, 0), recording.row(e, int(recording.length[e])))
        frames = {camera: recording.frames(e)[:, slot] for slot, camera in enumerate(recording.cameras)}
        facts = (recording.task[e], int(told.info["seed"]), bool(recording.success[e]), len(actions))
        made.append(RolloutResult(*facts, recording.instruction[e], frames, recording.state[rows], actions))
    return made


def check_places(world: Any, tasks: Sequence[str], seeds: Sequence[int]) -> None:
    """Raise UserError unless each seed names the episode that was recorded with it."""
    for task, seed in zip(tasks, seeds, strict=True):
        found = world.recording.steps.episodes[world.place(task, seed)].info["seed"]
        if found != seed:
            raise UserError(f"{world.recording.steps.root}: seed {seed} of {task} names an episode of seed {found}")
