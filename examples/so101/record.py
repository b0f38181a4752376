"""Record the arm as a LeRobot dataset, successes and failures:

    python record.py --out data/so101 --episodes 200

A killed call goes on where it was.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tyro
from behaviours import nearly, somehow
from cell import FPS, INSTRUCTION, NAMES, ROBOT, Cell

from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset


def record_one(cell: Cell, seed: int, near_misses: bool) -> Episode:
    cell.reset(seed)
    seen: list[dict[str, np.ndarray]] = []
    states, success = [], []
    commands = (nearly if near_misses else somehow)(cell.arm, cell.state, cell.cube, seed)
    for command in commands:
        seen.append(cell.look())
        states.append(cell.state)
        cell.step(command)
        success.append(cell.success or success[-1:] == [True])
    frames = {camera: np.stack([each[camera] for each in seen]) for camera in seen[0]}
    columns = {"observation.state": np.stack(states), "action": commands, "next.success": np.array(success)}
    return Episode(frames, columns, INSTRUCTION, {"success": success[-1], "seed": seed})


def record_some(spool: Path, seeds: list[int], near_misses: bool) -> None:
    cell, begun = Cell(), time.time()
    for number, seed in enumerate(seeds):
        episode = record_one(cell, seed, near_misses)
        spool_episode(spool, f"{seed:06d}", episode, FPS)
        took = (time.time() - begun) / (number + 1)
        print(f"{number + 1} of {len(seeds)}: success {episode.info['success']}, {took:.1f} s an episode", flush=True)


def main(out: Path, episodes: int = 200, first_seed: int = 0, processes: int = 2, near_misses: bool = False) -> None:
    spool = out.with_name(f"{out.name}.partial")
    seeds = [s for s in range(first_seed, first_seed + episodes) if not (spool / f"{s:06d}").exists()]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        shares = [seeds[i::processes] for i in range(processes)]
        list(pool.map(record_some, [spool] * processes, shares, [near_misses] * processes))
    names = {"observation.state": NAMES, "action": NAMES}
    write_dataset(spool, out, fps=FPS, robot_type=ROBOT, names=names)


if __name__ == "__main__":
    tyro.cli(main)
