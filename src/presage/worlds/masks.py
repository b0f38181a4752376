"""Which pixels of recorded frames show gripper, object and goal: recorded episodes are run again in their simulator.

An episode of `collect` follows from its task, its seed and its actions, so what a camera saw can be asked for later.
The states that come up on the way are compared with the recorded ones.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version

import numpy as np

from presage.episodes.cache import row_cache
from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.worlds.behaviours import CHUNK, PLAYED
from presage.worlds.collect import renderer_of, simulation_of, start_worker
from presage.worlds.world import find_world

TOLERANCE = 1e-4
"""Of states: they are stored as float32, and the simulator computes the same numbers on every machine."""
_ROWS = 2048


def can_replay(dataset: Dataset) -> bool:
    """Whether every episode says from which task and seed it is, and every row has a chunk that the robot could
    execute.

    Raises:
        UserError: no world has such a task, or an episode was played: its scene does not follow from its seed.
    """
    features = dataset.features
    if "observation.state" not in features or "action" not in features:
        return False
    if not all("task" in e.info and "seed" in e.info for e in dataset.episodes):
        return False
    for e in (e for e in dataset.episodes if e.info.get("behaviour") in PLAYED):
        raise UserError(
            f"{dataset.root}: episode {e.index} was played from a scene that its seed does not give, so it cannot be "
            "simulated again; leave out what --play recorded"
        )
    world = find_world(str(dataset.episodes[0].info["task"]))
    shape = [world.state_size], [CHUNK * world.action_size]
    return (features["observation.state"]["shape"], features["action"]["shape"]) == shape


def object_masks(dataset: Dataset, cameras: Sequence[str], size: int, workers: int = 2) -> np.memmap:
    """Masks (rows, cameras, size, size / 8) uint8, eight pixels a byte (`unpack`); cached beside the dataset.

    Raises:
        UserError: an episode cannot be simulated again, or runs otherwise than it was recorded, for example in another
            version of the simulator.
    """
    if not can_replay(dataset):
        raise UserError(f"{dataset.root}: it does not say from which task and seed each of its episodes is")
    states = dataset.column("observation.state").reshape(dataset.num_rows, -1)
    actions = dataset.column("action").reshape(dataset.num_rows, CHUNK, -1)
    start = np.array([e.start for e in dataset.episodes])

    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker) as pool:

        def compute(rows: slice) -> np.ndarray:
            first = int(np.searchsorted(start, rows.start, side="right")) - 1
            last = int(np.searchsorted(start, rows.stop, side="left"))
            chosen = dataset.episodes[first:last]
            jobs = [(str(e.info["task"]), int(e.info["seed"]), actions[e.rows], states[e.rows]) for e in chosen]
            masks = [pool.submit(_replay, *job, tuple(cameras), size) for job in jobs]
            begin = rows.start - int(start[first])
            whole = np.concatenate([mask.result() for mask in masks])
            return whole[begin : begin + rows.stop - rows.start]

        key = f"{list(cameras)} mujoco {version('mujoco')}"
        return row_cache(dataset, f"masks-{size}-{'-'.join(cameras)}", compute, key, _ROWS)


def unpack(masks: np.ndarray) -> np.ndarray:
    """(..., S, S / 8) uint8 -> (..., S, S) of 0 and 1."""
    return np.unpackbits(masks, axis=-1)


def _replay(
    task: str, seed: int, actions: np.ndarray, states: np.ndarray, cameras: tuple[str, ...], size: int
) -> np.ndarray:
    simulation, renderer = simulation_of(task), renderer_of(find_world(task), cameras, size, 2)
    simulation.reset(seed)
    masks = []
    for row, state in enumerate(states):
        if not np.allclose(simulation.state, state, atol=TOLERANCE):
            raise UserError(
                f"{task}, seed {seed}: row {row} cannot be simulated again as it was recorded; collect the data anew"
            )
        shown = simulation.masks(renderer)
        masks.append(np.packbits(np.stack([shown[name] for name in cameras]), axis=-1))
        for action in actions[row] if row < len(states) - 1 else ():
            simulation.step(action)
    return np.stack(masks)
