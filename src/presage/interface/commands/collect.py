"""`presage collect`."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from presage.errors import UserError
from presage.interface.commands.options import Cameras, Command, MaybeFolder, NewFolder, Processes, Tasks, one, whole
from presage.results.output import summary, write_json
from presage.results.record import describe_run
from presage.worlds.instructions import MT10


@dataclass(frozen=True, kw_only=True)
class Collect(Command):
    """Record scripted experts in a simulator as a LeRobot dataset. The tasks decide which: Meta-World, Push-T or Fetch.

    Part of the episodes are the expert's own, part are disturbed (bursts of noise from which it recovers), part are
    random motion; every row says in its column `quality` which it is, so that one model learns dynamics from all of it
    and behaviour from the good. A killed collection goes on where it was when the same command is repeated.

        presage collect --out data/mt10 --episodes 260
        presage collect --out data/push --tasks push-v3 --episodes 10
        presage collect --out data/contacts --play --episodes 730
        presage collect --out data/pusht --tasks pusht --episodes 200
        presage collect --out data/fetch --tasks fetch-reach fetch-push fetch-pick-place

    The dataset appears at --out when it is whole; until then finished episodes lie in OUT.partial.
    """

    seed: Annotated[int, one(whole(0, 998), "N")] = 0
    """Everything random follows from it; a thousandth collection would record the first frames of dreams."""
    out: NewFolder
    """Folder of the new dataset."""
    tasks: Tasks = tuple(MT10)
    """Tasks of one world: Meta-World's ten by default; pusht; fetch-reach, fetch-push, fetch-pick-place."""
    episodes: Annotated[int, one(whole(1, 20_000), "N")] = 20
    """Episodes per task."""
    cameras: Cameras = ()
    """Cameras, by default those of the world: front and top (Push-T: top). Meta-World also has gripper."""
    size: Annotated[int, one(whole(16, 1024), "PIXELS")] = 64
    """Pixels a side."""
    workers: Processes = 2
    """Processes that simulate, render and encode."""
    full_length: bool = False
    """Go on for 60 rows whatever is achieved, disturbed or at random: for dreams longer than the task takes."""
    play: bool = False
    """Most rows are contacts without a purpose: sweeps, presses, grasps and drops, misses, on objects that lie anywhere
    and are at times heavier or slippery. For models of what actions do; tasks of Meta-World and Push-T."""
    mistakes: bool = False
    """Most episodes are the expert's that means a thing elsewhere, drifts, comes late, goes slowly, shakes or grips
    wrongly, from the first step on; over a third of them fail. For models that must not believe in whoever moves like
    an expert; tasks of Meta-World."""
    counterfactuals: Annotated[int, one(whole(0, 1000), "N")] = 0
    """Try so many chunks at every fourth row besides the one executed, and record how soon the expert succeeds after
    each: a critic is trained by that. About a second for every 30 of them and worker."""
    planner: MaybeFolder = None
    """Checkpoint whose planner drives all episodes, its candidates shifted: with --counterfactuals, what its critic has
    yet to learn about the states that it leads to."""

    def run(self) -> None:
        from presage.worlds.behaviours import DYNAMICS, ERRING, Behaviours
        from presage.worlds.collect import collect

        mixtures = {
            "--play": self.play,
            "--mistakes": self.mistakes,
            "--full-length": self.full_length,
            "--planner": self.planner is not None,
        }
        chosen = [option for option, given in mixtures.items() if given]
        if len(chosen) > 1:
            raise UserError(f"{' and '.join(chosen)} are different mixtures; choose one of them")
        behaviours = Behaviours()  # long dreams, and judges of chunks, have to know more than an expert's surroundings
        policy = None
        made_of: dict[str, str] = {}
        if self.planner is not None:
            from presage.simulator.pairing import check_robot
            from presage.systems.perturbed import perturbed_from
            from presage.training.checkpoint import weights_hash

            check_robot(self.tasks, self.planner)  # said here, not by a worker
            behaviours = Behaviours(expert=0.0, perturbed=0.0, random=0.0, planned=1.0)
            policy, made_of = partial(perturbed_from, str(self.planner)), {"planner": weights_hash(self.planner)}
        elif self.play:
            behaviours = DYNAMICS
        elif self.mistakes:
            behaviours = ERRING
        elif self.full_length:
            behaviours = Behaviours(expert=0.1, perturbed=0.5, random=0.4)
        elif self.counterfactuals:
            behaviours = Behaviours(expert=0.0, perturbed=0.3, random=0.2, shifted=0.5)
        behaviours = replace(behaviours, full_length=self.full_length, counterfactuals=self.counterfactuals)
        figures = collect(
            self.out,
            list(self.tasks),
            self.episodes,
            seed=self.seed,
            cameras=self.cameras or None,
            size=self.size,
            workers=self.workers,
            behaviours=behaviours,
            policy=policy,
            made_of=made_of,
        )
        summary(f"dataset {self.out}", figures)
        print(f"\nNext: presage train --data {self.out} --out runs/{self.out.name}")
        if self.json is not None:
            write_json(self.json, describe_run(self.seed, figures))
