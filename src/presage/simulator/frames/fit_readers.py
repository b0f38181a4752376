"""Fit the readers of poses, and tell how far off they are on frames that they never saw.

Shapes: B images of S = 64 pixels, M cells a side.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.windows import Windows
from presage.simulator.frames.placed import EMPTY, FULL, OTHER, SEEN, SIZE, Placed, placed
from presage.simulator.frames.readers import CELL, MORE, NONE, ONE, Reader, read
from presage.training.batch import Term, Terms
from presage.training.checkpoint import write_weights
from presage.training.fingerprint import entry
from presage.training.loop import optimise
from presage.training.part import PartTraining
from presage.worlds.seeds import FIRST_READER_SEED

APART = 5.0
"""Pixels between two objects from which on they are two"""
FADED, WHOLE = 0.35, 0.6
"""Opacity below which an object is gone, and above which it is there"""
UNKNOWN = -1
KINDS = {"whole": 0.47, "faded": 0.2, "ghost": 0.08, "twins": 0.15, "empty": 0.1}
"""What is made of the three pictures of a moment -> its share."""


@dataclass(frozen=True)
class Examples:
    """Images with what they show: tensors of B images."""

    images: Tensor  # (B, S, S, 3) float in [0, 255]
    camera: Tensor  # (B,)
    task: Tensor  # (B,)
    hand: Tensor  # (B, 2) pixels
    object: Tensor  # (B, 2) pixels; means nothing where not exactly one object is shown
    count: Tensor  # (B,) NONE, ONE, MORE or UNKNOWN


def examples(data: Placed, rows: np.ndarray, generator: np.random.Generator) -> Examples:
    """One image of each of the moments `rows` (B,), of any camera, made into something that a dream might show."""
    b = len(rows)
    camera = generator.integers(data.images.shape[2], size=b)
    picture = data.images[rows, :, camera].astype(np.float32)
    seen = data.masks[rows, :, camera].sum((-2, -1))
    where = data.objects[rows, :, camera]
    kind = generator.choice(list(KINDS), size=b, p=list(KINDS.values()))
    opaque = np.where(kind == "whole", 1.0, generator.random(b))
    opaque[kind == "empty"] = 0.0
    # Of a ghost the rest is at the other place; of what fades the rest is nothing.
    rest = np.where((kind == "ghost")[:, None, None, None], picture[:, OTHER], picture[:, EMPTY])
    share = opaque[:, None, None, None].astype(np.float32)
    images = share * picture[:, FULL] + (1 - share) * rest
    twin = (kind == "twins")[:, None, None, None] & data.masks[rows, 1, camera][..., None]
    images = np.where(
        twin, picture[:, OTHER], np.where((kind == "twins")[:, None, None, None], picture[:, FULL], images)
    )
    count, second = _count(kind, opaque, seen, np.linalg.norm(where[:, 0] - where[:, 1], axis=1))
    place = np.where(second[:, None], where[:, 1], where[:, 0])
    return Examples(
        torch.from_numpy(images),
        torch.from_numpy(camera),
        torch.from_numpy(data.task[rows]),
        torch.from_numpy(data.hands[rows, camera]),
        torch.from_numpy(place),
        torch.from_numpy(count),
    )


def _count(kind: np.ndarray, opaque: np.ndarray, seen: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many objects the images show (B,), and whether it is the one at the second place (B,)."""
    count = np.full(len(kind), UNKNOWN)
    there, both = seen[:, 0] >= SEEN, (seen >= SEEN).all(1) & (apart > APART)
    single = (kind == "whole") | (kind == "faded")
    count[single & there & (opaque > WHOLE)] = ONE
    count[(kind == "empty") | (single & ((seen[:, 0] == 0) | (opaque < FADED)))] = NONE
    ghost = kind == "ghost"
    second = ghost & (opaque < 1 - WHOLE - 0.15) & (seen[:, 1] >= SEEN)
    count[ghost & there & (opaque > WHOLE + 0.15)] = ONE
    count[second] = ONE
    halves = ghost & (np.abs(opaque - 0.5) < 0.1)
    count[both & ((kind == "twins") | halves)] = MORE
    return count, second


def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """What dreams and codecs do to pictures: blur, noise and another brightness, each to some."""
    b = len(images)
    sigma = 0.3 + 0.9 * torch.rand(b, generator=generator)
    taps = torch.arange(-3, 4)
    kernel = torch.exp(-(taps**2) / (2 * sigma[:, None] ** 2))
    kernel = kernel / kernel.sum(1, keepdim=True)
    x = F.pad(images.permute(3, 0, 1, 2), (3, 3, 3, 3), "replicate")  # colours, then images: each with its own kernel
    blurred = F.conv2d(F.conv2d(x, kernel.view(b, 1, 1, 7), groups=b), kernel.view(b, 1, 7, 1), groups=b)
    blurred = blurred.permute(1, 2, 3, 0)
    chosen = torch.rand(b, 1, 1, 1, generator=generator) < 0.5
    out = torch.where(chosen, blurred, images)
    noise = 8 * torch.rand(b, 1, 1, 1, generator=generator) * (torch.rand(b, 1, 1, 1, generator=generator) < 0.5)
    light = 1 + 0.05 * torch.randn(b, 1, 1, 1, generator=generator)
    return (out * light + noise * torch.randn(images.shape, generator=generator)).clamp(0, 255)


