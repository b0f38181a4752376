"""What commands have in common that use a checkpoint in the simulator: act, evaluate, synthesize, plan."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from presage.errors import UserError
from presage.interface.commands.options import Command, Count, MaybeFolder, Natural, Renamings, Tasks
from presage.results.output import summary, write_json
from presage.results.record import Film, describe_run, save_films
from presage.worlds.instructions import MT10


@dataclass(frozen=True, kw_only=True)
class ModelCommand(Command):
    """Options of every command that uses a checkpoint in the simulator."""

    checkpoint: MaybeFolder = None
    """Checkpoint folder; the one that comes with presage by default."""
    tasks: Tasks = field(default_factory=lambda: tuple(MT10))
    """Tasks, of the world the model was trained in."""
    episodes: Count = 2
    """Episodes per task."""
    max_steps: Count = 60
    """Chunks after which an episode has failed."""
    films: Natural = 0
    """Episodes (of each policy) to keep as films, real and imagined, beside the --json file: presage report shows them.
    """

    def folder(self) -> Path:
        """The checkpoint in use."""
        from presage.systems.shipped import default_checkpoint

        return self.checkpoint or default_checkpoint()

    def seeds(self) -> list[int]:
        """Seed of each of the `episodes` of a task."""
        from presage.worlds.seeds import evaluation_seeds

        return evaluation_seeds(self.seed, self.episodes)

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
        tasks = list(self.tasks) * self.episodes
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
class PolicyCommand(ModelCommand):
    """Options of the commands that can be given a policy behind a server (openpi's websocket protocol)."""

    names: Renamings = ()
    """What a server calls the observations, such as image.front=observation/image; by default as presage does."""

    def remote(self, url: str, model: Any) -> Any:
        """The policy at ws://host:port, asked with the key in PRESAGE_API_KEY where there is one."""
        from presage.serving.host import api_key
        from presage.serving.remote import RemotePolicy
        from presage.worlds.world import find_world

        names = dict(pair.partition("=")[::2] for pair in self.names)
        robots = {find_world(task).robot for task in self.tasks}
        chunk, action_dim = model.chunk_shape
        return RemotePolicy(url, chunk, action_dim, names or None, api_key(None), robots=robots)
