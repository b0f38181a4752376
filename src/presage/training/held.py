"""Recorded rows as tensors, where the model computes: batches are picked there, and hardly anything is sent.

Pictures stay uint8. Scaled actions and states, embedded words and weights of colours are made once. On a card that has
room the pictures lie on the card, and what crosses to it each step is the numbers of the rows; else they stay where
they were recorded.

Shapes: R rows, B windows, N rows of a window, S pixels a side, T tokens of a stream, C numbers a token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from presage.codecs.scalars import FARTHEST
from presage.device import sent
from presage.episodes.mixture import Drawn
from presage.networks.composed import ACTION, IMAGE, STATE, Composed
from presage.timeline.streams import Values
from presage.training.batch import Batch, cat_batches
from presage.training.pictures import Seen
from presage.training.recorded import Recorded, by_token, colours, moving

ROOM = 0.5
"""Share of a card's free memory that pictures may take"""


@dataclass(frozen=True, eq=False)
class Held:
    """`Recorded` as a model reads it; all but `seen` are on the model's device."""

    seen: Mapping[str, Tensor | Seen]
    """`image.<camera>` -> (R, S, S, 3) uint8, and streams whose latents are known -> (R, T, C) float16: tensors on the
    model's card, or what was recorded"""
    latents: frozenset[str]
    """Names in `seen` that are streams"""
    codes: Mapping[str, Tensor]
    """ACTION and STATE -> (R, ...) as the model scales them, none beyond `FARTHEST`"""
    labelled: Tensor
    quality: Tensor
    left: Tensor
    instruction: Tensor
    """(R,) each"""
    text: Tensor
    """(I, ...) as the model is told it"""
    rare: Mapping[str, Tensor]
    """`image.<camera>` -> (COLOURS,)"""

    def rows(self, name: str, index: Tensor) -> Tensor:
        """What is seen at rows (M,), on the device of `index`: picked where it lies."""
        seen = self.seen[name]
        if isinstance(seen, Tensor):
            return seen.index_select(0, index)  # ten times as fast as seen[index]
        return sent(torch.from_numpy(seen[index.cpu().numpy()]), index.device)


def held(model: Composed, recorded: Recorded) -> Held:
    """`recorded` on the model's device, its pictures too where they fit."""
    device = model.device
    arrays = {**recorded.frames, **recorded.latents}
    there = fits(device, sum(x.nbytes for x in arrays.values()))

    def here(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device)

    sources, codes = {s.source for s in model.streams}, {}
    if ACTION in sources:
        codes[ACTION] = model.encode_action(recorded.action).clamp(-FARTHEST, FARTHEST)
    if STATE in sources:
        codes[STATE] = here(model.shape.state_codec.encode(recorded.state)).float().clamp(-FARTHEST, FARTHEST)
    return Held(
        {name: here(x[:]) for name, x in arrays.items()} if there else arrays,
        frozenset(recorded.latents),
        codes,
        here(recorded.labelled),
        here(recorded.quality),
        here(recorded.left).float(),
        here(recorded.instruction),
        model.condition(here(recorded.text)).text,
        {name: here(x) for name, x in recorded.rare.items()},
    )


def fits(device: torch.device, size: int) -> bool:
    """Whether so many bytes of pictures may lie on a device."""
    return device.type == "cuda" and size < ROOM * torch.cuda.mem_get_info(device)[0]


def pick(model: Composed, parts: Sequence[Held], drawn: Drawn, pictures: bool = False) -> Batch:
    """The batch of windows drawn by a `Mixture` of `parts`, on the model's device. Windows come grouped by part.

    pictures: as they are, in place of the cameras' values.
    """
    source, index, is_pad = drawn
    mine = [(part, index[source == i], is_pad[source == i]) for i, part in enumerate(parts) if (source == i).any()]
    batches = [_batch(model, *each, pictures) for each in mine]
    return batches[0] if len(batches) == 1 else cat_batches(batches)


def _batch(model: Composed, part: Held, index_BN: np.ndarray, is_pad_BN: np.ndarray, pictures: bool) -> Batch:
    (b, n), device = index_BN.shape, model.device
    index = sent(torch.from_numpy(np.ascontiguousarray(index_BN)), device)
    exists = sent(torch.from_numpy(~is_pad_BN), device)
    rows = index.flatten()
    labelled = part.labelled[index] & exists
    cameras = {s.source for s in model.streams if s.source.startswith(IMAGE) and s.name not in part.latents}
    seen = {} if pictures else {name: part.rows(name, rows) for name in part.seen if name in cameras}
    values: Values = {}
    present: dict[str, Tensor] = {}
    for s in model.streams:
        if s.name in part.latents:
            x = part.rows(s.name, rows).float()
        elif s.source in seen:
            x = model.codec(s.source).encode(seen[s.source])
        elif s.source in part.codes:
            x, present[s.name] = part.codes[s.source][rows], labelled
        else:
            continue
        values[s.name] = x.reshape(b, n, s.tokens, s.dim)
    emphasis = {}
    for s in (s for s in model.streams if s.source in part.rare and s.source in seen):
        weight = part.rare[s.source][colours(seen[s.source])]
        weight = moving(weight.unflatten(0, (b, n)), seen[s.source].unflatten(0, (b, n))).flatten(0, 1)
        emphasis[s.name] = by_token(weight, s.tokens, s.dim).view(b, n, s.tokens, s.dim)
    sources = [name for name in part.seen if name not in part.latents] if pictures else []
    shown = {name: part.rows(name, rows).unflatten(0, (b, n)) for name in sources}
    text, quality, left = part.text[part.instruction[index[:, 0]]], part.quality[index], part.left[index]
    return Batch(values, text, exists, present, quality, emphasis=emphasis, pictures=shown, to_success=left)
