"""How far off are the readers that poses in imagined images are read with? On real frames of held-out seeds, with the
object at random places; these errors are what every figure in the frames is to be read beside."""

from typing import Any

from presage.benchmarks.common import BenchArgs
from presage.episodes.user_cache import cache_folder
from presage.simulator.frames.fit_readers import errors
from presage.simulator.frames.placed import placed
from presage.simulator.frames.readers import load_reader
from presage.worlds import MT10
from presage.worlds.seeds import evaluation_seeds

SEEDS = 12
"""Of each task"""


def run(args: BenchArgs) -> dict[str, Any]:
    """The figures of `fit_readers.errors`."""
    seeds = evaluation_seeds(args.seed, 1 if args.quick else args.episodes or SEEDS)
    data = placed(MT10, seeds[0], len(seeds), cache_folder() / "readers", workers=0 if args.quick else 2)
    return {"moments": len(data)} | errors(load_reader(), data)
