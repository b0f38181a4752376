"""`presage bench`: run one bench and write its figures with everything needed to repeat them."""

import importlib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from presage.benchmarks import BENCHES
from presage.benchmarks.common import BenchArgs, default_checkpoint, describe_checkpoint
from presage.errors import UserError
from presage.interface.output import Command, Stopwatch, summary, write_json
from presage.interface.record import describe_run

_LIST = "\n".join(f"    {name:<15} {line}" for name, (_, line) in BENCHES.items())


@dataclass(frozen=True, kw_only=True)
class Bench(Command):
    name: Annotated[Positional[str], arg(metavar="NAME")]
    """Which bench (see above)."""
    checkpoint: Annotated[Path | None, arg(metavar="DIR")] = None
    """Checkpoint folder; the one that comes with presage by default."""
    episodes: Annotated[int | None, arg(metavar="N")] = None
    """Episodes, per task where a bench has tasks; by default as many as the published figure used."""
    quick: bool = False
    """Exercise everything in seconds; the figures are not worth publishing."""

    def run(self) -> None:
        if self.name not in BENCHES:
            close = get_close_matches(self.name, BENCHES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(BENCHES)}"
            raise UserError(f"no bench {self.name!r}: {hint}")
        if self.episodes is not None and self.episodes < 1:
            raise UserError(f"--episodes {self.episodes}: give at least 1")
        self.check_output()
        checkpoint = self.checkpoint or default_checkpoint()
        described = describe_checkpoint(checkpoint)
        from presage.device import default_device

        watch = Stopwatch()
        module = importlib.import_module(BENCHES[self.name][0])
        bench = BenchArgs(checkpoint, self.seed, self.episodes, default_device(), self.quick)
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

The summary is printed; --json gets figures, outcomes of episodes, command, seed, checkpoint, commit, versions and machine.
"""
