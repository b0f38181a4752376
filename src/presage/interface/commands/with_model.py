"""What commands have in common that use a checkpoint in a world, simulated or recorded: act, evaluate, synthesize;
and plan, which needs a simulator."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from presage.errors import UserError
from presage.interface.commands.options import (
    Command,
    Count,
    MaybeCount,
    MaybeData,
    MaybeFile,
    MaybeFolder,
    Natural,
    Renamings,
    Tasks,
)
from presage.results.output import summary, write_json
from presage.results.record import Film, describe_run, save_films
from presage.worlds.instructions import MT10


@dataclass(frozen=True, kw_only=True)
class ModelCommand(Command):
    """Options of every command that uses a checkpoint in the simulator."""

    checkpoint: MaybeFolder = None
    """Checkpoint folder; by default the one that comes with presage for these tasks (Meta-World's, or Push-T)."""
    tasks: Tasks = field(default_factory=lambda: tuple(MT10))
    """Tasks, of the world the model was trained in."""
    episodes: MaybeCount = None
    """Episodes per task: 2 by default, of recordings (--data) 20, or as many as there are."""
    max_steps: Count = 60
    """Chunks after which an episode has failed."""
    films: Natural = 0
    """Episodes (of each policy) to keep as films, real and imagined, beside the --json file: presage report shows them.
    """

    def folder(self) -> Path:
        """The checkpoint in use."""
        from presage.systems.shipped import default_checkpoint

        return self.checkpoint or default_checkpoint(tasks=self.tasks)

    def seeds(self) -> list[int]:
        """Seed of each of the `episodes` of a task."""
        from presage.worlds.seeds import evaluation_seeds

        return evaluation_seeds(self.seed, self.each)

    @property
    def each(self) -> int:
        """Episodes of a task"""
        return self.episodes or 2

    def prepare(self) -> "tuple[Any, Any, list[str], list[int]]":
        """(model, world, task of each episode, seed of each episode).

        Raises:
            UserError: an option is wrong, or the checkpoint is missing or damaged.
        """
        if self.films and self.json is None:
            raise UserError(f"--films {self.films}: give --json FILE as well, beside which they are kept")
        seeds = self.seeds()
        from presage.benchmarks.episodes import world_for
        from presage.systems.checkpoint import load_for

        model = load_for(self.tasks, self.folder())
        tasks = list(self.tasks) * self.each
        return (
            model,
            world_for(model, len(tasks), tasks=self.tasks),
            tasks,
            [seed for seed in seeds for _ in self.tasks],
        )

    def finish(
        self,
        title: str,
        figures: dict[str, Any],
        shown: dict[str, Any],
        episodes: Sequence[dict[str, Any]] = (),
        films: Sequence[Film] = (),
    ) -> None:
        """Print the summary and write `--json`, the films beside it."""
        summary(title, shown)
        if self.json is not None:
            kept = save_films(self.json, films) if films else []
            write_json(self.json, describe_run(self.seed, figures, self.folder(), episodes, kept))


@dataclass(frozen=True, kw_only=True)
class DataCommand(ModelCommand):
    """Options of the commands that work on recordings as they do on a simulator. The world of a command is chosen here,
    and nowhere else."""

    fresh: ClassVar[bool] = True
    """Whether recordings that the checkpoint was trained on are left out, as far as it says"""

    data: MaybeData = None
    """Recordings to begin in, in place of a simulator: a dataset's folder, or user/name on the Hugging Face hub. Those
    that the checkpoint was trained on are left out where something is judged, as far as it says."""
    labels: MaybeFile = None
    """Outcomes of --data that a person told (presage label); DATA.labels.json by default, where it is there."""

    @property
    def each(self) -> int:
        return self.episodes or (2 if self.data is None else 20)

    def prepare(self) -> "tuple[Any, Any, list[str], list[int]]":
        if self.data is None and self.labels is not None:
            raise UserError("--labels are of recordings and do not apply without --data: leave them out")
        if self.data is None:
            return super().prepare()
        if self.tasks != tuple(MT10):
            raise UserError("--tasks names tasks of a simulator and does not apply to --data: leave it out")
        if self.films:
            raise UserError("--films shows what happens in a simulator and does not apply to --data: leave it out")
        from presage.benchmarks.episodes import BATCH
        from presage.simulator.recordings import open_held_out, sight_of
        from presage.systems.checkpoint import open_model
        from presage.worlds.recording import RecordedWorld

        sight = sight_of(self.folder())
        recording = open_held_out(sight, self.data, () if self.labels is None else (self.labels,), fresh=self.fresh)
        for note in recording.steps.notes:
            print(note)
        tasks, seeds = self._first_frames(recording)
        world = RecordedWorld(recording, min(BATCH, len(tasks)))
        numbers = [recording.numbers[world.place(*each)] for each in zip(tasks, seeds, strict=True)]
        kind = "held-out episodes" if recording.held_out else "episodes"
        if self.fresh and not recording.held_out:
            kind = "episodes (trained on? the checkpoint is silent)"
        print(f"{self.data}: {len(tasks)} of {len(recording)} {kind}: {', '.join(map(str, numbers))}", flush=True)
        print("no simulator: what is said of new actions is imagined; their true outcome needs one", flush=True)
        return open_model(self.folder()), world, tasks, seeds

    def _first_frames(self, recording: Any) -> tuple[list[str], list[int]]:
        """Task and seed of some of each task, or of all where there are fewer."""
        import numpy as np

        rng, chosen = np.random.default_rng(self.seed), []
        for task in dict.fromkeys(recording.task):
            some = rng.permutation(len(recording.episodes_of(task)))[: self.each]
            chosen += [(task, seed) for seed in sorted(some.tolist())]
        return [task for task, _ in chosen], [seed for _, seed in chosen]

    def numbered(self, rows: list[dict[str, Any]], world: Any) -> list[dict[str, Any]]:
        """Rows of episodes, with the number in the dataset where they begin in one."""
        if self.data is None:
            return rows
        numbers = world.recording.numbers
        return [row | {"episode": numbers[world.place(row["task"], row["seed"])]} for row in rows]

    def threshold(self, model: Any, world: Any, tasks: Sequence[str]) -> float:
        """The value above which a dream has succeeded.

        Raises:
            UserError: it can neither be found nor made.
        """
        from presage.simulator.outcomes import recording_threshold
        from presage.simulator.success import checkpoint_threshold

        if self.data is not None:
            return recording_threshold(self.folder(), model, world.recording, self.seed)
        return checkpoint_threshold(self.folder(), model, world, list(dict.fromkeys(tasks))).threshold


@dataclass(frozen=True, kw_only=True)
class PolicyCommand(DataCommand):
    """Options of the commands that can be given a policy behind a server (openpi's websocket protocol)."""

    names: Renamings = ()
    """What a server calls the observations, such as image.front=observation/image; by default as presage does."""

    def servers(self, urls: Iterable[str], model: Any, world: Any, episodes: Any) -> dict[str, Any]:
        """The policies at ws://host:port, by address, asked with the key in PRESAGE_API_KEY where there is one. In
        dreams of --data they are sent pictures as they were recorded, which is printed once.

        episodes: (tasks, seeds), of those that they will be asked about.

        Raises:
            UserError: the model sees or commands the recorded robot otherwise than a server does.
        """
        from presage.serving.host import api_key
        from presage.serving.remote import RemotePolicy
        from presage.simulator.as_recorded import SentAsRecorded, as_recorded
        from presage.simulator.recordings import served_robot, sight_of
        from presage.worlds.world import find_world

        names, asked = dict(pair.partition("=")[::2] for pair in self.names) or None, list(urls)
        chunk, action_dim = model.chunk_shape

        def remote(url: str, robots: set[str]) -> RemotePolicy:
            return RemotePolicy(url, chunk, action_dim, names, api_key(None), robots=robots)

        if self.data is None or not asked:
            return {url: remote(url, {find_world(task).robot for task in self.tasks}) for url in asked}
        sight = sight_of(self.folder())
        form = as_recorded(sight, self.data, world)
        found = {url: remote(url, {served_robot(sight, form.dataset, url)}) for url in asked}
        print(f"policy servers are sent {form.describe()}", flush=True)
        return {url: SentAsRecorded(policy, form, *episodes) for url, policy in found.items()}

    def other_model(self, folder: Path) -> Any:
        """The model of another checkpoint, which has to be of the same robot.

        Raises:
            UserError: it is of another one.
        """
        from presage.simulator.recordings import check_same_robot, sight_of
        from presage.systems.checkpoint import load_for, open_model
        from presage.training.data import open_dataset

        if self.data is None:
            return load_for(self.tasks, folder)
        check_same_robot(sight_of(self.folder()), sight_of(folder), folder, open_dataset(self.data))
        return open_model(folder)

    def action_range(self, world: Any) -> tuple[Any, Any]:
        """Lowest and highest usual action: of a simulator, or as they were recorded."""
        return (-1.0, 1.0) if self.data is None else world.recording.action_range()
