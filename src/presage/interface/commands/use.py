"""`presage act`, `evaluate`, `synthesize`, `plan`: one trained model, used in four ways by hand."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from presage.errors import UserError
from presage.interface.commands.options import (
    Command,
    Count,
    Distance,
    MaybeAddress,
    MaybeFolder,
    MaybeOutFolder,
    MaybeText,
    Natural,
    NewFolder,
    Renamings,
    Tasks,
    Use,
    address,
    identity,
    one,
    real,
    several,
    whole,
)
from presage.policy import USES
from presage.results.output import show_rate, summary, write_json
from presage.results.record import Film, describe_run, dreams_written, film_both, film_recalled, save_films
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
        from presage.benchmarks.common import default_checkpoint

        return self.checkpoint or default_checkpoint()

    def seeds(self) -> list[int]:
        """Seed of each of the `episodes` of a task."""
        from presage.benchmarks.common import evaluation_seeds

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
        from presage.simulator.pairing import load_for

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
        from presage.interface.commands.serve import api_key
        from presage.serving.remote import RemotePolicy
        from presage.worlds.world import find_world

        names = dict(pair.partition("=")[::2] for pair in self.names)
        robots = {find_world(task).robot for task in self.tasks}
        return RemotePolicy(
            url, model.config.chunk, model.config.action_dim, names or None, api_key(None), robots=robots
        )


def is_url(policy: str) -> bool:
    return policy.startswith(("ws://", "wss://"))


def split_policy(name: str) -> tuple[str, float]:
    """(what acts, noise on its actions) of a name such as `joint+1.0`.

    Raises:
        ValueError: it is none.
    """
    base, _, noise = (name, "", "") if Path(name).is_dir() else name.partition("+")
    if is_url(base):
        address(base)
    elif base not in (*USES, "random") and not Path(base).is_dir():
        raise ValueError(f"choose from {', '.join((*USES, 'random'))}, or name a checkpoint or ws://HOST:PORT")
    return base, real(1000)(noise) if "+" in name.removeprefix(base) else 0.0


def a_policy(text: str) -> str:
    split_policy(text)
    return text


POLICIES = several(a_policy, "POLICY", least=1, key=identity)


@dataclass(frozen=True, kw_only=True)
class Act(PolicyCommand):
    """Let the model control the robot in the simulator, from pixels.

    Uses: joint (video and action imagined together), closed_loop (video first, then the action that leads to it,
    looking after every chunk), open_loop (the same for 16 chunks without looking), no_imagination (the action alone).

        presage act --tasks drawer-open-v3 --episodes 5
        presage act --tasks drawer-open-v3 --instruction "pull the drawer open" --video runs/drawer
        presage act --policy ws://127.0.0.1:8000 --names image.front=observation/image state=observation/state

    Prints success with its 95 % interval; --video gets one mp4 per episode.
    """

    use: Use = "joint"
    """joint, closed_loop, open_loop or no_imagination."""
    policy: MaybeAddress = None
    """A policy server that acts instead of the model."""
    instruction: MaybeText = None
    """What to tell the model, in your own words; the task's instruction by default."""
    video: MaybeOutFolder = None
    """Folder for videos."""

    def run(self) -> None:
        from presage.benchmarks.common import episode_rows, success_figures
        from presage.policy import make_policy
        from presage.results.clips import cameras_side_by_side, save_videos
        from presage.simulator.evaluation import Disturbed
        from presage.worlds import rollout

        if self.policy is not None and self.use != "joint":
            raise UserError(
                f"--use {self.use} does not apply to --policy, which acts as its server does: leave one out"
            )
        if self.policy is None and self.names:
            raise UserError("--names does not apply without --policy ws://HOST:PORT: leave it out")
        model, world, tasks, seeds = self.prepare()
        policy = make_policy(self.use, model, self.seed) if self.policy is None else self.remote(self.policy, model)
        if self.instruction is not None:
            text = self.instruction
            policy = Disturbed(policy, instruct=lambda instructions: [text] * len(instructions))
        record = self.video is not None or self.films > 0
        results = rollout(policy, world, tasks, seeds, self.max_steps, record)
        world.close()
        if self.instruction is not None:
            results = [replace(r, instruction=self.instruction) for r in results]
        name = self.policy or self.use
        figures = success_figures("success", [r.success for r in results])
        shown: dict[str, Any] = {"all episodes": f"{show_rate(figures, 'success')} of {len(results)}"}
        for task in self.tasks:
            mine = [r for r in results if r.task == task]
            figures[f"success/{task}"] = sum(r.success for r in mine) / len(mine)
            steps = ", ".join(str(r.steps) if r.success else "failed" for r in mine)
            shown[task] = f"{sum(r.success for r in mine)} of {len(mine)}   chunks until success: {steps}"
        if self.video is not None:
            videos = {f"{r.task}-{r.seed}": cameras_side_by_side(r.frames) for r in results}
            save_videos(self.video, videos, model.config.fps)
            shown["videos"] = self.video
        films = film_recalled(model, name, results, self.films)
        self.finish(f"{name}, {len(results)} episodes", figures, shown, episode_rows(name, results), films)


