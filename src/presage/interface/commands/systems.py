"""`presage systems [list | show NAME | check NAME]`."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from presage.errors import UserError
from presage.interface.commands.options import Command, MaybeOutFolder, identity, one, several, whole, words
from presage.results.output import command_line, write_json, write_text
from presage.systems.table import find


def system(text: str) -> str:
    """The name of a system that was called by name, title or number."""
    return find(text).name


MaybeSystem = Annotated[str | None, one(system, "NAME")]
SystemName = Positional[Annotated[str, one(system, "NAME")]]


@dataclass(frozen=True, kw_only=True)
class SystemsList(Command):
    """List the systems: number, name, use and state."""

    def run(self) -> None:
        from presage.systems.lab.check import state_of
        from presage.systems.lab.report import columns, uses_of
        from presage.systems.table import ROWS

        states = {row.name: state_of(row) for row in ROWS}
        table = [
            [str(row.number), row.name, row.title, uses_of(row), states[row.name][1] or states[row.name][0]]
            for row in ROWS
        ]
        print(columns([["", "name", "system", "use", "state"], *table]))
        if self.json is not None:
            said = {r.name: {**asdict(r), "state": states[r.name][0], "verdict": states[r.name][1]} for r in ROWS}
            write_json(self.json, {"command": command_line(), "figures": said})


@dataclass(frozen=True, kw_only=True)
class SystemsShow(Command):
    """Show a system: its paper, its claim, and the verdict of its check if there is one."""

    name: SystemName
    """Its name, title or number."""

    def run(self) -> None:
        from presage.systems.lab import report
        from presage.systems.lab.check import published, state_of, to_json

        row = find(self.name)
        state, _ = state_of(row)
        said = {"paper": report.paper_of(row), "use": report.uses_of(row), "claim": row.claim, "state": state}
        print(f"{row.title} ({row.number}), {row.name}\n")
        print(report.columns([[name, value] for name, value in said.items()]))
        result = published(row)
        if result is not None:
            print(f"\n{report.text(result)}")
        if self.json is not None:
            checked = None if result is None else to_json(result)
            write_json(
                self.json, {"command": command_line(), "figures": {**asdict(row), "state": state}, "check": checked}
            )


@dataclass(frozen=True, kw_only=True)
class SystemsCheck(Command):
    """Train the arms of a system in the lab and judge its claim beside the controls that could refute it."""

    name: SystemName
    """Its name, title or number."""
    arms: Annotated[tuple[str, ...], several(words, "ARM", key=identity)] = ()
    """Arms to run; all by default. Without all that it needs there is no verdict."""
    seeds: Annotated[int, one(whole(1, 20), "N")] = 3
    """How many training seeds, from --seed on."""
    quick: bool = False
    """A debug twin of seconds, on tuning starts; its figures are worth nothing."""
    out: MaybeOutFolder = None
    """Folder for what the check writes; by default runs/systems/NAME."""

    def run(self) -> None:
        from presage.interface.pages.page import document
        from presage.results.provenance import describe_machine, describe_versions
        from presage.systems.lab import check, report

        row = find(self.name)
        out = self.out or Path("runs/systems") / (f"{row.name}-quick" if self.quick else row.name)
        seeds = range(self.seed, self.seed + self.seeds)
        if row.number == 0:
            raise UserError("the reference model is no published system: presage bench dream measures it")
        result = check.run(row, self.arms, seeds, self.quick, out)
        result = replace(result, command=command_line(), machine=describe_machine(), versions=describe_versions())
        check.save(out / "check.json", result)
        write_text(out / "index.html", report.page(result, document))
        print(f"\n{report.text(result)}\n\nwritten to {out / 'check.json'} and {out / 'index.html'}")
        if self.json is not None:
            write_json(self.json, check.to_json(result))


@dataclass(frozen=True, kw_only=True)
class Systems:
    """List the published systems, show one, or check its claim in the lab. Each takes --seed N and --json FILE.

        presage systems
        presage systems show uwm
        presage systems check uwm --quick
        presage systems check uwm --seeds 3 --out runs/uwm

    A check leaves check.json and a page, index.html, in --out. It judges on a block of starts that is used once.
    """

    tool: OmitSubcommandPrefixes[
        OmitArgPrefixes[
            Annotated[SystemsList, subcommand("list")]
            | Annotated[SystemsShow, subcommand("show")]
            | Annotated[SystemsCheck, subcommand("check")]
        ]
    ] = field(default_factory=SystemsList)

    def run(self) -> None:
        self.tool.run()
