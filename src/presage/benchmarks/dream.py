"""How good is a long dream, asked of its frames alone? Held-out scenes of the simulator, most of them built to be
telling, are imagined again from their first frames, by the model and by its twin of random weights.

The checkpoint's robot says in which world: Meta-World or Push-T.
"""

from pathlib import Path
from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.episodes.robot import Robot
from presage.simulator.frames.imagine import as_shipped, codec_floor, session_imagines, with_random_network
from presage.simulator.frames.measure import evaluation_scenes, measure
from presage.simulator.frames.readers import reader_of
from presage.simulator.frames.scenes import Scenes, check_shape, scenes
from presage.simulator.frames.staging import SETTINGS, setting_of
from presage.systems.checkpoint import load_for
from presage.training.checkpoint import read_config

EPISODES = 4
"""Of each task among the scenes in which the expert acts, in a published figure; other kinds have their share."""

QUICK = {"expert": 2, "wander": 2, "knock": 1, "branch": 1}
"""Scenes of a run that exercises everything"""


def world_of(checkpoint: Path) -> str:
    """The world whose robot a checkpoint was trained on; Meta-World where there are no scenes of it, so that `load_for`
    says why that does not fit.

    Raises:
        UserError: the checkpoint is missing or damaged.
    """
    robots = Robot.all_from_config(read_config(checkpoint), checkpoint / "config.json")
    names = {robot.name for robot in robots}
    return next((world for world in SETTINGS if setting_of(world).robot in names), SETTINGS[0])


def given(args: BenchArgs, world: str) -> list[Scenes]:
    """The scenes of a bench."""
    if args.quick:
        return [scenes(kind, n, args.seed, steps=8, workers=0, world=world) for kind, n in QUICK.items()]
    return evaluation_scenes(args.seed, (args.episodes or EPISODES) / EPISODES, world=world)


def run(args: BenchArgs) -> dict[str, Any]:
    """The figures of `simulator/frames/measure.py`, and the same of random weights."""
    world = world_of(args.checkpoint)
    model = load_for(setting_of(world).tasks, args.checkpoint, args.device)
    check_shape(model, setting_of(world), args.checkpoint)
    reader, shown = reader_of(world), given(args, world)
    figures: dict[str, Any] = {f"scenes/{each.kind}": len(each) for each in shown}
    figures |= measure(session_imagines(model, as_shipped(), args.seed), shown, reader, codec_floor(model))
    control = with_random_network(model, args.seed)
    random = measure(session_imagines(control, as_shipped(), args.seed), shown, reader)
    baselines = ("copy_", "codec_", "redrawn_", "reader_")
    figures |= {f"random_weights/{name}": x for name, x in random.items() if not name.startswith(baselines)}
    return figures
