"""`presage figures`: bench results as the tables of the documentation."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from presage.interface.commands.options import Command, Files, OutFile
from presage.interface.pages.figures import reached, read_page, read_record, render, verdict
from presage.results.output import show, write_json, write_text


@dataclass(frozen=True, kw_only=True)
class Figures(Command):
    """Make tables of bench results, with the goals and whether they were reached.

    A later file replaces an earlier one of the same bench. Everything in the Markdown file but the sections of these
    benches stays as it is, with the checkpoint, commit and machine that it names.

        presage bench cache --json runs/figures/cache.json
        presage figures runs/figures/*.json --out docs/figures.md
    """

    files: Positional[Files]
    """JSON files written by presage bench."""
    out: OutFile = Path("docs/figures.md")
    """The Markdown file."""

    def run(self) -> None:
        records = {record["bench"]: record for record in map(read_record, self.files)}
        write_text(self.out, render(records, read_page(self.out)))
        goals = [goal for name, record in records.items() for goal in reached(name, record["figures"])]
        for figure, value, goal, good in goals:
            print(f"{verdict(value, good).strip('*'):<12}  {figure} = {show(value)} ({goal})")
        print(f"\n{len(records)} benches, {sum(g[3] for g in goals)} of {len(goals)} goals reached: {self.out}")
        if self.json is not None:
            write_json(self.json, {"figures": {name: record["figures"] for name, record in records.items()}})
