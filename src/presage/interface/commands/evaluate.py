"""`presage evaluate`: policies judged in imagination and in the simulator."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from presage.errors import UserError
from presage.interface.commands.options import address, identity, real, several
from presage.interface.commands.with_model import PolicyCommand
from presage.results.output import show_rate
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
    begin in recorded first frames, and the summary has imagined success alone, with differences between policies.
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
        policies = {name: self._policy(name, model, world) for name in self.policies}
        threshold = self.threshold(model, world, tasks)
        dream = DreamWorld(model, world, threshold, seed=self.seed)
        if self.data is not None:
            return self._imagine(policies, dream, tasks, seeds)
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
                shown[name] = f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
            figures["mmrv"] = shown["mmrv"] = agreed.mmrv.value
        self.finish(f"{len(judged)} policies, {len(tasks)} episodes each", figures, shown, rows, films)

    def _imagine(self, policies: dict[str, Any], dream: Any, tasks: list[str], seeds: list[int]) -> None:
        """Imagined success alone, and what is known of the recorded actions."""
        from presage.measures.statistics import difference_of_pairs
        from presage.results.tables import episode_rows, success_figures
        from presage.worlds import rollout

        rows: list[dict[str, Any]] = []
        imagined: dict[str, list[bool]] = {}
        figures: dict[str, Any] = {}
        shown: dict[str, Any] = {}
        for name, policy in policies.items():
            print(f"{name} ...", flush=True)
            results = rollout(policy, dream, tasks, seeds, self.max_steps)
            rows += self.numbered(episode_rows(name, results, "imagined"), dream.world)
            imagined[name] = [r.success for r in results]
            figures |= success_figures(f"imagined/{name}", imagined[name])
            shown[name] = f"imagined {show_rate(figures, f'imagined/{name}')}"
        first = next(iter(policies))
        for one, other in combinations(imagined, 2):
            apart = difference_of_pairs(imagined[other], imagined[one])
            figures |= {
                f"difference/{other}/{one}{end}": x for end, x in zip(("", "_low", "_high"), apart, strict=True)
            }
            if one == first:
                low, high = (f"{100 * x:+.0f}" for x in (apart.low, apart.high))
                shown[f"{other} - {one}"] = f"{100 * apart.value:+.0f} % [{low}, {high}]"
        figures |= self._recorded(dream, tasks, seeds)
        again = f"imagined {show_rate(figures, 'imagined/recorded'):<18} recorded {show_rate(figures, 'recorded')}"
        known = figures["recorded_episodes"]
        shown["recorded actions"] = (
            f"{again} of {known} with known outcome" if known else "no outcome is known of these"
        )
        self.finish(f"{len(imagined)} policies, {len(tasks)} imagined episodes each", figures, shown, rows)

    def _recorded(self, dream: Any, tasks: list[str], seeds: list[int]) -> dict[str, Any]:
        """What came of these episodes, and of their actions in the dream, where both are known."""
        from presage.results.tables import success_figures
        from presage.simulator.outcomes import dreamed_again, known_outcomes

        recording, world = dream.world.recording, dream.world
        asked = {world.place(*each) for each in zip(tasks, seeds, strict=True)}
        places = [place for place in known_outcomes(recording) if place in asked]
        if not places:
            return {"recorded_episodes": 0}
        again = dreamed_again(dream.model, recording, places) > dream.threshold
        figures = success_figures("recorded", [bool(recording.success[place]) for place in places])
        return figures | success_figures("imagined/recorded", again.tolist()) | {"recorded_episodes": len(places)}

    def _policy(self, name: str, model: Any, world: Any) -> Any:
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
            policy = self.remote(base, model)
        elif base in uses_of(model):
            policy = make_policy(base, model, self.seed)
        else:
            known = ", ".join((*uses_of(model), "random"))
            raise UserError(f"--policies {base}: choose from {known}, or name a checkpoint or ws://HOST:PORT")
        return Disturbed(policy, action_noise(noise * (high - low) / 2, self.seed)) if noise else policy
