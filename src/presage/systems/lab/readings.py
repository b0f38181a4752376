"""Controls of systems that read features: what a head makes of held-out rows, and whether a network sees the frame."""

import copy
import math
from collections.abc import Callable

import torch

from presage.networks.composed import Composed
from presage.policy.features import answered, sensitivity
from presage.systems.lab.probes import Pairs, session_of
from presage.timeline.streams import Values
from presage.training.objectives.imitate import Read


def redrawn(model: Composed, seed: int = 0) -> Composed:
    """The same with all weights of its network drawn anew, those that start at 0 too: a fresh network hardly looks at
    anything, and would be no control."""
    generator = torch.Generator().manual_seed(seed)
    for p in model.network.parameters():
        if p.ndim > 1:
            fan_in = p[0].numel()
            p.data = torch.randn(p.shape, generator=generator).to(p.device) / math.sqrt(fan_in)
    return model


def asked_of(read: Read, steps: int = 5) -> Callable[[Composed, Pairs], Values]:
    """What a head would do after each pair's first row."""
    return lambda model, pairs: answered(session_of(model, pairs), read, steps=steps)


def beside_random(model: Composed, pairs: Pairs, read: Read) -> tuple[float, float, float]:
    """How far features follow the noise over the frame; the same of the network with random weights; and how far the
    former follow the frame over the latter. Infinite where a network is blind: it is no control then."""
    frame, noise = moves(model, pairs, read)
    random_frame, random_noise = moves(redrawn(copy.deepcopy(model)), pairs, read)
    return _over(noise, frame), _over(random_noise, random_frame), _over(frame, random_frame)


def _over(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf


def moves(model: Composed, pairs: Pairs, read: Read) -> tuple[float, float]:
    """How far what is read moves with the frame and with the noise, over its spread."""
    return sensitivity(read, model, *(session_of(model, p).last.values for p in (pairs, pairs.others)))
