"""The seven uses of a checkpoint, live in the simulator, each beside the control that could refute it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.interface.pages.page import Measured, Use
from presage.interface.pages.plots import Point
from presage.results.clips import choose_episodes, recall
from presage.results.output import show
from presage.results.record import Film
from presage.worlds.instructions import MT10

BUDGET = 200.0
"""Seconds for the episodes, on whatever machine: with set-up, videos and page a demo stays below five minutes."""
ROUND = 42.0
"""What one episode of every task costs in all uses together, in units of the first use: most of it for those that fail,
and dream, to the last step."""
MAX_ROUNDS, MIN_TASKS = 3, 3
MAX_STEPS = 40
"""Chunks of 0.2 s; an expert needs 10 to 30."""
SUCCESSES_SHOWN, FAILURES_SHOWN = 5, 1


@dataclass
class Stage:
    """The model, the simulator, and what has been measured so far."""

    folder: Path
    seed: int
    episodes: int | None
    figures: dict[str, Any] = field(default_factory=dict)

    def run(self) -> list[Use]:
        """The seven uses in the order of the survey; later ones reuse the episodes of earlier ones."""
        from presage.benchmarks.episodes import world_for
        from presage.device import default_device
        from presage.results.tables import episode_rows
        from presage.systems.checkpoint import load_for

        self.model = load_for(MT10, self.folder, default_device())
        self.world = world_for(self.model, len(MT10))
        self.world.reset(seed=0)  # builds every task's simulation, so that the first use is not charged for it
        self.real: dict[str, list[Any]] = {}
        self.imagined: list[dict[str, Any]] = []
        self.seconds: dict[str, float] = {}
        self.rates = self.measure_rates()
        uses = [
            self.joint(),
            self.closed_loop(),
            self.open_loop(),
            self.representation(),
            self.planning(),
            self.evaluation(),
            self.synthesis(),
        ]
        self.films = self.make_films()
        self.rows = [row for name, results in self.real.items() for row in episode_rows(name, results)] + self.imagined
        self.world.close()
        self.figures["seconds"] = dict(self.seconds)
        return sorted(uses, key=lambda use: use.number)

    # -- episodes -----------------------------------------------------------------------------------------------------

    def choose(self, names: Sequence[str], rounds: int) -> None:
        """The episodes of every use from now on: `rounds` of every task, the tasks in turn."""
        from presage.worlds.seeds import evaluation_seeds

        self.tasks = list(names) * rounds
        self.seeds = [seed for seed in evaluation_seeds(self.seed, rounds) for _ in names]

    def act(self, name: str, policy: Any, record: bool = False, done: Sequence[Any] = ()) -> list[Any]:
        """Roll a policy in the simulator, once per name; `done` are the results of the first episodes."""
        from presage.worlds import rollout

        if name not in self.real:
            start, n = time.monotonic(), len(done)
            results = rollout(policy, self.world, self.tasks[n:], self.seeds[n:], MAX_STEPS, record)
            self.real[name] = [*done, *results]
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
        return self.real[name]

    def success(self, name: str, label: str) -> Measured:
        from presage.results.tables import success_figures

        results = self.real[name]
        rate = success_figures(f"success_{name}", [r.success for r in results])
        self.figures |= rate
        count = sum(r.success for r in results)
        value, low, high = rate.values()
        return Measured(f"{label}: {count} of {len(results)}", _percent(value, low, high), value, low, high)

    def policy(self, use: str) -> Any:
        from presage.policy import make_policy

        return make_policy(use, self.model, self.seed)

    # -- the uses -----------------------------------------------------------------------------------------------------

    def joint(self) -> Use:
        """2.1, and the measure of how much this machine can do in the time."""
        say("2.1 joint")
        self.choose(MT10, 1)
        first = self.act("joint", self.policy("joint"), record=True)
        affordable = BUDGET / (ROUND * self.seconds["joint"])
        rounds = self.episodes or int(np.clip(affordable, 1, MAX_ROUNDS))
        if self.episodes is None and affordable < 1:  # a slow machine: fewer tasks, all uses, the same time
            kept = np.linspace(0, len(MT10) - 1, max(MIN_TASKS, int(affordable * len(MT10)))).round().astype(int)
            self.choose([MT10[i] for i in kept], 1)
            self.real["joint"] = [first[i] for i in kept]
        elif rounds > 1:
            self.choose(MT10, rounds)
            del self.real["joint"]
            self.act("joint", self.policy("joint"), record=True, done=first)
        self.figures["episodes"] = len(self.tasks)
        self.act("no_imagination", self.policy("no_imagination"))
        what = "imagines video and action together, executes, looks again"
        return self.use("2.1", "joint", what, "no_imagination", "imagination skipped")

    def use(self, number: str, name: str, what: str, control: str, control_label: str) -> Use:
        """A row of the table whose figure and control are success rates."""
        seconds = self.seconds[name] + self.seconds.get(control, 0.0)
        figures = self.success(name, "success"), self.success(control, control_label)
        return Use(number, name.replace("_", " "), what, *figures, seconds)

    def closed_loop(self) -> Use:
        say("2.4 closed loop")
        self.act("closed_loop", self.policy("closed_loop"))
        self.act("open_loop", self.policy("open_loop"))
        what = "imagines the next frame, translates it into an action, looks after every chunk"
        return self.use("2.4", "closed_loop", what, "open_loop", "the same without looking")

    def open_loop(self) -> Use:
        from presage.worlds import RandomPolicy

        say("2.3 open loop")
        random = RandomPolicy((self.world.num_envs, *self.model.chunk_shape), self.seed)
        self.act("random", random)
        what = "imagines 16 frames, translates them into actions, executes them blindly"
        return self.use("2.3", "open_loop", what, "random", "random actions")

    def representation(self) -> Use:
        from presage.device import default_device
        from presage.policy.grounded import GroundedPolicy
        from presage.policy.representation import load_head, random_twin, representation
        from presage.systems.checkpoint import open_model

        say("2.2 representation")
        what = "reads the features of one pass of the video model; a small head decodes the action"
        for name, random in (("features", False), ("random_weights", True)):
            head = load_head(self.folder, self.model, random)
            if head is None:
                absent = Measured("this checkpoint has no head: presage bench representation fits one", "-")
                return Use("2.2", "representation", what, absent, absent, 0.0)
            seed = head.config.random_seed
            model = self.model if seed is None else random_twin(open_model(self.folder, default_device()), seed)
            self.act(name, GroundedPolicy(model, representation(head), seed=self.seed))
        row = self.use("2.2", "features", what, "random_weights", "the same head on random weights")
        return replace(row, name="representation")

    def planning(self) -> Use:
        from presage.policy.grounded import GroundedPolicy
        from presage.simulator.planning import at_random, best_of

        say("1.2 planning")
        self.act("planning", GroundedPolicy(self.model, best_of(), seed=self.seed))
        blind = best_of(rank=at_random(self.seed))
        self.act("random_choice", GroundedPolicy(self.model, blind, seed=self.seed))
        what = "imagines eight futures at every decision and acts on the one that ends best"
        row = self.use("1.2", "planning", what, "random_choice", "random choice among the same futures")
        base = sum(r.success for r in self.real["joint"])
        return replace(row, figure=replace(row.figure, label=f"{row.figure.label}; without search {base}"))

    def evaluation(self) -> Use:
        """Policies that already ran, and worse ones, rolled in the dream."""
        from presage.results.tables import episode_rows
        from presage.simulator.environment import DreamWorld
        from presage.simulator.evaluation import Disturbed, Judged, action_noise, agreement, other_instruction
        from presage.worlds import RandomPolicy, rollout

        say("1.3 evaluation")
        start = time.monotonic()
        noisy = {f"joint, noise {s:g}": Disturbed(self.policy("joint"), action_noise(s, self.seed)) for s in (1.0, 2.0)}
        wrong = {"joint, wrong instruction": Disturbed(self.policy("joint"), instruct=other_instruction)}
        random = RandomPolicy((self.world.num_envs, *self.model.chunk_shape), self.seed)
        policies = {
            **{use: self.policy(use) for use in ("joint", "closed_loop", "open_loop", "no_imagination")},
            **noisy,
            **wrong,
            "random": random,
        }
        dream = DreamWorld(self.model, self.world, self.threshold, seed=self.seed)
        judged = {}
        for name, policy in policies.items():
            real = self.act(name, policy)
            judged[name] = Judged(real, rollout(policy, dream, self.tasks, self.seeds, MAX_STEPS))
            self.imagined += episode_rows(name, judged[name].imagined, "imagined")
        self.points = [Point(n.replace("_", " "), j.imagined_success, j.real_success) for n, j in judged.items()]
        agreed = agreement(judged)
        r, low, high = agreed.pearson
        real_rates = np.array([p.real for p in self.points])
        imagined_rates = np.array([p.imagined for p in self.points])
        share = share_of_pairings(imagined_rates, real_rates, self.seed)
        self.figures |= {"policies": len(judged), "pearson": r, "pearson_low": low, "pearson_high": high}
        self.figures |= {"mmrv": agreed.mmrv.value, "pairings_as_good": share}
        self.agreement = (
            f"{len(judged)} policies, from good to useless, acted from the same first frames in both. Pearson's r = "
            f"{show(r)} [{show(low)}, {show(high)}], Spearman {show(agreed.spearman.value)}, mean maximum "
            "rank violation "
            f"{show(agreed.mmrv.value)}. On the dashed line imagination would be right about each."
        )
        figure = Measured(f"Pearson's r over {len(judged)} policies", f"{show(r)} [{show(low)}, {show(high)}]")
        control = Measured("of random pairings correlate as well", f"{100 * share:.1f} %")
        if np.isnan(r):
            figure = Measured("all policies look alike on one side: no correlation", "-")
            control = Measured("", "-")
        seconds = time.monotonic() - start
        return Use("1.3", "evaluation", "rolls policies in imagination, to rank them", figure, control, seconds)

    def synthesis(self) -> Use:
        """Dream, label, replay in the simulator; the control replays the labels of another task's dream."""
        from presage.policy.replay import ReplayPolicy
        from presage.simulator.synthesis import dream, label

        say("1.1 synthesis")
        start = time.monotonic()
        labels: list[np.ndarray] = []
        n = self.world.num_envs
        for i in range(0, len(self.tasks), n):
            tasks, seeds = self.tasks[i : i + n], self.seeds[i : i + n]
            idle = n - len(tasks)
            options = {"task": tasks + tasks[-1:] * idle}
            first, info = self.world.reset(seed=seeds + seeds[-1:] * idle, options=options)
            first = {name: x[: len(tasks)] for name, x in first.items()}
            told = info["instruction"][: len(tasks)]
            videos = dream(self.model, first, told, self.threshold, MAX_STEPS, seed=self.seed)
            labels += label(self.model, videos)
        self.act("synthesis", ReplayPolicy(labels))
        self.act("shuffled_labels", ReplayPolicy(labels[1:] + labels[:1]))
        self.seconds["synthesis"] = time.monotonic() - start
        self.seconds["shuffled_labels"] = 0.0
        what = "dreams episodes, reads actions from the dreamed video, replays them in the simulator"
        return self.use("1.1", "synthesis", what, "shuffled_labels", "labels of another dream")

    # -- around them --------------------------------------------------------------------------------------------------

    @property
    def threshold(self) -> float:
        """The value above which an imagined frame shows success: the checkpoint's own, else calibrated now."""
        from presage.simulator.success import calibrate, load_threshold

        if not hasattr(self, "_threshold"):
            found = load_threshold(self.folder, MT10)
            if found is None:
                print("    no success threshold was calibrated on these tasks and weights: calibrating one", flush=True)
                found = calibrate(self.model, self.world, MT10, episodes=1, max_steps=MAX_STEPS)
            self._threshold = found.threshold
        return self._threshold

    def measure_rates(self) -> list[tuple[str, str]]:
        from presage.benchmarks.realtime import joint_steps, measure
        from presage.policy.joint import joint, no_imagination

        say("speed of one robot's cycle: observe, encode, denoise, act")
        observation, _ = self.world.reset(seed=0)
        one = {name: x[:1] for name, x in observation.items()}
        rows, steps = [], joint_steps(self.model)
        cycles: list[tuple[str, str, Callable[[Any], object]]] = [
            (
                "full",
                f"replans/s, video and action denoised in {steps} step{'s' * (steps > 1)}",
                lambda s: joint(s, steps),
            ),
            ("no_imagination", "replans/s with imagination skipped", no_imagination),
        ]
        for name, what, decide in cycles:
            seconds = measure(self.model, one, decide, 30)
            median, worst = float(np.median(seconds)), float(np.quantile(seconds, 0.99))
            self.figures |= {f"replans_per_s_{name}": 1 / median, f"p99_ms_{name}": 1000 * worst}
            rows.append((f"{1 / median:.0f}", f"{what}; p50 {1000 * median:.0f} ms, p99 {1000 * worst:.0f} ms"))
        deadline = 1000 * self.model.chunk_shape[0] / 20
        rows.append(
            ("20 Hz", f"actions, in chunks of {self.model.chunk_shape[0]}: a new plan is due every {deadline:.0f} ms")
        )
        return rows

    def make_films(self) -> list[Film]:
        """The first successes of different tasks and a failure, if there was one, beside the dream of the same
        actions."""
        say("videos")
        chosen = choose_episodes(self.real["joint"], True, SUCCESSES_SHOWN)
        chosen += choose_episodes(self.real["joint"], False, FAILURES_SHOWN)
        clips = recall(self.model, chosen)
        return [Film("joint", r.task, r.seed, clip) for r, clip in zip(chosen, clips, strict=True)]


def share_of_pairings(imagined: np.ndarray, real: np.ndarray, seed: int, pairings: int = 10_000) -> float:
    """Share of random pairings of policies (P,) whose covariance is at least the true one: a permutation test."""
    rng = np.random.default_rng(seed)
    centred = real - real.mean()
    shuffled = rng.permuted(np.tile(imagined, (pairings, 1)), axis=1)
    return float(np.mean(shuffled @ centred >= imagined @ centred - 1e-12))


def _percent(value: float, low: float, high: float) -> str:
    return f"{100 * value:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def say(what: str) -> None:
    print(f"  {what} ...", flush=True)
