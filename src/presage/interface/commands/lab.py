"""`presage lab make | show`."""

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from presage.interface.commands.options import Command, Processes, identity, one, several, whole, words
from presage.results.output import summary, write_json

if TYPE_CHECKING:
    from presage.systems.lab.datasets import Card, Wanted


@dataclass(frozen=True, kw_only=True)
class LabCommand(Command):
    """What both have in common."""

    seed: Annotated[int, one(whole(0, 8), "N")] = 0
    """Which starts are recorded; checks use the lab of seed 0."""
    quick: bool = False
    """The debug twin: two episodes of at most two tasks each, made in seconds."""

    def finish(self, cards: "list[tuple[Wanted, Card | None]]") -> None:
        """Print what is there and write `--json`."""
        from presage.results.record import describe_run
        from presage.systems.lab.datasets import folder_of

        for one_, card in cards:
            if card is None:
                print(f"\n{one_.name}: not made; presage lab make {one_.name}{' --quick' * self.quick}")
                continue
            figures: dict[str, Any] = {name: getattr(card, name) for name in ("episodes", "rows", "megabytes")}
            figures |= {"seconds": card.seconds, "rows_per_s": card.rows_per_s}
            tasks = ", ".join(one_.recording.tasks)
            summary(f"{one_.name}: {one_.what}", {**figures, "tasks": tasks, "folder": folder_of(one_)})
        if self.json is not None:
            figures = {one_.name: None if card is None else asdict(card) for one_, card in cards}
            write_json(self.json, describe_run(self.seed, figures))


@dataclass(frozen=True, kw_only=True)
class LabMake(LabCommand):
    """Record datasets of the lab; those that are there are left alone, and a killed call continues when repeated."""

    names: Positional[Annotated[tuple[str, ...], several(words, "NAME", key=identity)]] = ()
    """Datasets; all by default."""
    workers: Processes = 2
    """Processes that simulate, render and encode."""

    def run(self) -> None:
        from presage.systems.lab.datasets import choose, make

        self.finish([(one_, make(one_, self.workers)) for one_ in choose(self.names, self.quick, self.seed)])


@dataclass(frozen=True, kw_only=True)
class LabShow(LabCommand):
    """Show which datasets of the lab are there, what is in them and what they took."""

    def run(self) -> None:
        from presage.systems.lab.datasets import choose, read_card

        self.finish([(one_, read_card(one_)) for one_ in choose((), self.quick, self.seed)])


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Make the datasets that all checks of systems share, or show them. Both take --seed N and --json FILE.

        presage lab make
        presage lab make t3 play --workers 2
        presage lab make --quick
        presage lab show

    They lie in ~/.cache/presage/lab (XDG_CACHE_HOME moves it), each under a name that follows its settings. Recording
    all takes several minutes on two cores.
    """

    tool: OmitSubcommandPrefixes[
        OmitArgPrefixes[Annotated[LabMake, subcommand("make")] | Annotated[LabShow, subcommand("show")]]
    ] = field(default_factory=LabShow)

    def run(self) -> None:
        self.tool.run()
