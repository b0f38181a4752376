"""`presage plan`: act on the best of several imagined futures."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

from presage.interface.commands.options import Distance, one, whole
from presage.interface.commands.with_model import ModelCommand
from presage.results.output import show_rate
from presage.results.record import Film, film_recalled


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
    """How far candidates differ in their first chunk, in halves of the action range."""

    def run(self) -> None:
        from presage.policy.grounded import GroundedPolicy
        from presage.policy.joint import joint
        from presage.results.tables import episode_rows, success_figures
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
