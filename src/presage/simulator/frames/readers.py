"""Readers: where the hand and the object of a task are in one image, and whether there is one object.

A small network reads each image by itself, real or imagined, so what one camera shows cannot mend what another lacks.
Places come from heat maps (Sun et al. 2018, Integral human pose regression). It is trained on real frames with objects
at random places (`fit_readers.py`).

Shapes: B images of S = 64 pixels, C cameras, K tasks, M = S / 2 cells a side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from presage.errors import UserError
from presage.simulator.frames.placed import CAMERAS, SIZE
from presage.worlds import MT10

SHIPPED = Path(__file__).parent / "readers.safetensors"
PUSHT = Path(__file__).parent / "readers_pusht.safetensors"
CELL = 2
"""Pixels of a cell of a heat map"""
AROUND = 2
"""Cells on each side of the peak that a place is averaged over: what is elsewhere does not pull at it"""
BATCH = 256
NONE, ONE, MORE = range(3)
"""How many objects an image shows"""


class Block(nn.Module):
    """A change of its input, none at first: so it needs no normalisation, which would cost more than it computes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        nn.init.normal_(self.down.weight, std=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(F.relu(x))))


class Reader(nn.Module):
    """Images and their camera -> heat maps of hand and objects, and logits of none, one or more objects.

    Args:
        tasks: names of what it knows the object of.
        turns: there is a second map of every object, of a point that tells how it is turned: that of task k is k + K.
    """

    def __init__(
        self, tasks: Sequence[str] = MT10, cameras: Sequence[str] = CAMERAS, width: int = 24, turns: bool = False
    ) -> None:
        super().__init__()
        self.tasks, self.cameras, self.turns = tuple(tasks), tuple(cameras), turns
        points = len(tasks) * (2 if turns else 1)
        self.first = nn.Conv2d(3 + len(cameras), width, 4, stride=2, padding=1)
        self.fine = nn.Sequential(Block(width), Block(width))
        self.second = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.middle = nn.Sequential(Block(2 * width), Block(2 * width))
        self.third = nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1)
        self.coarse = nn.Sequential(Block(2 * width), Block(2 * width))
        self.rise = nn.Conv2d(2 * width, 2 * width, 1)
        self.back = nn.Conv2d(2 * width, width, 1)
        self.end = nn.Sequential(Block(width), nn.ReLU())
        self.maps = nn.Conv2d(width, 1 + points, 1)
        self.evidence = nn.Conv2d(width, 2 * points, 1)
        self.count = nn.Parameter(torch.full((points, 2), -7.0))  # evidence is summed over a thousand cells

    def forward(self, images: Tensor, cameras: Tensor, tasks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images (B, S, S, 3) in [0, 255], cameras (B,), tasks (B,) -> logits of the hand's cell and of the object's
        (B, M, M) each, and of the number of objects (B, 3)."""
        x = images.permute(0, 3, 1, 2) / 127.5 - 1
        told = F.one_hot(cameras, len(self.cameras)).to(x.dtype)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        fine = self.fine(self.first(torch.cat([x, told], 1)))
        middle = self.middle(self.second(fine))
        coarse = self.coarse(self.third(middle))
        middle = middle + F.interpolate(self.rise(coarse), scale_factor=2.0)
        x = self.end(fine + F.interpolate(self.back(middle), scale_factor=2.0))
        rows = torch.arange(len(tasks), device=x.device)
        maps = self.maps(x)
        evidence = self.evidence(x).unflatten(1, (-1, 2))[rows, tasks]
        one, two = (self.count[tasks] + evidence.flatten(2).logsumexp(-1)).unbind(1)
        # Ordered: a twin is evidence for one object as well.
        return maps[:, 0], maps[rows, 1 + tasks], torch.stack([torch.zeros_like(one), one, one + two], -1)


def place(logits: Tensor) -> Tensor:
    """Cells (B, M, M) -> pixels (B, 2), column and row: the mean over the cells about the peak."""
    b, _, m = logits.shape
    peak = logits.flatten(1).argmax(1)
    cells = torch.arange(m, device=logits.device)
    near_row = (cells - (peak // m)[:, None]).abs() <= AROUND
    near_column = (cells - (peak % m)[:, None]).abs() <= AROUND
    near = near_row[:, :, None] & near_column[:, None, :]
    share = logits.masked_fill(~near, -torch.inf).flatten(1).softmax(1).view(b, m, m)
    centre = (cells + 0.5) * CELL
    return torch.stack([(share.sum(1) * centre).sum(1), (share.sum(2) * centre).sum(1)], 1)


@dataclass(frozen=True)
class Reading:
    """What N images of each of C cameras show. Pixels are (column, row)."""

    hand: np.ndarray  # (N, C, 2)
    object: np.ndarray  # (N, C, 2)
    count: np.ndarray  # (N, C) NONE, ONE or MORE objects
    end: np.ndarray | None = None  # (N, C, 2) a second point of the object, where it tells how that is turned


def pusht_reader() -> Reader:
    """Of the agent, the block's centre of gravity and the end of its stem."""
    return Reader(("pusht",), ("top",), width=16, turns=True)


def reader_of(world: str) -> Reader:
    """The reader that ships for a world which there are scenes of."""
    return load_reader(PUSHT, pusht_reader()) if world == "pusht" else load_reader()


def load_reader(file: Path = SHIPPED, reader: Reader | None = None) -> Reader:
    """reader: of the file's sizes.

    Raises:
        UserError: the file is missing or no reader's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    reader = Reader() if reader is None else reader
    try:
        reader.load_state_dict({name: x.float() for name, x in load_file(file).items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UserError(f"{file} holds no reader ({str(error).splitlines()[0]}); type: presage bench readers") from None
    return reader.eval()


@torch.inference_mode()
def read(reader: Reader, frames: np.ndarray, tasks: Sequence[str]) -> Reading:
    """Read frames (N, C, S, S, 3) uint8 of the reader's cameras, one task each.

    Raises:
        UserError: frames of another size, or a task that no reader knows.
    """
    cameras, known = reader.cameras, reader.tasks
    if frames.shape[1:] != (len(cameras), SIZE, SIZE, 3):
        raise UserError(f"frames are {frames.shape[1:]}: readers know {len(cameras)} cameras of {SIZE} pixels")
    unknown = sorted(set(tasks) - set(known))
    if unknown:
        raise UserError(f"no reader knows the object of {', '.join(unknown)}; choose from {', '.join(known)}")
    number = torch.tensor([known.index(task) for task in tasks])
    hand, thing, count = _read(reader, frames, number)
    return Reading(hand, thing, count, _read(reader, frames, number + len(known))[1] if reader.turns else None)


def _read(reader: Reader, frames: np.ndarray, number: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hand and object (N, C, 2) in pixels, and count (N, C)."""
    found: list[list[Tensor]] = []
    for camera in range(len(reader.cameras)):
        images = torch.from_numpy(np.ascontiguousarray(frames[:, camera]))
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for chosen in torch.arange(len(images)).split(BATCH):
            hand, thing, count = reader(images[chosen].float(), torch.full_like(chosen, camera), number[chosen])
            parts.append((place(hand), place(thing), count.argmax(-1)))
        found.append([torch.cat(each) for each in zip(*parts, strict=True)])
    hand, thing, count = (torch.stack(each, 1).numpy() for each in zip(*found, strict=True))
    return hand, thing, count
