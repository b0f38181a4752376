"""What policies did in the simulator and how that ended, and the same as a world model imagines it.

Shapes: K trajectories, S pixels a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from presage.errors import UserError
from presage.networks.composed import Composed
from presage.policy.asynchronous import forward
from presage.systems.lab.arms import MAX_STEPS
from presage.systems.lab.outcome import OUTCOME, judged_frames
from presage.systems.lab.rolled import rolled
from presage.systems.lab.starts import Start
from presage.timeline.session import Session
from presage.training.recorded import Recorded, joined
from presage.worlds.instructions import instructions
from presage.worlds.protocol import Policy

STEPS, ROWS = 2, 30
"""Of denoising an imagined frame; of a dream that a policy acts in"""


@dataclass(frozen=True, eq=False)
class Trials:
    """Trajectories, one an episode, and how each truly ended (K,)."""

    recorded: Recorded
    success: np.ndarray

    def only(self, episodes: Sequence[int]) -> "Trials":
        return Trials(self.recorded.only(episodes), self.success[list(episodes)])

    def balanced(self, each: int) -> "Trials":
        """Of every task as many successes as failures, at most `each`, and as long: a success ends its episode, and a
        failure is a failure at that row too. In a longer dream more can happen, whoever acts in it.

        Raises:
            UserError: there is no task with both.
        """
        task, kept, length = np.array(self.recorded.task), [], []
        for name in sorted(set(task)):
            good, bad = (np.flatnonzero((task == name) & (self.success == ended)) for ended in (True, False))
            n = min(each, len(good), len(bad))
            good, bad = (found[np.linspace(0, len(found) - 1, n).astype(int)] for found in (good, bad))
            kept += [*good, *bad]
            length += [*self.recorded.length[good], *np.minimum(self.recorded.length[good], self.recorded.length[bad])]
        if not kept:
            raise UserError("all policies succeed or all fail in every task: there is nothing to agree on")
        return Trials(self.recorded.only(kept).begun(np.array(length)), self.success[kept])

    @property
    def last(self) -> dict[str, np.ndarray]:
        """The true last frames."""
        ends = self.recorded.start + self.recorded.length - 1
        return {name: x[ends] for name, x in self.recorded.frames.items()}

    @property
    def text(self) -> np.ndarray:
        """(K, E) what was told."""
        return self.recorded.text[self.recorded.instruction[self.recorded.start]]

    @property
    def first(self) -> dict[str, np.ndarray]:
        return {name: x[self.recorded.start] for name, x in self.recorded.frames.items()}


def trials_of(policies: Sequence[Policy], starts: Sequence[Start], most: int = MAX_STEPS) -> list[Trials]:
    """Of each policy, on the same starts."""
    ended = [rolled(p, [s.task for s in starts], [s.seed for s in starts], max_steps=most) for p in policies]
    return [Trials(each.recorded, each.success) for each in ended]


def together(trials: Sequence[Trials]) -> Trials:
    return Trials(joined([t.recorded for t in trials]), np.concatenate([t.success for t in trials]))


# -- dreams -----------------------------------------------------------------------------------------------------------


def dreamed(model: Composed, recorded: Recorded, others: np.ndarray | None = None, at_once: int = 32) -> np.ndarray:
    """(K,) probability of success that is read off the last imagined frame of every episode, under its own actions, or
    under those of the episodes `others` (K,), which repeat their last one if they end before."""
    done, out = np.arange(len(recorded.length)) if others is None else others, []
    for i in range(0, len(done), at_once):
        mine = slice(i, i + at_once)
        start, length = recorded.start[mine], recorded.length[mine]
        text = recorded.text[recorded.instruction[start]]
        session = Session(model, torch.from_numpy(text).to(model.device), float("nan"), seed=i)
        session.observe({**{name: x[start] for name, x in recorded.frames.items()}, "state": recorded.state[start]})
        first, most = recorded.start[done[mine]], recorded.length[done[mine]] - 2
        last = {name: x[start].copy() for name, x in recorded.frames.items()}
        for row in range(int(length.max()) - 1):
            forward(STEPS)(session, recorded.action[first + np.minimum(row, most).clip(0)])
            ends = length == row + 2
            if ends.any():
                for name, x in model.decode_images(session.last.values).items():
                    last[name][ends] = x[ends]
        out.append(judged_frames(model, last, text, OUTCOME))
    return np.concatenate(out)


def dreamed_by(model: Composed, policy: Policy, trials: Trials, most: int = ROWS) -> np.ndarray:
    """(K,) the same where the policy itself acts in the dream, from the first frames."""
    recorded = trials.recorded
    session = Session(model, torch.from_numpy(trials.text).to(model.device), float("nan"))
    seen = {**trials.first, "state": recorded.state[recorded.start]}
    session.observe(seen)
    policy.reset([instructions(task)[0] for task in recorded.task])
    for _ in range(most):
        forward(STEPS)(session, np.clip(policy.act(seen), -1, 1))
        seen |= model.decode_images(session.last.values)
    return judged_frames(model, {name: seen[name] for name in trials.first}, trials.text, OUTCOME)


def shuffled_in_tasks(task: Sequence[str], seed: int = 0) -> np.ndarray:
    """(K,) for each episode another one of its task, however that ended."""
    rng, names, out = np.random.default_rng(seed), np.array(task), np.zeros(len(task), int)
    for name in sorted(set(task)):
        mine = rng.permutation(np.flatnonzero(names == name))
        out[mine] = np.roll(mine, 1)
    return out
