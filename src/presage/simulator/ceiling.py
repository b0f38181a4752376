"""How well do futures rank candidates, and why? At decisions on the way of a policy, the same candidates are ranked by
imagined futures, by true ones and by chance, and each ranking is compared with the simulator's own reward.

Shapes: D decisions, B rows of a session, N candidates, H steps ahead, C numbers of an action.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from presage.simulator.gate.verdict import ratio
from presage.simulator.planners import Score
from presage.simulator.true_future import Simulator
from presage.timeline.session import Session

HORIZONS = (1, 2)
"""Steps ahead; each action is held so long"""
EVERY = 8
"""Decisions between two that are looked at: neighbours tell the same"""
TRUE, ORACLE = "true_future", "oracle"


@dataclass
class Curve:
    """A score that executes the first candidate, whatever it is, and notes at some decisions how others would choose.

    scores: name -> who ranks by imagined futures. simulator: looks.
    """

    scores: Mapping[str, Score]
    simulator: Simulator
    noted: dict[tuple[str, int], list[np.ndarray]] = field(default_factory=dict)
    """(who, steps ahead) -> scores (B, N) of each decision"""
    episodes: list[np.ndarray] = field(default_factory=list)
    """(B,) the episode of each decision"""
    first: int = 0
    """Episodes of the rollout that is under way are counted from here, by their environments"""

    def __call__(self, session: Session, candidates: Tensor) -> Tensor:
        b, n = candidates.shape[:2]
        if session.step % EVERY == 0:
            held = candidates[:, :, :1].expand(-1, -1, max(HORIZONS), -1)
            if session.step == 0:
                self.first = 1 + max((int(each.max()) for each in self.episodes), default=-1)
            self.episodes.append(self.first + self.simulator.rows())
            true = self.simulator.futures(session, held)
            assert true.value is not None
            for h in HORIZONS:
                said = {name: score(session, held[:, :, :h]) for name, score in self.scores.items()}
                said |= {TRUE: true.value[..., h - 1], ORACLE: true.reward[..., h - 1]}
                for name, scores in said.items():
                    self.noted.setdefault((name, h), []).append(scores.cpu().numpy())
        return -torch.arange(n, dtype=torch.float32).expand(b, n)

    def figures(self) -> dict[str, float]:
        """`curve/WHO_H_of_K`: the reward's rank among all N candidates, from -1 (worst) to 1 (best), of the one that
        WHO chooses among the first K by futures of H steps; 0 is chance. With all N, the bounds of its mean over
        episodes, since the decisions of one are alike."""
        figures: dict[str, float] = {}
        for (name, h), parts in self.noted.items():
            scores, reward = np.concatenate(parts), np.concatenate(self.noted[ORACLE, h])
            n = scores.shape[1]
            rank = 2 * (rankdata(reward, axis=1) - 1) / (n - 1) - 1
            for k in sorted({min(k, n) for k in (2, 4, n)}):
                chosen = rank[np.arange(len(rank)), scores[:, :k].argmax(1)]
                figures[f"curve/{name}_{h}_of_{k}"] = float(chosen.mean())
            found = ratio(chosen, np.ones_like(chosen), np.concatenate(self.episodes))
            figures |= {f"curve/{name}_{h}_of_{n}_low": found.low, f"curve/{name}_{h}_of_{n}_high": found.high}
        figures["curve/decisions"] = float(sum(len(part) for part in self.noted.get((ORACLE, HORIZONS[0]), [])))
        return figures
