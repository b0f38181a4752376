"""Corruptions: how a clean value becomes noise, what a network's output says of the clean value, and the way back.

Level 0 is clean, level 1 holds nothing of the value. Levels are (...) and broadcast against values (..., T, C).
A corruption is stateless, so a stream can name one as a value.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Corruption(Protocol):
    @property
    def one_pass(self) -> bool:
        """Answered at once from a learned query: it has no levels in between."""
        ...

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """What a network is shown of clean values `x` (..., T, C) at `level` (...), with standard normal `noise`."""
        ...

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        """The clean value that a network's output `raw` stands for, where it was shown `x_k` at `level`."""
        ...

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        """One step from `level` to a lower level `to`, given the clean value that is predicted."""
        ...

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Error of each number (..., T, C), weighted as the process wants it."""
        ...


def _wide(level: Tensor) -> Tensor:
    return level[..., None, None]


@dataclass(frozen=True)
class Flow:
    """Gaussian flow matching: `x_k = (1 - k) x + k noise`, undone by Euler steps (Lipman et al. 2023)."""

    predict: Literal["clean", "velocity"] = "clean"
    beta: float = 0.0
    """Errors of the clean value beyond it count by their size and not by their square; 0: all by their square. A
    squared error cares for large motions, and the small ones decide whether a gripper closes in the right place (Zhao
    et al. 2023, ACT)."""
    floor: float = 0.5
    """Below this level the weight of the clean value's error stays constant: the last, easiest levels would take most
    of the gradient otherwise."""
    limit: float = math.inf
    """No clean value is further from 0. Predictions that are changes of imagined values could grow without bound."""
    one_pass = False

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        k = _wide(level)
        return (1 - k) * x + k * noise

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        return raw if self.predict == "clean" else x_k - _wide(level) * raw

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        clean = clean.clamp(-self.limit, self.limit)
        return clean + _wide(to / level) * (x_k - clean)

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """`v = (x_k - x) / k`, so errors of clean value and velocity differ by 1/k^2 (Li & He 2025, section 3)."""
        if self.predict == "velocity":
            return (raw - (noise - x)).square()
        weight = 1 / level.clamp(min=self.floor)
        if self.beta:
            return F.smooth_l1_loss(raw, x, beta=self.beta, reduction="none") * _wide(weight)
        return (raw - x).square() * _wide(weight.square())


@dataclass(frozen=True)
class DDPM:
    """Variance preserving diffusion in `steps` steps of a cosine schedule (Nichol & Dhariwal 2021), walked by DDIM
    (Song et al. 2021): as many or as few steps as the schedule of levels has."""

    steps: int = 100
    predict: Literal["noise", "clean", "velocity"] = "noise"
    limit: float = 6.0
    one_pass = False

    def _signal(self, level: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of signal and noise at a level: their squares add to 1."""
        t = (level * self.steps).round() / self.steps
        signal = torch.cos((t + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)
        signal = signal.clamp(1e-4, 1.0)
        return _wide(signal), _wide((1 - signal.square()).sqrt())

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        signal, spread = self._signal(level)
        return signal * x + spread * noise

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        signal, spread = self._signal(level)
        if self.predict == "noise":
            return (x_k - spread * raw) / signal
        return signal * x_k - spread * raw if self.predict == "velocity" else raw

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        clean = clean.clamp(-self.limit, self.limit)
        signal, spread = self._signal(level)
        signal_to, spread_to = self._signal(to)
        return signal_to * clean + spread_to * (x_k - signal * clean) / spread.clamp(min=1e-4)

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        signal, spread = self._signal(level)
        target = {"noise": noise, "clean": x, "velocity": signal * noise - spread * x}[self.predict]
        return (raw - target).square()


@dataclass(frozen=True)
class EDM:
    """Variance exploding diffusion with the preconditioning of Karras et al. (2022, table 1), for values of unit
    variance. The network is shown values that are scaled to unit variance."""

    low: float = 0.02
    high: float = 80.0
    limit: float = 6.0
    one_pass = False

    def _sigma(self, level: Tensor) -> Tensor:
        sigma = self.low * (self.high / self.low) ** level
        return _wide(torch.where(level > 0, sigma, 0.0))

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        sigma = self._sigma(level)
        return (x + sigma * noise) / (1 + sigma.square()).sqrt()

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        sigma = self._sigma(level)
        size = (1 + sigma.square()).sqrt()
        return x_k / size + sigma / size * raw

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        clean = clean.clamp(-self.limit, self.limit)
        sigma, sigma_to = self._sigma(level), self._sigma(to)
        x = x_k * (1 + sigma.square()).sqrt()
        return (clean + sigma_to / sigma.clamp(min=self.low) * (x - clean)) / (1 + sigma_to.square()).sqrt()

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Of the network's own target: the weight that the paper gives the clean value's error is then 1."""
        sigma = self._sigma(level)
        size = (1 + sigma.square()).sqrt()
        return (raw - (x - x_k / size) * size / sigma.clamp(min=self.low)).square()


@dataclass(frozen=True)
class MaskReplace:
    """Discrete tokens, as one-hot values (..., T, vocabulary); a masked token is all zeros. The surest predictions are
    shown first (Chang et al. 2022, MaskGIT)."""

    one_pass = False

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        uniform = torch.special.ndtr(noise[..., :1])  # of standard normal noise
        return torch.where(uniform < _wide(level), 0.0, x)

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        shown = x_k.sum(-1, keepdim=True) > 0.5
        return torch.where(shown, x_k, raw.softmax(-1))

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        shown = x_k.sum(-1) > 0.5
        sure = torch.where(shown, 2.0, clean.amax(-1))
        hidden = (to[..., None] * x_k.shape[-2]).round().long()
        rank = sure.argsort(-1, descending=True).argsort(-1)
        keep = (rank < x_k.shape[-2] - hidden)[..., None]
        return torch.where(keep, F.one_hot(clean.argmax(-1), clean.shape[-1]).to(clean), 0.0)

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Cross-entropy of masked tokens, the same for every number of a token; shown ones cost nothing."""
        masked = (x_k.sum(-1, keepdim=True) < 0.5).to(raw)
        return (-(x * raw.log_softmax(-1)).sum(-1, keepdim=True) * masked).expand_as(raw)


@dataclass(frozen=True)
class Regress:
    """Predicted in one pass from a learned query."""

    loss: Literal["l1", "l2", "smooth", "cross-entropy"] = "l2"
    beta: float = 0.1
    """Where "smooth" turns from squares to sizes."""
    limit: float = math.inf
    one_pass = True

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        return torch.where(_wide(level) < 1, x, 0.0)

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        return raw.softmax(-1) if self.loss == "cross-entropy" else raw

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        return clean.clamp(-self.limit, self.limit)

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        if self.loss == "cross-entropy":
            return -(x * raw.log_softmax(-1)).sum(-1, keepdim=True).expand_as(raw)
        if self.loss == "smooth":
            return F.smooth_l1_loss(raw, x, beta=self.beta, reduction="none")
        return (raw - x).abs() if self.loss == "l1" else (raw - x).square()


@dataclass(frozen=True)
class Given:
    """Always told, never asked for."""

    one_pass = False

    def corrupt(self, x: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        return x

    def clean(self, raw: Tensor, x_k: Tensor, level: Tensor) -> Tensor:
        return x_k

    def step(self, x_k: Tensor, clean: Tensor, level: Tensor, to: Tensor) -> Tensor:
        return x_k

    def error(self, raw: Tensor, x: Tensor, x_k: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        return torch.zeros_like(x)
