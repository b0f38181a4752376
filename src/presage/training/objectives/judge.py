"""Judge: how near to success is what a picture shows? Taught by recorded outcomes of people, experts, play and misses.

The target is `discount ** rows until success`, 0 where none comes: what was asked for and did not happen is the harder
half. Pictures are shaken, blurred and made noisy as dreams are, so that sharpness alone says nothing.

Shapes: B windows, V cameras, S pixels a side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from presage.device import autocast
from presage.networks.composed import IMAGE, Composed
from presage.networks.judge import Judge, side_by_side
from presage.training.batch import Batch, Term, Terms
from presage.training.recorded import Recorded


@dataclass(frozen=True)
class JudgeSuccess:
    """One term of the last row of each window. Needs a stage with `raw`."""

    part: str = "judge"
    discount: float = 0.9
    shift: int = 2
    """Pixels that pictures are moved at most, all cameras alike"""
    blurred: float = 0.3
    """Share of batches that are blurred"""
    noise: float = 0.05
    """Of pictures between -1 and 1, at most"""

    def __call__(self, model: Composed, batch: Batch, generator: torch.Generator) -> Terms:
        judge = model.parts[self.part]
        assert isinstance(judge, Judge)  # whoever names this objective has chosen it
        assert batch.to_success is not None  # recorded data always bring it
        left, there = batch.to_success[:, -1], batch.exists[:, -1]
        pictures = torch.stack([batch.pictures[IMAGE + c][:, -1] for c in model.cameras], 1)
        x = self._spoiled(side_by_side(pictures), generator)
        known = there & ~left.isnan()
        judge.taught += known.any()
        target = torch.where(known, self.discount ** left.nan_to_num(0.0), 0.0)
        with autocast(x.device):
            said = judge.says(x, batch.text)
        error = F.binary_cross_entropy_with_logits(said.float(), target, reduction="none")
        return {"judge": Term(error[:, None], known[:, None].float())}

    def _spoiled(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Pictures (B, 3 * V, S, S) as a dream might show them."""
        b, size = len(x), x.shape[-1]
        padded = F.pad(x, [self.shift] * 4, mode="replicate")
        dx, dy = torch.randint(2 * self.shift + 1, (2, b), generator=generator).tolist()
        x = torch.stack([p[:, j : j + size, i : i + size] for p, i, j in zip(padded, dx, dy)])
        if float(torch.rand(1, generator=generator)) < self.blurred:
            kernel = torch.tensor([0.25, 0.5, 0.25], device=x.device)
            for shape in ((1, 1, 3, 1), (1, 1, 1, 3)):
                weight = kernel.view(shape).expand(x.shape[1], 1, *shape[2:])
                x = F.conv2d(x, weight, padding=(shape[2] // 2, shape[3] // 2), groups=x.shape[1])
        level = torch.rand(b, 1, 1, 1, generator=generator) * self.noise
        noise = torch.randn(x.shape, generator=generator) * level
        return (x + noise.to(x.device)).clamp(-1, 1)


def told(kind: str) -> Callable[[Composed, Mapping[str, Recorded]], Recorded]:
    """Data for a stage: a kind whose episodes of play, which nobody asked for, are told what others of their task
    were."""

    def make(model: Composed, data: Mapping[str, Recorded]) -> Recorded:
        recorded = data[kind]
        silent = (recorded.text == 0).all(axis=1).tolist()
        number = recorded.instruction[recorded.start]
        said: dict[str, list[int]] = {}
        for task, i in zip(recorded.task, number, strict=True):
            if not silent[i]:
                said.setdefault(task, []).append(int(i))
        rng = np.random.default_rng(0)
        chosen = [
            int(rng.choice(said[task])) if silent[i] and task in said else int(i)
            for task, i in zip(recorded.task, number, strict=True)
        ]
        return replace(recorded, instruction=np.repeat(chosen, recorded.length))

    return make
