"""`presage bench`: run one bench and write its figures with everything needed to repeat them."""

import importlib
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional

from presage.benchmarks import BENCHES
from presage.benchmarks.common import BenchArgs
from presage.errors import UserError
from presage.interface.commands.options import Command, MaybeCount, MaybeFolder, choice, one
from presage.results.output import Stopwatch, summary, write_json
from presage.results.provenance import describe_checkpoint
from presage.results.record import describe_run
from presage.systems.shipped import default_checkpoint

WITHOUT_EPISODES = ("cache", "serving", "play", "backbone", "training")
OF_TRANSFORMERS = ("cache", "codec", "training")
"""They measure what the baseline `mt10` has and a U-Net of pixels has not: cached keys, a codec, one training step."""
_LIST = "\n".join(f"    {name:<15} {line}" for name, (_, line) in BENCHES.items())


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    name: Positional[Annotated[str, one(choice(tuple(BENCHES)), "NAME")]]
    """Which bench (see above)."""
    checkpoint: MaybeFolder = None
    """Checkpoint folder; the one that comes with presage by default; cache, codec and training measure mt10's."""
    episodes: MaybeCount = None
    """Episodes, per task where a bench has tasks; by default as many as the published figure used."""
    quick: bool = False
    """Exercise everything in seconds; the figures are not worth publishing."""

    def run(self) -> None:
        if self.episodes is not None and self.name in WITHOUT_EPISODES:
            raise UserError(f"--episodes does not apply to bench {self.name}, which has none to count: leave it out")
        if self.episodes is not None and self.quick:
            raise UserError("--episodes does not apply to --quick, which runs as few as it can: leave one of them out")
        checkpoint = self.checkpoint or default_checkpoint(parts=self.name in OF_TRANSFORMERS)
        described = describe_checkpoint(checkpoint)
        from presage.device import default_device
        from presage.interface.cli import main

        watch = Stopwatch()
        module = importlib.import_module(BENCHES[self.name][0])
        bench = BenchArgs(checkpoint, self.seed, self.episodes, default_device(), self.quick, main=main)
        figures = module.run(bench)
        run = describe_run(self.seed, figures, checkpoint, bench.rows)
        record = {"bench": self.name, **run, "seconds": round(watch.seconds, 1)}
        summary(f"bench {self.name}, checkpoint {described['name']} {described['sha256']}", figures)
        if self.json is not None:
            write_json(self.json, record)
            print(f"\nwritten to {self.json}; presage figures makes tables of such files, presage report a page")


Bench.__doc__ = f"""Measure one published figure, with the controls that could refute it.

NAME is one of

{_LIST}

Episode seeds lie below 600000, where no recorded episode is; success rates carry their 95 % Wilson bounds
(..._low, ..._high). Measure speed on an idle machine.

    presage bench codec --seed 0 --json runs/figures/codec.json
    presage bench control --episodes 5

The summary is printed; --json gets figures, outcomes of episodes, command, seed, checkpoint, commit, versions and
machine.
"""
