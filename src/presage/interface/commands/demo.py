"""`presage demo`: the shipped model in all seven uses, live in the simulator, each beside its control."""

import time
from dataclasses import dataclass
from pathlib import Path

from presage.interface.commands.options import Command, MaybeCount, MaybeFolder, MaybePicture, OutFile
from presage.interface.commands.stage import Stage
from presage.interface.pages.page import Report, render
from presage.results.clips import contact_sheet
from presage.results.output import command_line, write_json, write_text
from presage.results.record import describe_run, save_films


@dataclass(frozen=True, kw_only=True)
class Demo(Command):
    """Run all seven uses of the model in the simulator and write one self-contained HTML page.

    Ten Meta-World tasks, episodes that training never saw, every use beside the control that could refute it. Takes at
    most five minutes on two cores; a faster machine runs more episodes in that time, a slower one fewer tasks.

        presage demo
        presage demo --seed 3 --out runs/demo3/index.html --picture runs/demo3/dreams.png

    Prints one table; the page at --out has videos, intervals, rates, command, versions and machine.
    """

    out: OutFile = Path("runs/demo/index.html")
    """The page."""
    checkpoint: MaybeFolder = None
    """Checkpoint folder; the one that comes with presage by default."""
    episodes: MaybeCount = None
    """Episodes per task; by default as many as fit into five minutes."""
    picture: MaybePicture = None
    """Also write a picture: rows of real and imagined frames."""

    def run(self) -> None:
        from presage.results.provenance import describe_checkpoint
        from presage.systems.shipped import default_checkpoint
        from presage.worlds.seeds import evaluation_seeds

        evaluation_seeds(self.seed, self.episodes or 1)  # there are some: said before the model is loaded
        start = time.monotonic()
        folder = self.checkpoint or default_checkpoint()
        described = describe_checkpoint(folder)
        print(f"loading checkpoint {described['name']} and ten simulated tasks ...", flush=True)
        stage = Stage(folder, self.seed, self.episodes)
        report = _report(stage, described)
        write_text(self.out, render(report))
        if self.picture is not None:
            contact_sheet(report.clips[:2], "front", self.picture)
        if self.json is not None:
            films = save_films(self.json, stage.films)
            write_json(self.json, describe_run(self.seed, stage.figures, folder, stage.rows, films))
        _print_table(report)
        seconds = time.monotonic() - start
        print(f"\n{seconds:.0f} s in all. The page with the videos: {self.out}  (open it in a browser)")


def _report(stage: Stage, described: dict[str, str]) -> Report:
    """Run everything and put it in order."""
    uses = stage.run()
    size = sum(x.numel() for x in stage.model.stored().values()) / 1e6
    return Report(
        title="presage: one model, seven uses",
        lead=(
            f"A world model of {size:.0f} million weights controls a robot from pixels in {len(set(stage.tasks))} "
            "simulated tasks, and stands in for the simulator itself."
        ),
        uses=uses,
        clips=[film.clip for film in stage.films],
        points=stage.points,
        agreement=stage.agreement,
        rates=stage.rates,
        command=command_line(),
        facts=_facts(stage.seed, described),
        notes=[
            f"{len(stage.tasks)} episodes per use: {len(set(stage.tasks))} tasks, seeds from "
            f"{min(stage.seeds)} up, none "
            "of which training saw. So few episodes leave wide intervals; presage bench control runs 200."
        ],
    )


def _facts(seed: int, described: dict[str, str]) -> list[tuple[str, str]]:
    from presage.results.provenance import arithmetic, describe_commit, describe_machine, describe_versions

    machine = describe_machine()
    return [
        ("checkpoint", f"{described['name']}, weights {described['sha256']}"),
        ("seed", str(seed)),
        ("commit", describe_commit()),
        ("versions", ", ".join(f"{name} {value}" for name, value in describe_versions().items())),
        (
            "machine",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {arithmetic(machine)}; "
            f"GPU: {machine['gpu'] or 'none'}",
        ),
    ]


def _print_table(report: Report) -> None:
    print(f"\n{'use':<19} {'figure':<22} {'control':<22} {'control is'}")
    print("-" * 100)
    for use in report.uses:
        label = use.control.label.split(":")[0]
        print(f"{use.number} {use.name:<15} {use.figure.text:<22} {use.control.text:<22} {label}")
    for number, what in report.rates:
        print(f"{number:>6}  {what}")
    for note in report.notes:
        print(note)
