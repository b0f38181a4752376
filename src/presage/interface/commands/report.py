"""`presage report`: results of commands as one page to share."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from presage.errors import UserError
from presage.interface.commands.options import Command, OutFile, Results
from presage.results.output import summary, write_json, write_text
from presage.results.record import describe_run

LARGEST = 20_000_000
"""Bytes of a page: what a mail may have, and what a phone still opens."""


@dataclass(frozen=True, kw_only=True)
class Report(Command):
    """Make one self-contained HTML page of results, to look at and to share.

    RUN is what a command wrote with --json (act, evaluate, plan, synthesize, bench, demo, ...) or a folder that presage
    train wrote. Several runs stand side by side, with differences and their intervals. Films are there where the
    command kept some (--films).

        presage act --tasks drawer-open-v3 --episodes 5 --films 4 --json runs/act.json
        presage report runs/act.json
        presage report runs/act.json runs/other.json --out runs/two.html

    The page at --out opens in any browser, offline; it holds the videos, tables, curves, every episode, and the
    commands, versions, seeds and machines that repeat them.
    """

    runs: Positional[Results]
    """Result files or training folders."""
    out: OutFile = Path("runs/report/index.html")
    """The page."""

    def run(self) -> None:
        from presage.interface.pages.report_page import render
        from presage.results.runs import read_runs

        runs = read_runs(list(self.runs))
        page = render(runs)
        size = len(page.text.encode())
        if size > LARGEST:
            raise UserError(
                f"the page would have {size / 1e6:.0f} MB, above {LARGEST / 1e6:.0f}: report fewer runs at a time"
            )
        write_text(self.out, page.text)
        figures = {
            "runs": len(runs),
            "episodes": sum(len(run.outcomes) for run in runs),
            "films": sum(len(run.footage) for run in runs),
            "megabytes": size / 1e6,
        }
        summary(f"report {self.out}", figures)
        for line in page.left_out:
            print(f"left out: {line}")
        print(f"\nOpen {self.out} in a browser; it needs nothing else.")
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures))
