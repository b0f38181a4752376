"""Neural trajectories: imagined clips with the actions that a translator reads off them, as training data (Jang et al.
2025, DreamGen, section 3.3).

Each is a `Make` of a stage (`training/stage.py`). Rows are keyframes; of the chunks that a translator reads between two
of them the first is kept. The robot's state is unknown there, and no translator is shown one.

Shapes: B clips, N keyframes, T places, C numbers a place.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import update_wrapper

import numpy as np
import torch
from torch import Tensor

from presage.networks.composed import Composed
from presage.policy.translators import ClipPlan
from presage.timeline.session import Session
from presage.training.recorded import Recorded, joined
from presage.training.stage import Make

BATCH = 24


def dreams(plan: ClipPlan, count: int, starts: Recorded | None = None, kind: str = "free") -> Make:
    """`count` imagined clips, each from the first frame and the words of an episode, which take turns. starts: of these
    episodes; else of a kind, or of `labelled` where there is none."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        begun = data.get(kind, data["labelled"]) if starts is None else starts
        return _clips(model, plan, begun, count, lambda session, rows: plan.frames(session))

    return make


def replays(plan: ClipPlan, count: int, kind: str = "labelled") -> Make:
    """As many true clips of recorded episodes, which take turns, coded twice and labelled alike: what dreams must be
    better than."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        real = data[kind]
        last = np.repeat(real.start + real.length - 1, real.length)

        def frames(session: Session, rows: np.ndarray) -> Tensor:
            shown = [np.minimum(rows + i * plan.every, last[rows]) for i in range(plan.length + 1)]
            coded = []
            for now in shown:
                seen = {name: model.encode_pictures(name, real.frames[name][now]) for name in plan.pictures}
                again = model.decode_images(seen)
                coded.append(torch.cat([model.encode_pictures(name, again[name]) for name in plan.pictures], -1))
            return torch.stack(coded, 1)

        return _clips(model, plan, real, count, frames)

    return make


def mislabelled(make: Make) -> Make:
    """The same clips with the actions of another one of the same words: the control."""

    def wrong(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        made = make(model, data)
        told, action = made.instruction[made.start], made.action.copy()
        for words in np.unique(told):
            clips = np.flatnonzero(told == words)
            for clip, other in zip(clips, np.roll(clips, 1)):
                rows = slice(made.start[clip], made.start[clip] + made.length[clip])
                action[rows] = made.action[made.start[other] : made.start[other] + made.length[other]]
        return replace(made, action=action)

    return wrong


def once(make: Make) -> Make:
    """Made at the first call, and the same for all that come after it."""
    made: list[Recorded] = []

    def again(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        if not made:
            made.append(make(model, data))
        return made[0]

    return update_wrapper(again, make, assigned=(), updated=())  # it is known by what it makes


@torch.inference_mode()
def _clips(
    model: Composed,
    plan: ClipPlan,
    episodes: Recorded,
    count: int,
    frames_of: Callable[[Session, np.ndarray], Tensor],
) -> Recorded:
    """`count` clips (B, N, T, C of all cameras) from the first rows of episodes on, labelled."""
    first = np.resize(episodes.start, count)
    parts = [_labelled(model, plan, episodes, first[i : i + BATCH], i, frames_of) for i in range(0, count, BATCH)]
    whole = joined(parts)
    return replace(whole, text=episodes.text, instruction=whole.instruction % len(episodes.text))


def _labelled(
    model: Composed,
    plan: ClipPlan,
    episodes: Recorded,
    rows: np.ndarray,
    seed: int,
    frames_of: Callable[[Session, np.ndarray], Tensor],
) -> Recorded:
    told = episodes.instruction[rows]
    session = Session(model, torch.from_numpy(episodes.text[told]).to(model.device), seed=seed, context=0)
    session.observe({**{name: x[rows] for name, x in episodes.frames.items()}, "state": episodes.state[rows]})
    frames = frames_of(session, rows)
    b, n = frames.shape[:2]
    (chunk, dim), tokens = model.chunk_shape, next(s.tokens for s in model.streams if s.acts)
    action = np.zeros((b, n, chunk, dim), np.float32)
    for i, span in enumerate(plan.translated(session, frames)):
        action[:, i] = model.decode_action(span[:, :tokens])
    flat = frames.flatten(0, 1).chunk(len(plan.pictures), -1)
    values = dict(zip(plan.pictures, flat))
    return Recorded(
        frames=model.decode_images(values),
        action=action.reshape(b * n, chunk, dim),
        labelled=np.tile(np.arange(n) < n - 1, b),
        state=np.full((b * n, episodes.state.shape[1]), np.nan, np.float32),
        quality=np.ones(b * n, np.float32),
        instruction=np.repeat(told, n),
        text=episodes.text,
        length=np.full(b, n),
        latents={name: x.half().cpu().numpy() for name, x in values.items()},
    )