@dataclass(frozen=True, kw_only=True)
class Evaluate(PolicyCommand):
    """Judge policies in imagination, and in the simulator from the same first frames: does the dream rank them alike?

    A policy is one of the model's uses (joint, closed_loop, open_loop, no_imagination), `random`, the folder of another
    checkpoint (which acts with imagination skipped), or the address of a policy server that speaks openpi's protocol;
    `joint+1.0` is joint with noise of that size on its actions.

        presage evaluate --policies joint no_imagination joint+1.0 random --episodes 2
        presage evaluate --policies joint runs/bc/model --tasks push-v3 --episodes 10
        presage evaluate --policy ws://127.0.0.1:8000 --names image.front=observation/image state=observation/state

    The summary has both success rates of every policy and, for three or more, how well they agree.
    """

    policies: Annotated[tuple[str, ...], POLICIES, arg(aliases=("--policy",))] = (
        "joint",
        "no_imagination",
        "joint+1.0",
        "random",
    )
    """Policies to judge."""

    def run(self) -> None:
        from presage.benchmarks.common import episode_rows, success_figures
        from presage.simulator.environment import DreamWorld
        from presage.simulator.evaluation import agreement, judge
        from presage.simulator.success import checkpoint_threshold

        if self.names and not any(map(is_url, self.policies)):
            raise UserError("--names does not apply without a policy at ws://HOST:PORT: leave it out")
        model, world, tasks, seeds = self.prepare()
        policies = {name: self._policy(name, model, world) for name in self.policies}
        threshold = checkpoint_threshold(self.folder(), model, world, list(dict.fromkeys(tasks))).threshold
        dream = DreamWorld(model, world, threshold, seed=self.seed)
        judged = {}
        rows: list[dict[str, Any]] = []
        films: list[Film] = []
        figures: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        for name, policy in policies.items():
            print(f"{name} ...", flush=True)
            one = judge(policy, world, dream, tasks, seeds, self.max_steps, record=self.films > 0)
            films += film_both(name, one.real, one.imagined, self.films, model.config.fps)
            rows += episode_rows(name, one.real) + episode_rows(name, one.imagined, "imagined")
            judged[name] = one.without_frames()
            figures |= success_figures(f"real/{name}", [r.success for r in judged[name].real])
            figures |= success_figures(f"imagined/{name}", [r.success for r in judged[name].imagined])
            real, imagined = show_rate(figures, f"real/{name}"), show_rate(figures, f"imagined/{name}")
            shown[name] = f"imagined {imagined:<18} real {real}"
        world.close()
        if len(judged) >= 3:
            agreed = agreement(judged)
            for name, interval in (("pearson", agreed.pearson), ("spearman", agreed.spearman)):
                figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
                shown[name] = f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
            figures["mmrv"] = shown["mmrv"] = agreed.mmrv
        self.finish(f"{len(judged)} policies, {len(tasks)} episodes each", figures, shown, rows, films)

    def _policy(self, name: str, model: Any, world: Any) -> Any:
        from presage.policy import make_policy
        from presage.simulator.evaluation import Disturbed, action_noise
        from presage.simulator.pairing import load_for
        from presage.worlds import RandomPolicy

        base, noise = split_policy(name)
        if Path(base).is_dir():
            policy: Any = make_policy("no_imagination", load_for(self.tasks, Path(base)), self.seed)
        elif base == "random":
            policy = RandomPolicy((world.num_envs, model.config.chunk, model.config.action_dim), self.seed)
        elif base in USES:
            policy = make_policy(base, model, self.seed)
        else:
            policy = self.remote(base, model)
        return Disturbed(policy, action_noise(noise, self.seed)) if noise else policy


