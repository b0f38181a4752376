"""`presage train --system NAME`: a published system on anybody's datasets."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from presage.interface.commands.applies import check_system_options
from presage.policy import USES
from presage.results.output import command_line, show, summary, write_json
from presage.results.record import describe_run

if TYPE_CHECKING:
    from presage.episodes.robot import Robot
    from presage.interface.commands.train import Train

Logs = Mapping[str, Mapping[str, float]]
"""Stage -> the last line of its log"""


def train_system(options: "Train", name: str) -> None:
    """Train all stages of the system `name`, or one.

    Raises:
        UserError: an option does not apply, the data do not fit, or --out holds what was made from something else.
    """
    from presage.episodes.choose import parse_episodes
    from presage.episodes.labels import require_used
    from presage.episodes.marks import all_marks
    from presage.episodes.slots import Slots
    from presage.episodes.steps import Steps
    from presage.systems.fit import fit_system, settings_of
    from presage.systems.lab.arms import SIZE
    from presage.systems.shipped import shipped_or_folder
    from presage.systems.system import SHORTER
    from presage.systems.table import find, recipe
    from presage.training import recipes
    from presage.training.checkpoint import read_config
    from presage.training.data import check_fits, open_dataset
    from presage.training.fingerprint import of_dataset
    from presage.training.learnable import check_learnable, remarks
    from presage.training.recorded import read_recorded
    from presage.training.resume import require_same_run

    check_system_options(options)
    recipe(find(name))
    pretrained = None if options.pretrained is None else shipped_or_folder(options.pretrained)
    source = options.start_from or pretrained
    before = read_config(source) if source else {}
    size = str(options.size or before.get("size", "small"))
    if pretrained and not options.size:
        size = SHORTER.get(size, size)
    episodes = None if options.episodes is None else parse_episodes(options.episodes)
    datasets = [open_dataset(folder, episodes, options.labels) for folder in options.data]
    require_used(datasets, options.labels)
    for note in dict.fromkeys(note for data in datasets for note in data.notes):
        print(note, file=sys.stderr)
    robots = options.robots(datasets, recipes.metaworld().model)
    shape, slots = recipes.for_robots(recipes.metaworld(), robots).model, Slots.of(robots)
    made = settings_of(name, size, options.seed, len(datasets))
    for i, (folder, dataset, robot) in enumerate(zip(options.data, datasets, robots, strict=True)):
        made |= of_dataset(i, folder, dataset, robot, shape.cameras)
    require_same_run(options.out, made)
    said: list[str] = []
    parts = []
    for folder, dataset, robot in zip(options.data, datasets, robots, strict=True):
        said += remarks(dataset, robot)
        steps = dataset if robot.chunked_rows else Steps(dataset, robot, slots)
        check_learnable(steps)
        check_fits(steps, shape.cameras, shape.chunk * shape.action_dim)
        read = read_recorded(steps, shape.cameras, SIZE, shape.chunk, shape.action_dim, shape.state_dim)
        parts.append((str(folder), read))
    print("".join(f"{line}\n" for line in said), end="", flush=True)
    data = [
        f"Data `{folder.name}`: {len(dataset.episodes):,} episodes, {dataset.num_rows:,} rows."
        for folder, dataset in zip(options.data, datasets, strict=True)
    ]
    only = options.only[0] if options.only else None
    fitted = fit_system(
        name,
        size,
        parts,
        options.seed,
        options.out,
        made,
        lambda logs: card(name, size, options.seed, data, logs),
        only,
        {
            "robots": recipes.unique([robot.to_config() for robot in robots]),
            "slots": asdict(slots),
            "trained_on": all_marks(datasets, before.get("trained_on", "")),
        },
        options.start_from,
        options.steps,
        pretrained,
    )
    stages = {
        stage: f"{log['step']:,} steps, loss {show(log['loss'])}, {took(log)}" for stage, log in fitted.stages.items()
    }
    if fitted.checkpoint is None:
        summary(f"{options.out}: stage {only} of {name} is trained", stages)
    else:
        summary(f"checkpoint {fitted.checkpoint}", {"system": find(name).title, "size": size, **stages})
        print(f"\nNext: {what_next(robots[0], fitted.checkpoint, fitted.uses)}")
    if options.json is not None:
        figures = {f"{stage}/{name}": x for stage, log in fitted.stages.items() for name, x in log.items()}
        write_json(options.json, describe_run(options.seed, figures))


def what_next(robot: "Robot", checkpoint: Path, uses: Sequence[str] = USES) -> str:
    """A command that uses a new checkpoint, which acts in the ways `uses`."""
    from presage.worlds.wordings import WORLDS

    if not uses:
        return f"no command acts with it; {checkpoint / 'card.md'} opens it in Python"
    use = "" if "joint" in uses else f" --use '{uses[0]}'"
    if not robot.chunked_rows:
        return f"presage serve {checkpoint}{use}"
    simulated = f"presage act --checkpoint {checkpoint}{use}"
    if robot.name in WORLDS:  # Push-T and Fetch; the benches, and what act plays by default, are Meta-World's
        return f"{simulated} --tasks {' '.join(WORLDS[robot.name])}"
    return f"{simulated}   or   presage bench control --checkpoint {checkpoint}"


def took(log: Mapping[str, float]) -> str:
    return f"{log['seconds']:.0f} s" if log["seconds"] < 120 else f"{log['seconds'] / 3600:.2f} hours"


def card(name: str, size: str, seed: int, data: list[str], logs: Logs) -> str:
    """What the checkpoint is, what it was made from, and how."""
    from presage.results.provenance import describe_commit, describe_machine
    from presage.systems.lab.report import paper_of
    from presage.systems.table import find

    row, machine = find(name), describe_machine()
    lines = [
        f"# {row.title}",
        "",
        f"System `{name}` ({paper_of(row)}), size {size}, seed {seed}.",
        *data,
        f"Trained on {machine['gpu'] or machine['cpu']}, {machine['cores']} cores, at commit {describe_commit()}.",
        "",
        "```sh",
        command_line(),
        "```",
        "",
        "| stage | steps | last loss | time |",
        "|---|---|---|---|",
        *[f"| {stage} | {log['step']:,} | {log['loss']:.4f} | {took(log)} |" for stage, log in logs.items()],
        "",
        "```python",
        "from pathlib import Path",
        "",
        "from presage.systems.checkpoint import open_system",
        "",
        'system, model = open_system(Path("model"))  # this folder',
        "```",
    ]
    return "\n".join(lines) + "\n"
