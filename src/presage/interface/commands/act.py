"""`presage act`: one trained model controls the robot in the simulator."""

from dataclasses import dataclass, replace
from typing import Any

from presage.errors import UserError
from presage.interface.commands.options import MaybeAddress, MaybeOutFolder, MaybeText, Use
from presage.interface.commands.with_model import PolicyCommand
from presage.results.output import show_rate
from presage.results.record import film_recalled


@dataclass(frozen=True, kw_only=True)
class Act(PolicyCommand):
    """Let the model control the robot in the simulator, from pixels.

    Uses: joint (video and action imagined together), closed_loop (video first, then the action that leads to it,
    looking after every chunk), open_loop (the same for 16 chunks without looking), no_imagination (the action alone).

        presage act --tasks drawer-open-v3 --episodes 5
        presage act --tasks drawer-open-v3 --instruction "pull the drawer open" --video runs/drawer
        presage act --data data/arm-parts/test --checkpoint runs/arm/model --video runs/imagined
        presage act --policy ws://127.0.0.1:8000 --names image.front=observation/image state=observation/state

    Prints success with its 95 % interval; --video gets one mp4 per episode. With --data it acts in its own dream, which
    begins in recorded first frames: success is imagined, and what would truly happen only a simulator could tell.
    """

    use: Use = "joint"
    """joint, closed_loop, open_loop or no_imagination; a system has names of its own."""
    policy: MaybeAddress = None
    """A policy server that acts instead of the model."""
    instruction: MaybeText = None
    """What to tell the model, in your own words; the task's instruction by default."""
    video: MaybeOutFolder = None
    """Folder for videos."""

    def run(self) -> None:
        from presage.policy import make_policy
        from presage.results.clips import cameras_side_by_side, save_videos
        from presage.results.tables import episode_rows, success_figures
        from presage.simulator.environment import DreamWorld
        from presage.simulator.evaluation import Disturbed
        from presage.worlds import rollout

        if self.policy is not None and self.use != "joint":
            raise UserError(
                f"--use {self.use} does not apply to --policy, which acts as its server does: leave one out"
            )
        if self.policy is None and self.names:
            raise UserError("--names does not apply without --policy ws://HOST:PORT: leave it out")
        model, world, tasks, seeds = self.prepare()
        servers = self.servers([] if self.policy is None else [self.policy], model, world, (tasks, seeds))
        policy = make_policy(self.use, model, self.seed) if self.policy is None else servers[self.policy]
        if self.instruction is not None:
            text = self.instruction
            policy = Disturbed(policy, instruct=lambda instructions: [text] * len(instructions))
        record = self.video is not None or self.films > 0
        imagined = self.data is not None
        where = DreamWorld(model, world, self.threshold(model, world, tasks), seed=self.seed) if imagined else world
        results = rollout(policy, where, tasks, seeds, self.max_steps, record)
        world.close()
        if self.instruction is not None:
            results = [replace(r, instruction=self.instruction) for r in results]
        name = self.policy or self.use
        figures = success_figures("success", [r.success for r in results])
        shown: dict[str, Any] = {"all episodes": f"{show_rate(figures, 'success')} of {len(results)}"}
        for task in dict.fromkeys(tasks):
            mine = [r for r in results if r.task == task]
            figures[f"success/{task}"] = sum(r.success for r in mine) / len(mine)
            steps = ", ".join(str(r.steps) if r.success else "failed" for r in mine)
            shown[task] = f"{sum(r.success for r in mine)} of {len(mine)}   chunks until success: {steps}"
        rows = self.numbered(episode_rows(name, results, "imagined" if imagined else "real"), world)
        if self.video is not None:
            names = [f"episode-{row['episode']}" if imagined else f"{row['task']}-{row['seed']}" for row in rows]
            videos = {n: cameras_side_by_side(r.frames) for n, r in zip(names, results, strict=True)}
            save_videos(self.video, videos, model.fps)
            shown["videos"] = self.video
        films = film_recalled(model, name, results, self.films)
        self.finish(f"{name}, {len(results)} {'imagined ' * imagined}episodes", figures, shown, rows, films)
