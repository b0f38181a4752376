"""How far off are the readers that poses in imagined images are read with? On real frames of held-out seeds, with the
object at random places; these errors are what every figure in the frames is to be read beside."""

from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.episodes.user_cache import cache_folder
from presage.simulator.frames.fit_readers import errors
from presage.simulator.frames.placed import placed
from presage.simulator.frames.readers import reader_of
from presage.simulator.frames.staging import SETTINGS, setting_of
from presage.worlds.seeds import evaluation_seeds

SEEDS = 12
"""Of each task"""


def run(args: BenchArgs) -> dict[str, Any]:
    """The figures of `fit_readers.errors`; those of other worlds than Meta-World begin with the world's name."""
    seeds = evaluation_seeds(args.seed, 1 if args.quick else args.episodes or SEEDS)
    figures: dict[str, Any] = {}
    for world in SETTINGS:
        before, folder = ("", "readers") if world == SETTINGS[0] else (f"{world}/", f"readers-{world}")
        workers = 0 if args.quick else 2
        data = placed(setting_of(world).tasks, seeds[0], len(seeds), cache_folder() / folder, workers=workers)
        figures |= {f"{before}{name}": x for name, x in errors(reader_of(world), data).items()}
        figures[f"{before}moments"] = len(data)
    return figures