def cells(pixels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Pixels (B, 2) -> shares (B, side, side) of the four cells about each, whose mean is that place, and whether the
    place is in the image (B,)."""
    at = pixels / CELL - 0.5
    inside = ((at > 0) & (at < side - 1)).all(1)
    near = (1 - (torch.arange(side) - at.clamp(0, side - 1)[..., None]).abs()).clamp(min=0)
    return near[:, 1, :, None] * near[:, 0, None, :], inside


def loss(reader: Reader, shown: Examples) -> Terms:
    """Cross entropies of the cells of hand and object, and of the number of objects."""
    hand, thing, count = reader(shown.images, shown.camera, shown.task)
    terms: Terms = {}
    for name, logits, pixels in (("hand", hand, shown.hand), ("object", thing, shown.object)):
        target, inside = cells(pixels, logits.shape[-1])
        error = -(target * logits.float().flatten(1).log_softmax(1).view_as(target)).sum((1, 2))
        known = inside if name == "hand" else inside & (shown.count == ONE)
        terms[name] = Term(error, known.float())
    error = F.cross_entropy(count.float(), shown.count.clamp(min=0), reduction="none")
    terms["count"] = Term(error, (shown.count != UNKNOWN).float())
    return terms


def fit(
    data: Placed, out: Path, training: PartTraining, quiet: bool = False, fresh: Callable[[], Reader] = Reader
) -> Reader:
    """Train a reader; resumes from `out`."""
    torch.manual_seed(training.seed)
    reader = fresh()
    mixture = Mixture([Windows([len(data)], 1, seed=training.seed)], [1.0], training.seed)

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        seed = int(torch.randint(2**31, (1,), generator=generator))
        shown = examples(data, drawn[1][:, 0], np.random.default_rng(seed))
        spoiled = spoil(shown.images, generator)
        return loss(reader, Examples(spoiled, shown.camera, shown.task, shown.hand, shown.object, shown.count))

    made = {"frames": entry("frames", f"{len(data)} moments, mujoco {version('mujoco')}")}
    optimise(reader, objective, mixture, {"*": 1.0}, training, out, made, "train readers", quiet)
    return reader


def errors(reader: Reader, data: Placed) -> dict[str, float]:
    """On moments as they are: median and 90th percentile of the distance in pixels, of the hand and, where it is
    visible, of the object; and the shares of images in which a visible object is called gone, one that is not there is
    called there, and one of two is missed."""
    tasks = [reader.tasks[i % len(reader.tasks)] for i in data.task]
    whole, empty = (read(reader, data.images[:, kind], tasks) for kind in (FULL, EMPTY))
    twins = np.where(data.masks[:, 1, ..., None], data.images[:, OTHER], data.images[:, FULL])
    two = read(reader, twins, tasks)
    visible: np.ndarray = np.sum(data.masks, axis=(-2, -1)) >= SEEN
    inside: np.ndarray = np.all((data.objects > CELL) & (data.objects < SIZE - CELL), axis=-1)
    shown = visible[:, 0] & inside[:, 0]
    both = visible.all(1) & inside.all(1) & (np.linalg.norm(data.objects[:, 0] - data.objects[:, 1], axis=-1) > APART)
    hands = ((data.hands > CELL) & (data.hands < SIZE - CELL)).all(-1)
    hand = np.linalg.norm(whole.hand - data.hands, axis=-1)[hands]
    if whole.end is not None:
        ends = data.task >= len(reader.tasks)
        whole = replace(whole, object=np.where(ends[:, None, None], whole.end, whole.object))
    thing = np.linalg.norm(whole.object - data.objects[:, 0], axis=-1)
    figures = {"hand_px": np.median(hand), "hand_px_p90": np.quantile(hand, 0.9)}
    figures |= {"object_px": np.median(thing[shown]), "object_px_p90": np.quantile(thing[shown], 0.9)}
    figures["called_gone"] = (whole.count[shown] == NONE).mean()
    figures["called_there"] = (empty.count != NONE).mean()
    figures["twins_missed"] = (two.count[both] != MORE).mean()
    figures["called_twins"] = (whole.count[shown] == MORE).mean()
    named = [*reader.tasks, *(f"{task}, turned" for task in reader.tasks if reader.turns)]
    for number, task in enumerate(named):
        mine = shown & (data.task == number)[:, None]
        if mine.any():
            figures[f"object_px/{task}"] = np.median(thing[mine])
    return {name: float(value) for name, value in figures.items()}


def make(
    folder: Path,
    file: Path,
    training: PartTraining,
    seeds: int,
    workers: int = 2,
    fresh: Callable[[], Reader] = Reader,
) -> Reader:
    """Record frames, train, and write the readers to `file`, in half precision. What is done lies in `folder`."""
    data = placed(fresh().tasks, FIRST_READER_SEED, seeds, folder, workers)
    fitted = fit(data, folder / "training", training, fresh=fresh)
    weights = {name: x.detach().half().contiguous() for name, x in fitted.state_dict().items()}
    write_weights(weights, file)
    return fitted
