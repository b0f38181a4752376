"""How fast is imagination beside the simulator that it stands for? Environment steps a second, on one core each."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from presage.benchmarks.common import BenchArgs
from presage.simulator.frames.imagine import Shown, as_shipped, session_imagines
from presage.simulator.frames.placed import CAMERAS, SIZE
from presage.simulator.frames.scenes import check_shape
from presage.simulator.frames.staging import setting_of_task
from presage.systems.checkpoint import load_for
from presage.worlds import MT10
from presage.worlds.behaviours import CHUNK
from presage.worlds.collect import renderer_of, simulation_of
from presage.worlds.world import find_world

BATCHES, TASK = (1, 16, 64), "push-v3"
STEPS = 8
"""Rows of a dream, each as many environment steps as a chunk has"""


def run(args: BenchArgs) -> dict[str, Any]:
    """`simulator_steps_per_s`: MuJoCo, with both cameras drawn once a row. `dream_steps_per_s_B`: B dreams side by
    side, frames decoded. Both take turns, so that a busy machine slows both; medians of each."""
    model, repeats = load_for(MT10, args.checkpoint, args.device), 2 if args.quick else 15
    check_shape(model, setting_of_task(TASK), args.checkpoint)
    imagine, usual = session_imagines(model, as_shipped(), args.seed), torch.get_num_threads()
    simulate, shown = _simulator(args.seed)
    torch.set_num_threads(1)
    try:
        seconds: dict[str, list[float]] = {}
        for _ in range(repeats):
            seconds.setdefault("simulator_steps_per_s", []).append(_took(simulate))
            for batch in BATCHES:
                given = _repeated(shown, batch)
                actions = np.random.default_rng(batch).uniform(-1, 1, (batch, STEPS, CHUNK, 4)).astype(np.float32)
                took = _took(partial(imagine, given, actions))
                seconds.setdefault(f"dream_steps_per_s_{batch}", []).append(took / batch)
    finally:
        torch.set_num_threads(usual)
    figures = {name: STEPS * CHUNK / float(np.median(each)) for name, each in seconds.items()}
    return figures | {
        f"ratio_{b}": figures[f"dream_steps_per_s_{b}"] / figures["simulator_steps_per_s"] for b in BATCHES
    }


def _took(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def _simulator(seed: int) -> tuple[Callable[[], object], Shown]:
    """What simulates and draws `STEPS` rows, and two frames of it to begin a dream from."""
    simulation, renderer = simulation_of(TASK), renderer_of(find_world(TASK), CAMERAS, SIZE, 2)
    simulation.reset(seed)
    rng = np.random.default_rng(seed)

    def rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        frames, states, actions = [], [], rng.uniform(-1, 1, (count, CHUNK, 4)).astype(np.float32)
        for chunk in actions:
            images = simulation.frames(renderer)
            frames.append([images[c] for c in CAMERAS])
            states.append(simulation.state)
            for action in chunk:
                simulation.step(action)
        return np.array(frames), np.array(states), actions

    frames, states, actions = rows(2)
    return partial(rows, STEPS), Shown(frames[None], actions[None, :1], states[None], ["push the puck"])


def _repeated(shown: Shown, batch: int) -> Shown:
    assert shown.states is not None
    frames, actions, states = (np.repeat(x, batch, 0) for x in (shown.frames, shown.actions, shown.states))
    return Shown(frames, actions, states, shown.instructions * batch)
