"""Checks of decoders that read a video model before its video is finished: success by noise level, beside decoders that
read other things, and beside one that is told the true future.

Shapes: P pairs of rows, B batch, M frames of a clip, S pixels a side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

from presage.networks.composed import Composed
from presage.policy.features import answered, headed, told
from presage.policy.grounded import GroundedPolicy
from presage.systems.lab.check import Arm
from presage.systems.lab.delays import Execution, at_least, at_most
from presage.systems.lab.foretold import Foretold, ToldPolicy
from presage.systems.lab.probes import Pairs, action_error, session_of
from presage.systems.lab.readings import beside_random
from presage.systems.lab.verdict import Verdict, judge
from presage.timeline.session import Session
from presage.timeline.streams import Values
from presage.training.ahead import rows_ahead
from presage.training.objectives.imitate import Read
from presage.worlds.protocol import Policy

LEVELS, TRUE = (1.0, 0.8, 0.5, 0.2, 0.0), (0.5, 0.2, 0.0)
"""At which the video is read: imagined, and told"""
VIDEO, RANDOM, CODEC = "video", "random", "codec"
"""Trainings: of the video model and its decoder, of the decoder on random weights, of the decoder on latents"""


@dataclass(frozen=True)
class Reader:
    """imagined: what is read at a level. present: what is read of the codec. tap: layers before it is read. frames: of
    a clip. past: rows that a session sees."""

    imagined: Callable[[float], Read]
    present: Read
    tap: int
    frames: int
    past: int


def ways(reader: Reader) -> dict[str, Execution]:
    """Every arm: how it reads, and how it acts."""

    def reading(training: str, read: Read, sees: bool = False) -> Execution:
        def figures(model: Composed, pairs: Pairs) -> Mapping[str, float]:
            error = action_error(model, pairs, answered(session_of(model, pairs), read))
            beside = dict(zip(SEES, beside_random(model, pairs, read), strict=True)) if sees else {}
            return {"action error": error, "ms a chunk": milliseconds(model, pairs, read), **beside}

        def use(model: Composed, seed: int) -> Policy:
            return GroundedPolicy(model, headed(read), seed=seed, context=reader.past)

        return Execution(training, use, figures, _alone)

    arms = {f"level {level}": reading(VIDEO, reader.imagined(level), level == LEVELS[0]) for level in LEVELS}
    arms |= {f"true future, level {level}": _foretold(reader, level) for level in TRUE}
    arms["random backbone"] = reading(RANDOM, reader.imagined(LEVELS[0]))
    arms["codec latents"] = reading(CODEC, reader.present)
    return arms


def _alone(world: Any) -> Any:
    return world


def _foretold(reader: Reader, level: float) -> Execution:
    def read(clip: Values) -> Read:
        return lambda session: told(session, clip, level, reader.tap)

    def decide(session: Session[Composed], frames: dict[str, np.ndarray]) -> np.ndarray:
        return headed(read(coming(session.model, frames)))(session)

    def figures(model: Composed, pairs: Pairs) -> Mapping[str, float]:
        rows = [rows_ahead(pairs.recorded.length, k)[pairs.now] for k in range(1, reader.frames + 1)]
        clip = coming(model, {name: x[np.stack(rows, 1)] for name, x in pairs.recorded.frames.items()})
        return {"action error": action_error(model, pairs, answered(session_of(model, pairs), read(clip)))}

    def use(model: Composed, seed: int) -> Policy:
        return ToldPolicy(model, decide, seed, reader.past)

    return Execution(VIDEO, use, figures, lambda world: Foretold(world, reader.frames))


def coming(model: Composed, frames: Mapping[str, np.ndarray]) -> Values:
    """Frames `image.<camera>` (B, M, S, S, 3) as values (B, M, T, C)."""
    values: Values = {}
    for s in (s for s in model.streams if s.source in frames):
        x = frames[s.source]
        values[s.name] = model.encode_pictures(s.source, x.reshape(-1, *x.shape[2:])).unflatten(0, x.shape[:2])
    return values


def milliseconds(model: Composed, pairs: Pairs, read: Read, times: int = 5) -> float:
    """Median of what a decision for one robot takes."""
    session, decide, spent = session_of(model, Pairs(pairs.recorded, pairs.now[:1])), headed(read), []
    for _ in range(times):
        began = monotonic()
        decide(session)
        spent.append(monotonic() - began)
    return 1000 * float(np.median(spent))


SEES = {"noise / frame": 1.0, "noise / frame, random backbone": 10.0, "frame of the trained / of the random": 3.0}
"""Each below its limit: the random backbone must see the frame at least a third as well."""


def early(arms: Mapping[str, Arm]) -> Verdict | None:
    """Whether decoding at pure noise beats the codec and a random backbone, is as good as any level, the fastest, and
    behind being told."""
    first, *later = (f"level {level}" for level in LEVELS)
    told_at = [f"true future, level {level}" for level in TRUE]
    if not {first, *later, *told_at, "random backbone", "codec latents"} <= set(arms):
        return None
    mean = {name: arm.mean for name, arm in arms.items()}
    ms = {name: arms[name].figure("ms a chunk") for name in (first, *later)}
    sanity = [
        at_most("best later level - level 1", max(mean[n] for n in later) - mean[first], 0.05),
        at_least("ms a chunk, fastest later level / level 1", min(ms[n] for n in later) / max(ms[first], 1e-9), 1.0),
        at_least("best true future - level 1", max(mean[n] for n in told_at) - mean[first], 0.10),
        *[at_most(name, arms[first].figure(name), limit) for name, limit in SEES.items()],
    ]
    outcomes = {name: arms[name].outcomes for name in (first, "codec latents", "random backbone")}
    return judge(outcomes, first, {"codec latents": 0.10, "random backbone": 0.10}, sanity)
