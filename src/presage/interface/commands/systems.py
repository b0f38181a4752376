"""`presage systems [list | show NAME | compare A B | check NAME]`."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from presage.errors import UserError
from presage.interface.commands.options import Command, MaybeOutFolder, Processes, identity, one, several, whole, words
from presage.results.output import command_line, write_json, write_text
from presage.systems.table import Row, find


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
class SystemsCompare(Command):
    """Show two systems side by side: claims, figures beside their hardest controls, verdicts and costs. Results are the
    committed ones, else those that checks left in runs/systems."""

    names: Positional[Annotated[tuple[str, ...], several(system, "NAME", least=2, key=identity)]]
    """Two systems by name, title or number."""
    out: MaybeOutFolder = None
    """Folder for a page, index.html, that shows the same, and all differences drawn on one scale."""

    def run(self) -> None:
        from presage.interface.pages.page import document
        from presage.systems.lab import comparison
        from presage.systems.lab.check import to_json

        if len(self.names) != 2:
            raise UserError(f"NAME: {len(self.names)} systems given: two are compared at a time")
        one_, other = (comparison.checked(find(name)) for name in self.names)
        print(comparison.text(one_, other))
        if self.out is not None:
            write_text(self.out / "index.html", comparison.page(one_, other, document))
            print(f"\nwritten to {self.out / 'index.html'}")
        if self.json is not None:
            figures = {
                row.name: {**asdict(row), "check": None if result is None else to_json(result)}
                for row, result in (one_, other)
            }
            write_json(self.json, {"command": command_line(), "figures": figures})


@dataclass(frozen=True, kw_only=True)
class SystemsCheck(Command):
    """Train the arms of a system in the lab and judge its claim beside the controls that could refute it; or of all."""

    name: Positional[MaybeSystem] = None
    """Its name, title or number."""
    all: bool = False
    """Every system that has a recipe, each in a process of its own, on a lab that is made first. A finished check is
    not begun again, and a call that was killed goes on when repeated."""
    arms: Annotated[tuple[str, ...], several(words, "ARM", key=identity)] = ()
    """Arms to run; all by default. Without all that it needs there is no verdict."""
    seeds: Annotated[int, one(whole(1, 20), "N")] = 3
    """How many training seeds, from --seed on."""
    quick: bool = False
    """A debug twin of seconds, on tuning starts; its figures are worth nothing."""
    workers: Processes = 2
    """With --all: checks at a time, with one thread each where they are several."""
    out: MaybeOutFolder = None
    """Folder for what the check writes; by default runs/systems/NAME, with --all the folder of such folders."""

    def run(self) -> None:
        if self.all == (self.name is not None):
            raise UserError("name a system, or give --all")
        if self.all and self.arms:
            raise UserError("--arms are those of one system: name it in place of --all")
        seeds = tuple(range(self.seed, self.seed + self.seeds))
        if self.name is None:
            self._check_all(seeds)
        else:
            self._check(find(self.name), seeds)

    def _check(self, row: Row, seeds: tuple[int, ...]) -> None:
        from presage.interface.commands.batch import described_versions
        from presage.interface.pages.page import document
        from presage.results.provenance import describe_machine
        from presage.systems.lab import check, report

        out = self.out or Path("runs/systems") / f"{row.name}{'-quick' * self.quick}"
        if row.number == 0:
            raise UserError("the reference model is no published system: presage bench dream measures it")
        result = check.run(row, self.arms, seeds, self.quick, out)
        result = replace(result, command=command_line(), machine=describe_machine(), versions=described_versions())
        check.save(out / "check.json", result)
        write_text(out / "index.html", report.page(result, document))
        print(f"\n{report.text(result)}\n\nwritten to {out / 'check.json'} and {out / 'index.html'}")
        if self.json is not None:
            write_json(self.json, check.to_json(result))

    def _check_all(self, seeds: tuple[int, ...]) -> None:
        from presage.interface.commands.batch import Batch, check_all
        from presage.systems.lab import check, inventory, report
        from presage.systems.table import ROWS, has_recipe

        def say(line: str) -> None:
            print(line, flush=True)

        if not self.quick:
            list(inventory.make_all(inventory.steps_to((), False, 0, self.workers), say))
        batch = Batch(self.out or Path("runs/systems"), seeds, self.quick, self.workers)
        done = check_all([row for row in ROWS if has_recipe(row)], batch, say)
        rows = [
            [
                str(each.row.number),
                each.row.name,
                each.words,
                inventory.minutes(each.result.seconds if each.result else 0),
            ]
            for each in done
        ]
        print(f"\n{report.columns([['', 'name', 'verdict', 'took'], *rows])}")
        if self.json is not None:
            figures = {each.row.name: None if each.result is None else check.to_json(each.result) for each in done}
            write_json(self.json, {"command": command_line(), "figures": figures})
        failed = [each.row.name for each in done if each.result is None]
        if failed:
            raise UserError(f"{len(failed)} of {len(done)} checks failed: {', '.join(failed)}; see log.txt of each")


@dataclass(frozen=True, kw_only=True)
class Systems:
    """List the published systems, show one or two, or check a claim in the lab. Each takes --seed N and --json FILE.

        presage systems
        presage systems show uwm
        presage systems compare uwm pad --out runs/compare
        presage systems check uwm --quick
        presage systems check uwm --seeds 3 --out runs/uwm
        presage systems check --all --quick

    A check leaves check.json and a page, index.html, in --out. It judges on a block of starts that is used once.
    """

    tool: OmitSubcommandPrefixes[
        OmitArgPrefixes[
            Annotated[SystemsList, subcommand("list")]
            | Annotated[SystemsShow, subcommand("show")]
            | Annotated[SystemsCompare, subcommand("compare")]
            | Annotated[SystemsCheck, subcommand("check")]
        ]
    ] = field(default_factory=SystemsList)

    def run(self) -> None:
        self.tool.run()
