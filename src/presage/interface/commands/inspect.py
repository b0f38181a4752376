"""`presage inspect`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from presage.errors import UserError
from presage.interface.commands.options import Command, Data, MaybeOutFile, MaybeSpan
from presage.results.output import check_writable, command_line, summary, write_json, write_text
from presage.results.record import describe_run

if TYPE_CHECKING:
    from presage.episodes.survey import Survey


@dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Show what is in a LeRobot dataset (v2.x, v3.0), what is wrong with it, and what training would make of it.

        presage inspect data/arm
        presage inspect user/name --episodes 0:20 --out runs/name.html

    Prints a summary and writes one HTML page with everything inside: cameras, columns with histograms, instructions,
    lengths, sample videos, gaps, damage with its remedy. Damage does not fail the command; what cannot be read at all
    does.
    """

    data: Positional[Data]
    """Dataset folder, or user/name on the Hugging Face hub."""
    out: MaybeOutFile = None
    """The page; runs/inspect/NAME.html by default."""
    episodes: MaybeSpan = None
    """Which episodes: 0:50, or 3,7,20:30. All by default."""
    full: bool = False
    """Decode every frame to find damage inside videos, not one in each file."""

    def run(self) -> None:
        from presage.episodes.choose import parse_episodes
        from presage.episodes.hub import download, hub_name
        from presage.episodes.survey import survey
        from presage.interface.pages.inspect_page import render

        chosen = None if self.episodes is None else parse_episodes(self.episodes)
        root = self.data
        if not root.exists():
            repository = hub_name(root)
            if repository is None:
                raise UserError(f"{root} does not exist: name a dataset folder, or user/name on the hub")
            root = download(repository, chosen)
        page = self.out or Path("runs/inspect") / f"{self.data.name or self.data.resolve().name}.html"
        check_writable(page)
        found = survey(root, chosen, self.full)
        shown = figures_of(found)
        training = what_training_makes(found)
        write_text(page, render(found, shown, training, command_line()))
        summary(f"dataset {self.data}", shown)
        print(f"\n{training}")
        for title, lines in (("repaired while reading", found.notes), ("gaps", found.gaps), ("damage", found.damage)):
            if lines:
                print(f"\n{title}\n" + "\n".join(f"  {line}" for line in lines[:10]))
                if len(lines) > 10:
                    print(f"  and {len(lines) - 10} more, on the page")
        print(f"\nPage: {page}")
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, shown))


def figures_of(found: "Survey") -> dict[str, Any]:
    """The summary: name -> value."""
    import numpy as np

    from presage.episodes.disk import show_bytes

    data = found.dataset
    lengths = data.lengths
    grippers = [number.name for feature in found.features for number in feature.numbers if number.is_gripper]
    missing = {f.name: f.missing for f in found.features if f.missing}
    return {
        "format": f"LeRobotDataset {data.version}",
        "robot": data.robot_type,
        "episodes": len(data.episodes),
        "rows": data.num_rows,
        "rows per second": data.fps,
        "seconds": data.num_rows / data.fps,
        "episode length": f"{lengths.min()} to {lengths.max()} rows, median {int(np.median(lengths))}",
        "cameras": ", ".join(f"{c.name} {c.width} x {c.height} {c.codec}" for c in found.cameras) or None,
        "videos": show_bytes(sum(camera.bytes for camera in found.cameras)),
        "action": _shape(found, "action"),
        "state": _shape(found, "observation.state"),
        "gripper-like": ", ".join(dict.fromkeys(grippers)) or None,
        "instructions": f"{len(found.instructions)}; most frequent: {found.instructions[0][0]!r}",
        "success": None if found.success is None else f"{found.success[0]} of {found.success[1]} episodes",
        **({"success told by labels": f"{len(data.labels)} episodes"} if data.labels else {}),
        "rows not recorded": ", ".join(f"{name}: {count}" for name, count in missing.items()) or None,
        "columns not read": ", ".join(found.unread) or None,
        "repaired": len(found.notes),
        "gaps": len(found.gaps),
        "damage": len(found.damage),
    }


def _shape(found: "Survey", name: str) -> str | None:
    feature = found.dataset.features.get(name)
    return None if feature is None else f"{' x '.join(map(str, feature['shape']))} {feature['dtype']}"


def what_training_makes(found: "Survey") -> str:
    """What `presage train` would do with the dataset as it is, in a sentence."""
    from presage.episodes.robot import Robot, holds_chunks
    from presage.episodes.steps import Steps
    from presage.training.learnable import check_learnable, remarks

    data = found.dataset
    try:
        if holds_chunks(data):
            check_learnable(data)
            return (
                "Its rows are model steps already, with a chunk of actions each: presage train takes them as they are."
            )
        robot = Robot.from_dataset(data)
        check_learnable(Steps(data, robot))
        said = "".join(f"\n{line}." for line in remarks(data, robot))
    except UserError as error:
        return f"presage train cannot use it as it is: {error}."
    return (
        f"presage train would look through {len(robot.cameras)} cameras, make {robot.steps_per_second:g} "
        "steps per second "
        f"with {robot.chunk} actions of {len(robot.action_names)} numbers each, and see "
        f"{len(robot.state_names)} numbers "
        f"of state. Options: --cameras --fps --chunk --action --state --relative.{said}"
    )
