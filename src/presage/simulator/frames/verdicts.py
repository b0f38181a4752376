"""Does the judge of dreams see what it judges? It is asked about real outcomes that it was not calibrated on, and about
success from which the object was taken back.

Shapes: E episodes, C cameras of S pixels.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from presage.measures.statistics import wilson
from presage.networks.base import step, value_of
from presage.networks.robot import RobotModel
from presage.simulator.frames.imagine import Shown
from presage.simulator.frames.measure import bounded, shown_of
from presage.simulator.frames.scenes import STEPS, Scenes
from presage.timeline.session import Session

HORIZON = 40
"""Steps of a dream that is judged: as many as an episode of the bench has"""


@torch.inference_mode()
def dreamed_values(model: RobotModel, given: Scenes, seed: int = 0) -> np.ndarray:
    """(E,) the highest value that the model gives a frame of its dream of each episode: from one frame, with the chunks
    that were executed."""
    shown = shown_of(given)
    session = Session(model, shown.instructions, float("nan"), seed)
    session.observe(shown.observation(-1))
    actions = given.actions[:, given.past - 1 :][:, :HORIZON]
    values = []
    for t in range(actions.shape[1]):
        step(session, actions[:, t])
        values.append(value_of(session).cpu().numpy())
    return np.max(values, axis=0)


@torch.inference_mode()
def frame_values(model: RobotModel, shown: Shown) -> np.ndarray:
    """(E,) the value that the model gives the last real frame, by itself."""
    session = Session(model, shown.instructions, float("nan"))
    session.observe(shown.observation(-1))
    return value_of(session).cpu().numpy()


def outcome_figures(given: Sequence[Scenes], values: Sequence[np.ndarray], threshold: float) -> dict[str, float]:
    """`hallucinated`: share of true failures whose dream is called success; `missed`: of true successes whose dream is
    not; with their bounds. values: `dreamed_values` of each."""
    ended = np.concatenate([each.at(each.success, min(HORIZON, each.steps)) for each in given])
    begun = np.concatenate([each.at(each.success, 0) for each in given])
    called = np.concatenate(list(values)) > threshold
    failed, solved = ~ended, ended & ~begun
    figures = share("hallucinated", called[failed]) | share("missed", ~called[solved])
    both = figures.get("hallucinated"), figures.get("missed")
    if None not in both:
        figures["judge_balanced_accuracy"] = 1 - (figures["hallucinated"] + figures["missed"]) / 2
    return figures | {"true_failures": float(failed.sum()), "true_successes": float(solved.sum())}


def putback(model: RobotModel, given: Iterable[Scenes], threshold: float) -> dict[str, float]:
    """`putback_success`: share of real frames of a success, with the object put back where it was at first, that the
    judge calls success; `success_called`: the same of the frames as they were."""
    called: list[np.ndarray] = []
    for each in given:
        last = max(s for s in STEPS if s <= each.steps)
        rows = np.flatnonzero(each.at(each.success, last) & each.moved(last))
        instructions, states = [each.instruction[row] for row in rows], each.at(each.states, last)[rows]
        pictures = each.at(each.frames, last), each.redrawn[:, STEPS.index(last)]
        if len(rows):
            shown = [Shown(p[rows, None], each.actions[rows, :0], states[:, None], instructions) for p in pictures]
            called.append(np.stack([frame_values(model, one) > threshold for one in shown]))
    whole, back = np.concatenate(called, 1) if called else np.zeros((2, 0), bool)
    return share("success_called", whole) | share("putback_success", back)


def share(name: str, called: np.ndarray) -> dict[str, float]:
    """A share with its bounds; nothing where there are no episodes."""
    return bounded(name, wilson(int(called.sum()), len(called))) if len(called) else {}
