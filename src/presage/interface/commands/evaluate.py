"""`presage evaluate`: policies judged in imagination and in the simulator."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from presage.errors import UserError
from presage.interface.commands.options import address, identity, real, several
from presage.interface.commands.with_model import PolicyCommand
from presage.results.output import show_correlation, show_rate
from presage.results.record import Film, film_both


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
    return base, real(1000)(noise) if "+" in name.removeprefix(base) else 0.0


def a_policy(text: str) -> str:
    split_policy(text)
    return text


POLICIES = several(a_policy, "POLICY", least=1, key=identity)


@dataclass(frozen=True, kw_only=True)
class Evaluate(PolicyCommand):
    """Judge policies in imagination, and in the simulator from the same first frames: does the dream rank them alike?

    A policy is one of the model's uses (joint, closed_loop, open_loop, no_imagination; a system has names of its own),
    `random`, the folder of another checkpoint (which acts with imagination skipped, or by the first of its own uses),
    or the address of a policy server that speaks openpi's protocol; `joint+1.0` is joint with noise of that size on its
    actions, in halves of their range.

        presage evaluate --policies joint no_imagination joint+1.0 random --episodes 2
        presage evaluate --policies joint runs/bc/model --tasks push-v3 --episodes 10
        presage evaluate --data data/arm-parts/test --checkpoint runs/arm/model --policies joint runs/bc/model random
        presage evaluate --policy ws://127.0.0.1:8000 --names image.front=observation/image state=observation/state

    The summary has both success rates of every policy and, for three or more, how well they agree. With --data dreams
    begin in recorded first frames, and the summary has imagined success alone, where it is sure, and for two
    policies which is better, or "cannot tell" (docs/uses/evaluation.md). presage report draws it.
    """

    policies: Annotated[tuple[str, ...], POLICIES, arg(aliases=("--policy",))] = (
        "joint",
        "no_imagination",
        "joint+1.0",
        "random",
    )
    """Policies to judge."""

    def run(self) -> None:
        from presage.results.tables import episode_rows, success_figures
        from presage.simulator.environment import DreamWorld
        from presage.simulator.evaluation import agreement, judge

        if self.names and not any(map(is_url, self.policies)):
            raise UserError("--names does not apply without a policy at ws://HOST:PORT: leave it out")
        model, world, tasks, seeds = self.prepare()
        urls = dict.fromkeys(base for base, _ in map(split_policy, self.policies) if is_url(base))
        servers = self.servers(urls, model, world, (tasks, seeds))
        policies = {name: self._policy(name, model, world, servers) for name in self.policies}
        if self.data is not None:
            return self._imagine(policies, model, world, tasks, seeds)
        dream = DreamWorld(model, world, self.threshold(model, world, tasks), seed=self.seed)
        judged = {}
        rows: list[dict[str, Any]] = []
        films: list[Film] = []
        figures: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        for name, policy in policies.items():
            print(f"{name} ...", flush=True)
            one = judge(policy, world, dream, tasks, seeds, self.max_steps, record=self.films > 0)
            films += film_both(name, one.real, one.imagined, self.films, model.fps)
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
                shown[name] = show_correlation(figures, name)
            figures["mmrv"] = shown["mmrv"] = agreed.mmrv.value
        self.finish(f"{len(judged)} policies, {len(tasks)} episodes each", figures, shown, rows, films)

    def _imagine(self, policies: dict[str, Any], model: Any, world: Any, tasks: list[str], seeds: list[int]) -> None:
        """Imagined success alone, and what is known of the recorded actions."""
        from presage.interface.commands.ranked_dreams import figures_of, shown_of
        from presage.results.tables import episode_rows
        from presage.simulator.ranking import imagine, referee_of
        from presage.simulator.success import load_threshold

        own = load_threshold(self.folder(), list(dict.fromkeys(tasks)))
        print("dreaming recorded episodes of known outcome again: when has a dream succeeded? ...", flush=True)
        referee = referee_of(model, world.recording, own, self.seed)
        print("\n".join(referee.describe()), flush=True)
        rows: list[dict[str, Any]] = []
        imagined = {}
        for name, policy in policies.items():
            print(f"{name} ...", flush=True)
            found = imagine(policy, model, world, tasks, seeds, self.max_steps, referee)
            imagined[name] = found
            told = self.numbered(episode_rows(name, found.results, "imagined"), world)
            rows += [
                row | {"probability": float(chance), "answered": bool(given)}
                for row, chance, given in zip(told, found.answers.probability, found.answers.given, strict=True)
            ]
        figures = figures_of(referee, imagined)
        title = f"{len(imagined)} policies, {len(tasks)} imagined episodes each"
        self.finish(title, figures, shown_of(figures, list(policies)), rows)

    def _policy(self, name: str, model: Any, world: Any, servers: dict[str, Any]) -> Any:
        from presage.policy import make_policy, uses_of
        from presage.simulator.evaluation import Disturbed, action_noise
        from presage.worlds import RandomPolicy

        base, noise = split_policy(name)
        low, high = self.action_range(world) if noise or base == "random" else (-1.0, 1.0)
        if Path(base).is_dir():
            other = self.other_model(Path(base))
            skipped = "no_imagination" in uses_of(other)
            policy: Any = make_policy("no_imagination" if skipped else uses_of(other)[0], other, self.seed)
        elif base == "random":
            policy = RandomPolicy((world.num_envs, *model.chunk_shape), self.seed, low, high)
        elif is_url(base):
            policy = servers[base]
        elif base in uses_of(model):
            policy = make_policy(base, model, self.seed)
        else:
            known = ", ".join((*uses_of(model), "random"))
            raise UserError(f"--policies {base}: choose from {known}, or name a checkpoint or ws://HOST:PORT")
        return Disturbed(policy, action_noise(noise * (high - low) / 2, self.seed)) if noise else policy