@dataclass(frozen=True, kw_only=True)
class Synthesize(ModelCommand):
    """Dream episodes, read the actions from the dreamed video by inverse dynamics, and write them as a LeRobot dataset.

    Every dream starts from a first frame of the simulator; --instruction asks for something else than the task's own
    wording. Rows have `quality` 1 where the dream reached predicted success, else 0. A killed call goes on where it was
    when it is repeated. The dataset serves `presage train` like any other.

        presage synthesize --out data/dreams --episodes 20
        presage synthesize --out data/dreams --tasks drawer-open-v3 --instruction "pull the drawer towards you"

    The dataset appears at --out when it is whole; until then finished dreams lie in OUT.partial.
    """

    out: NewFolder
    """Folder of the new dataset."""
    instruction: MaybeText = None
    """What the robot is to do in every dream; the task's instruction by default."""

    def seeds(self) -> list[int]:
        """Dreams are data to train on, so they start neither from evaluation episodes nor from recorded ones."""
        from presage.benchmarks.common import SEEDS_PER_BENCH_SEED
        from presage.worlds.seeds import FIRST_DREAM_SEED

        first = FIRST_DREAM_SEED + self.seed * SEEDS_PER_BENCH_SEED
        if self.seed < 0 or self.episodes > SEEDS_PER_BENCH_SEED or first + self.episodes > 2**32:
            largest = (2**32 - FIRST_DREAM_SEED) // SEEDS_PER_BENCH_SEED - 1
            raise UserError(
                f"--seed {self.seed} --episodes {self.episodes}: give a seed from 0 to {largest}, at most 1000 episodes"
            )
        return list(range(first, first + self.episodes))

    def run(self) -> None:
        from presage.simulator.success import checkpoint_threshold
        from presage.simulator.synthesis import synthesize
        from presage.worlds import instructions

        model, world, tasks, seeds = self.prepare()
        threshold = checkpoint_threshold(self.folder(), model, world, list(dict.fromkeys(tasks))).threshold
        starts = [(t, s, self.instruction or instructions(t)[0]) for t, s in zip(tasks, seeds, strict=True)]
        figures = synthesize(model, world, starts, self.out, threshold, self.max_steps, seed=self.seed)
        rows, films = dreams_written(self.out, world, self.films)
        world.close()
        self.finish(f"dataset {self.out}", figures, figures, rows, films)
        print(f"\nNext: presage train --data {self.out} --out runs/{self.out.name}")


@dataclass(frozen=True, kw_only=True)
class PlanCommand(ModelCommand):
    """Imagine several futures at every decision and act on the one that ends best.

    Beside it the same model without search, and a random choice among the same candidates: planning has to beat both.

        presage plan --tasks push-v3 --episodes 5
        presage plan --candidates 16 --horizon 3

    Prints success with its 95 % interval, and the seconds a decision took.
    """

    candidates: Annotated[int, one(whole(1, 4096), "N")] = 8
    """Futures per decision."""
    horizon: Annotated[int, one(whole(1, 256), "N")] = 1
    """Chunks each future is imagined ahead."""
    spread: Distance = 0.1
    """How far candidates differ in their first chunk, in units of the action range."""

    def run(self) -> None:
        from presage.benchmarks.common import episode_rows, success_figures
        from presage.policy.grounded import GroundedPolicy
        from presage.policy.joint import joint
        from presage.simulator.planning import at_random, best_of
        from presage.worlds import rollout

        model, world, tasks, seeds = self.prepare()
        blind = best_of(self.candidates, self.horizon, self.spread, at_random(self.seed))
        decisions = {
            "planned": best_of(self.candidates, self.horizon, self.spread),
            "base": joint,
            "random_choice": blind,
        }
        rows: list[dict[str, Any]] = []
        films: list[Film] = []
        figures: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        for name, decide in decisions.items():
            print(f"{name} ...", flush=True)
            spent: Counter[str] = Counter()

            def timed(session: Any, decide: Any = decide, spent: Counter[str] = spent) -> Any:
                start = time.perf_counter()
                chunk = decide(session)
                spent["seconds"] += time.perf_counter() - start  # type: ignore[assignment]
                spent["decisions"] += session.batch
                return chunk

            acting = GroundedPolicy(model, timed, seed=self.seed)
            results = rollout(acting, world, tasks, seeds, self.max_steps, record=self.films > 0)
            rows += episode_rows(name, results)
            films += film_recalled(model, name, results, self.films)
            figures |= success_figures(f"success_{name}", [r.success for r in results])
            figures[f"seconds_per_decision_{name}"] = spent["seconds"] / max(1, spent["decisions"])
            cost = f"{1000 * figures[f'seconds_per_decision_{name}']:.0f} ms a decision"
            shown[name] = f"{show_rate(figures, f'success_{name}'):<18} {cost}"
        world.close()
        self.finish(f"best of {self.candidates} futures, {len(tasks)} episodes", figures, shown, rows, films)
