"""`presage synthesize`: dreams, labelled with actions, as a dataset."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from presage.errors import UserError
from presage.interface.commands.options import MaybeText, NewFolder
from presage.interface.commands.with_model import DataCommand
from presage.results.record import dreams_written

if TYPE_CHECKING:
    from presage.simulator.synthesis import Form


@dataclass(frozen=True, kw_only=True)
class Synthesize(DataCommand):
    """Dream episodes, read the actions from the dreamed video by inverse dynamics, and write them as a LeRobot dataset.

    Every dream starts from a first frame of the simulator, or of recordings (--data); --instruction asks for something
    else than the episode's own wording. Each has two facts: `success`, whether it reached predicted success (presage
    dataset filter --success yes keeps these alone), and `unexplained`, the share of its motion that its own labels do
    not bring back when they are dreamed (filter --max-unexplained 0.5). With --data rows are like the recorded ones:
    the same features, rate and commands, to train on together. A killed call goes on where it was when it is repeated.

        presage synthesize --out data/dreams --episodes 20
        presage synthesize --out data/dreams --tasks drawer-open-v3 --instruction "pull the drawer towards you"
        presage synthesize --out data/dreams --data data/arm-parts/train --checkpoint runs/arm/model

    Dreams may begin in recordings that the checkpoint was trained on: they are data to train on. Give those, and keep
    held-out ones for what is to be judged. The dataset appears at --out when it is whole; until then finished dreams
    lie in OUT.partial.
    """

    fresh: ClassVar[bool] = False

    out: NewFolder
    """Folder of the new dataset."""
    instruction: MaybeText = None
    """What the robot is to do in every dream; the task's instruction by default."""

    def seeds(self) -> list[int]:
        """Dreams are data to train on, so they start neither from evaluation episodes nor from recorded ones."""
        from presage.worlds.seeds import FIRST_DREAM_SEED, SEEDS_PER_BENCH_SEED

        first = FIRST_DREAM_SEED + self.seed * SEEDS_PER_BENCH_SEED
        if self.seed < 0 or self.each > SEEDS_PER_BENCH_SEED or first + self.each > 2**32:
            largest = (2**32 - FIRST_DREAM_SEED) // SEEDS_PER_BENCH_SEED - 1
            raise UserError(
                f"--seed {self.seed} --episodes {self.each}: give a seed from 0 to {largest}, at most 1000 episodes"
            )
        return list(range(first, first + self.each))

    def run(self) -> None:
        from presage.simulator.synthesis import synthesize
        from presage.training.checkpoint import weights_hash

        model, world, tasks, seeds = self.prepare()
        threshold = self.threshold(model, world, tasks)
        starts = [(t, s, self.instruction or self._told(world, t, s)) for t, s in zip(tasks, seeds, strict=True)]
        form, made_of = self._form(world), {"checkpoint": weights_hash(self.folder()), "data": str(self.data)}
        figures = synthesize(
            model, world, starts, self.out, threshold, self.max_steps, seed=self.seed, form=form, made_of=made_of
        )
        rows, films = dreams_written(self.out, world, self.films, 1.0 if form is None else form.fps / model.fps)
        rows = self.numbered(rows, world)
        world.close()
        self.finish(f"dataset {self.out}", figures, figures, rows, films)
        mixed = "" if self.data is None else f"{self.data} "
        print(f"\nNext: presage train --data {mixed}{self.out} --out runs/{self.out.name}")

    def _form(self, world: Any) -> "Form | None":
        """How dreams are stored: those that begin in recordings like these."""
        from presage.simulator.as_recorded import as_recorded
        from presage.simulator.recordings import sight_of

        if self.data is None:
            return None
        form = as_recorded(sight_of(self.folder()), self.data, world)
        if gone := form.left_out():
            print(f"not dreamed, so left out: {', '.join(gone)}", flush=True)
        return form

    def _told(self, world: Any, task: str, seed: int) -> str:
        """The instruction of an episode."""
        from presage.worlds import instructions

        if self.data is None:
            return instructions(task)[0]
        said: str = world.recording.instruction[world.place(task, seed)]
        return said
