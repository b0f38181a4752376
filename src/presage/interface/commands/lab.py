"""`presage lab make | show`."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from presage.interface.commands.options import Command, MaybeOutFolder, Processes, identity, one, several, whole, words
from presage.results.output import summary, write_json, write_text

if TYPE_CHECKING:
    from presage.systems.lab.inventory import Shelf


@dataclass(frozen=True, kw_only=True)
class LabCommand(Command):
    """What both have in common."""

    seed: Annotated[int, one(whole(0, 8), "N")] = 0
    """Which starts are recorded; checks use the lab of seed 0, and nothing is trained on another one."""
    quick: bool = False
    """The debug twin: two episodes of at most two tasks each and models of a few steps, made in seconds."""

    def finish(self, names: tuple[str, ...] = ()) -> None:
        """Print what is there, of what is named or all, and write `--json`."""
        from presage.results.record import describe_run
        from presage.systems.lab.inventory import shelf

        found = shelf(self.quick, self.seed)
        self._print(found, names)
        if self.json is not None:
            figures: dict[str, Any] = {one_.name: card and asdict(card) for one_, card in found.datasets}
            figures |= {piece.name: [asdict(card) for card in cards] or None for piece, cards in found.artifacts}
            write_json(self.json, describe_run(self.seed, {**figures, "pool-success": found.success or None}))

    def _print(self, found: "Shelf", names: tuple[str, ...]) -> None:
        from presage.systems.lab.datasets import folder_of
        from presage.systems.lab.inventory import minutes, seen_by

        remedy = " --quick" * self.quick + f" --seed {self.seed}" * (self.seed > 0)
        for one_, data in found.datasets:
            if names and one_.name not in names:
                continue
            if data is None:
                print(f"\n{one_.name}: not made; presage lab make {one_.name}{remedy}")
                continue
            figures = {name: getattr(data, name) for name in ("episodes", "rows", "megabytes", "seconds", "rows_per_s")}
            tasks = ", ".join(one_.recording.tasks)
            summary(f"{one_.name}: {one_.what}", {**figures, "tasks": tasks, "folder": folder_of(one_)})
        for piece, cards in found.artifacts:
            there = cards or (not piece.cards and found.success)
            if names and piece.name not in names:
                continue
            if not there:
                print(f"\n{piece.name}: not made; presage lab make {piece.name}{remedy}")
                continue
            said: dict[str, Any] = {card.name: f"saw {seen_by(card)}; {minutes(card.seconds)}" for card in cards}
            rates = {} if piece.cards else {name: sum(x) / len(x) for name, x in found.success.items()}
            summary(f"{piece.name}: {piece.what}", {**said, **rates})


@dataclass(frozen=True, kw_only=True)
class LabMake(LabCommand):
    """Record datasets of the lab and train what checks start from; those that are there are left alone, and a killed
    call continues when repeated."""

    names: Positional[Annotated[tuple[str, ...], several(words, "NAME", key=identity)]] = ()
    """Datasets and artifacts, with the datasets that these need; all by default."""
    workers: Processes = 2
    """Processes that simulate, render and encode."""

    def run(self) -> None:
        from presage.systems.lab.inventory import make_all, steps_to

        done = make_all(steps_to(self.names, self.quick, self.seed, self.workers), lambda line: print(line, flush=True))
        self.finish(tuple(step.name for step in done))


@dataclass(frozen=True, kw_only=True)
class LabShow(LabCommand):
    """Show what of the lab is there: datasets, artifacts and what these saw, and what making them took."""

    out: MaybeOutFolder = None
    """Folder for a page, index.html, with films of every dataset and the ledgers of all artifacts."""

    def run(self) -> None:
        self.finish()
        if self.out is not None:
            from presage.interface.pages.lab_page import render
            from presage.systems.lab.inventory import shelf

            write_text(self.out / "index.html", render(shelf(self.quick, self.seed)))
            print(f"\nwritten to {self.out / 'index.html'}")


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Make what all checks of systems share, or show it. Both take --seed N and --json FILE.

        presage lab make
        presage lab make t3 play --workers 2
        presage lab make --quick
        presage lab show --out runs/lab

    It lies in ~/.cache/presage/lab (XDG_CACHE_HOME moves it), each part under a name that follows its content.
    Recording takes minutes on two cores, training what checks start from an hour and a half.
    """

    tool: OmitSubcommandPrefixes[
        OmitArgPrefixes[Annotated[LabMake, subcommand("make")] | Annotated[LabShow, subcommand("show")]]
    ] = field(default_factory=LabShow)

    def run(self) -> None:
        self.tool.run()
