"""Does a dream contradict itself? Inverse dynamics reads, from its pictures alone, which actions were done in it.

In a dream that is true to its actions they come out again. What a chunk does over its whole length is compared, since a
picture at its end shows no more.

Shapes: E episodes of T chunks, A numbers of an action.
"""

from collections.abc import Sequence

import numpy as np

from presage.networks.robot import RobotModel
from presage.simulator.synthesis import Video, label
from presage.worlds.rollout import RolloutResult, episode_number

AS_FAR = 0.5
"""A dream contradicts itself where what is read from it is further from its own actions than this share of how far it
is, on average, from the actions of another episode"""


def can_invert(model: RobotModel) -> bool:
    """Whether it can be asked for actions between pictures."""
    frames = {camera: np.zeros((2, model.size, model.size, 3), np.uint8) for camera in model.cameras}
    try:
        label(
            model, [Video(frames, np.zeros((2, model.state_dim), np.float32), np.zeros(2), "do the task")], states=False
        )
    except (ValueError, KeyError):
        return False
    return True


def given_back(model: RobotModel, dreams: Sequence[RolloutResult]) -> tuple[np.ndarray, np.ndarray]:
    """((E,), (E,)) mean squared error, in half ranges, of the actions that are read from each dream, against those that
    were done in it, and against those that were done in the one before it; nan where nothing was done, and where there
    is no other dream.

    dreams: with frames, states and actions.
    """
    found, done = [np.zeros((0, 1))] * len(dreams), [np.zeros((0, 1))] * len(dreams)
    acted = [i for i, each in enumerate(dreams) if each.steps]
    if acted:
        videos = [_video(dreams[i]) for i in acted]
        seeds = [episode_number(dreams[i].task, dreams[i].seed) for i in acted]
        for i, chunks in zip(acted, label(model, videos, seed=seeds, states=False), strict=True):
            actions = dreams[i].actions
            assert actions is not None
            found[i], done[i] = (whole_chunks(model, each) for each in (chunks, actions))
    own = [_error(label_, actions) for label_, actions in zip(found, done, strict=True)]
    before = done[-1:] + done[:-1] if len(done) > 1 else [np.zeros((0, 1))] * len(done)
    others = [_error(label_, actions) for label_, actions in zip(found, before, strict=True)]
    return np.array(own), np.array(others)


def limit_of(others: np.ndarray) -> float:
    """The error from which on dreams contradict themselves, from those against the actions of other episodes; nan where
    none is known."""
    known = others[~np.isnan(others)]
    return AS_FAR * float(known.mean()) if known.size else float("nan")


def whole_chunks(model: RobotModel, chunks: np.ndarray) -> np.ndarray:
    """(T, A) means over chunks (T, chunk, A), in half ranges, none beyond them."""
    coded = model.encode_action(chunks).flatten(1).clamp(-1, 1).cpu().numpy()
    means: np.ndarray = coded.reshape(len(coded), *model.chunk_shape).mean(1)
    return means


def _video(dream: RolloutResult) -> Video:
    assert dream.states is not None
    return Video(dream.frames, dream.states, np.zeros(dream.steps + 1), dream.instruction)


def _error(labels: np.ndarray, actions: np.ndarray) -> float:
    """Over the steps that both have."""
    n = min(len(labels), len(actions))
    return float(np.square(labels[:n] - actions[:n]).mean()) if n else float("nan")
