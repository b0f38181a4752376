"""How good is a long dream, asked of its frames alone? Held-out scenes of the simulator, most of them built to be
telling, are imagined again from their first frames, by the model and by its twin of random weights."""

from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.simulator.frames.imagine import as_shipped, codec_floor, session_imagines, with_random_network
from presage.simulator.frames.measure import evaluation_scenes, measure
from presage.simulator.frames.readers import load_reader
from presage.simulator.frames.scenes import Scenes, scenes
from presage.systems.checkpoint import load_for
from presage.worlds import MT10

EPISODES = 4
"""Of each task among the scenes in which the expert acts, in a published figure; other kinds have their share."""

QUICK = {"expert": 2, "wander": 2, "knock": 1, "branch": 1}
"""Scenes of a run that exercises everything"""


def given(args: BenchArgs) -> list[Scenes]:
    """The scenes of a bench."""
    if args.quick:
        return [scenes(kind, n, args.seed, steps=8, workers=0) for kind, n in QUICK.items()]
    return evaluation_scenes(args.seed, (args.episodes or EPISODES) / EPISODES)


def run(args: BenchArgs) -> dict[str, Any]:
    """The figures of `simulator/frames/measure.py`, and the same of random weights."""
    model = load_for(MT10, args.checkpoint, args.device)
    reader, shown = load_reader(), given(args)
    figures: dict[str, Any] = {f"scenes/{each.kind}": len(each) for each in shown}
    figures |= measure(session_imagines(model, as_shipped(), args.seed), shown, reader, codec_floor(model))
    control = with_random_network(model, args.seed)
    random = measure(session_imagines(control, as_shipped(), args.seed), shown, reader)
    baselines = ("copy_", "codec_", "redrawn_", "reader_")
    figures |= {f"random_weights/{name}": x for name, x in random.items() if not name.startswith(baselines)}
    return figures
