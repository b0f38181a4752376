"""How did it end? Heads that read it off single frames: whether a task is solved, or how much of the goal is covered.

A head that has only seen failures in which the hand is elsewhere reads the hand. So the outcome head is shown put-backs
too: true frames of a success in which the object lies where it was at first, which are failures.

Shapes: R rows, T places, C numbers a place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from presage.codecs.text import embed_text
from presage.episodes.dataset import Dataset
from presage.networks.composed import IMAGE, Composed
from presage.policy.features import latents
from presage.policy.heads import Filmed
from presage.systems.lab.arms import CHUNK, SIZE
from presage.systems.lab.starts import is_far
from presage.systems.parts import conv_codec, scaled
from presage.systems.system import Shape, Size
from presage.timeline.corruption import Regress
from presage.timeline.noise import draw
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.loop import Optimiser
from presage.training.objectives.imitate import Imitate, Make, Read
from presage.training.pictures import Seen
from presage.training.recorded import Recorded, joined
from presage.training.stage import Stage
from presage.worlds.collect import renderer_of, simulation_of
from presage.worlds.instructions import instructions
from presage.worlds.world import find_world

JUDGE = "judge"
"""The part of a model that is an outcome head"""
OUTCOME = Stream("outcome", 1, 2, Regress("cross-entropy"))
"""Failure, success: one-hot"""
COVERAGE = Stream("coverage", 1, 1, Regress("l2"))
"""Share of the goal that is covered"""
BLUR = 0.2
"""Frames are noised up to this deviation: an imagined one is never as clean as a recorded one"""


def judge_part(shape: Shape, size: Size, stream: Stream) -> Filmed:
    """A fresh head over the latents of one frame of all cameras, modulated by the words."""
    config = conv_codec(shape, size).config
    widths = (4 * size.channels,)
    return Filmed(config.tokens, config.token_dim * len(shape.cameras), widths, stream, side=config.grid)


def judge_stage(pictures: Sequence[str], stream: Stream, size: Size, data: Mapping[str, float]) -> Stage:
    """Trains it on frames whose outcome is known (`with_outcome`), on a codec that stands still. data: their kinds.
    Where nobody knows any, it is how far along a demonstration a frame is."""
    reads = Imitate(blurred(latents(pictures), BLUR), part=JUDGE, stream=stream.name)
    optimiser = scaled(Optimiser(1500, 64, warmup=50, ema=0.99), size)
    make = {"judged": known(stream, list(data))}
    return Stage(JUDGE, reads, (f"parts.{JUDGE}",), {"judged": 1.0}, make, window=1, optimiser=optimiser)


def known(stream: Stream, kinds: Sequence[str]) -> Make:
    """Data for a stage: all rows of some kinds, where their outcome is known."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        there = [part for kind, part in data.items() if kind in kinds]
        if all(stream.name in part.latents for part in there):
            return joined(there)
        demonstrated = data["labelled"]
        along = np.concatenate([np.arange(1, n + 1) / n for n in demonstrated.length])
        return with_outcome(demonstrated, stream, along if stream.dim == 1 else along == 1)

    return make


def blurred(read: Read, most: float) -> Read:
    """What is read, under noise of up to a deviation."""

    def reading(session: Session) -> torch.Tensor:
        seen = read(session)
        noise = draw(session.noise, (seen[0].numel() + 1,), seen.device)
        spread = most * torch.special.ndtr(noise[:, 0]).view(-1, 1, 1, 1)
        return seen + spread * noise[:, 1:].view_as(seen)

    return reading


@torch.inference_mode()
def judged_frames(model: Composed, frames: Mapping[str, Seen], text: np.ndarray, stream: Stream) -> np.ndarray:
    """What the head says of frames alone: `image.<camera>` (R, S, S, 3) uint8 and embedded words (R, E) -> (R,) the
    probability of success, or the coverage."""
    seen = [model.encode_pictures(s.source, frames[s.source][:]) for s in model.streams if s.source.startswith(IMAGE)]
    told = torch.from_numpy(text).to(model.device)
    level = torch.ones(len(told), device=model.device)
    raw = model.parts[JUDGE](torch.cat(seen, -1)[:, None], told, torch.zeros(0), level)
    return stream.corruption.clean(raw, raw, level)[:, 0, -1].float().cpu().numpy()


# -- labels -----------------------------------------------------------------------------------------------------------


def with_outcome(recorded: Recorded, stream: Stream, outcome: np.ndarray) -> Recorded:
    """The same with the outcome (R,) that each frame shows, as values of the stream."""
    values = outcome.astype(np.float16).reshape(-1, 1, 1)
    if stream.dim == 2:
        values = np.concatenate([1 - values, values], -1)
    return replace(recorded, latents={**recorded.latents, stream.name: values})


def success_shown(dataset: Dataset) -> np.ndarray:
    """(R,) whether the task was solved before each frame."""
    after = dataset.column("next.success").reshape(-1).astype(bool)
    shown = np.roll(after, 1)
    shown[np.cumsum([0, *[e.length for e in dataset.episodes]])[:-1]] = False
    return shown


def put_back(tasks: Sequence[str], count: int, first_seed: int, cameras: Sequence[str]) -> tuple[Recorded, np.ndarray]:
    """`count` successes of the experts of table tasks, each twice: as it is, and with the object where it was at first.
    Also (R,) whether a frame shows success: the first of each pair does."""
    frames: dict[str, list[np.ndarray]] = {f"{IMAGE}{camera}": [] for camera in cameras}
    told: list[int] = []
    state, seed = [], first_seed
    while len(told) < 2 * count:
        task = tasks[seed % len(tasks)]
        simulation = simulation_of(task)
        renderer = renderer_of(find_world(task), tuple(cameras), SIZE, 2)
        simulation.reset(seed)
        seed += 1
        if is_far(simulation):
            continue
        start = simulation.pose
        for _ in range(160):
            simulation.step(simulation.expert_action())
            if simulation.success:
                break
        else:
            continue
        for back in (False, True):
            if back:
                simulation.pose = start
            for camera, image in simulation.frames(renderer).items():
                frames[f"{IMAGE}{camera}"].append(image)
            told.append(tasks.index(task))
            state.append(simulation.state)
    n = len(told)
    shown = {name: np.stack(images) for name, images in frames.items()}
    action = np.zeros((n, CHUNK, find_world(tasks[0]).action_size), np.float32)
    nothing, quality, text = np.zeros(n, bool), np.zeros(n, np.float32), embed_text([instructions(t)[0] for t in tasks])
    rows = Recorded(shown, action, nothing, np.stack(state), quality, np.array(told), text, np.ones(n, int))
    return rows, np.arange(n) % 2 == 0
