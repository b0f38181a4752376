"""Training data as arrays: every row of one or several datasets, encoded once, sampled in windows.

The image codec is frozen while the world model trains, so frames are encoded once and kept as float16 latents beside
the
dataset: training never waits for video decoding.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from presage.codecs.scalars import FARTHEST, ScalarCodec
from presage.episodes.cache import frame_cache, row_cache
from presage.episodes.dataset import Dataset
from presage.episodes.hub import download, hub_name
from presage.episodes.labels import add_labels
from presage.episodes.outcome import chunk_quality, episode_success, told_rows, valid_actions
from presage.errors import UserError
from presage.networks.names import ACTION, STATE, VALUE, VIDEO
from presage.networks.world_model import WorldModel
from presage.training.batch import Batch, cat_batches


@dataclass(frozen=True)
class Dreams:
    """The same rows as the model dreams them (training/dreams.py)."""

    latents: np.ndarray
    """(R, cameras, T, C) float16, a memory map"""
    known: np.ndarray
    """(R,) False where nothing was dreamed"""


@dataclass(frozen=True)
class Counterfactuals:
    """What would have come of M other chunks at some of the rows."""

    action: np.ndarray
    """(R, M, A) normalised"""
    value: np.ndarray
    """(R, M) after the chunk, had the expert then gone on undisturbed"""
    known: np.ndarray
    """(R,) rows at which they were tried"""


@dataclass
class Rows:
    """All R rows of a dataset, normalised by the model's codecs. Missing columns are masks, never zeros that count."""

    latents: np.ndarray
    """(R, cameras, T, C) float16, may be a memory map"""
    state: np.ndarray
    action: np.ndarray
    action_valid: np.ndarray
    quality: np.ndarray
    value: np.ndarray
    value_valid: np.ndarray
    """(R,) bool: whether and when the episode succeeds is known"""
    instruction: np.ndarray
    """(R,) index into `text`"""
    start: np.ndarray
    """(E,) first row of each episode"""
    length: np.ndarray
    """(E,)"""
    text: np.ndarray
    """(I, ...) the I different instructions, embedded by the model"""
    dreams: Dreams | None = None
    counterfactuals: Counterfactuals | None = None
    has: dict[str, np.ndarray] = field(default_factory=dict)
    """ACTION and STATE -> (C,) False for numbers of a shared vector that this robot has not; absent: it has all"""


def value_from_success(success: np.ndarray, start: np.ndarray, length: np.ndarray, discount: float) -> np.ndarray:
    """The value (R,) of every frame from `next.success` (R,): discount ** (model steps until the first success), 1 from
    then on, 0 when it never comes."""
    out = np.zeros(len(success), np.float32)
    for s, n in zip(start, length, strict=True):
        hits = np.flatnonzero(success[s : s + n])
        if len(hits):
            steps = hits[0] + 1 - np.arange(n)  # success *after* the chunk of row t belongs to frame t + 1
            out[s : s + n] = discount ** np.maximum(steps, 0)
    return out


def _outcome_known(dataset: Dataset, success: np.ndarray) -> np.ndarray:
    """(E,) whether it is known of each episode that it fails, or with which row (R,) it succeeds."""
    hit = [bool(success[e.rows].any()) for e in dataset.episodes]
    pairs = zip(episode_success(dataset), hit, strict=True)
    return np.array([outcome is not None and outcome is found for outcome, found in pairs], bool)


def has(dataset: Dataset, column: str) -> bool:
    return column in dataset.features


def check_fits(dataset: Dataset, cameras: Sequence[str], action: int) -> None:
    """Refuse a dataset of model steps without one of the cameras, or whose chunks are not of so many numbers."""
    missing = [c for c in cameras if c not in dataset.cameras]
    if missing:
        raise UserError(
            f"{dataset.root}: no camera {missing[0]!r}; it has {dataset.cameras}; train another recipe or record again"
        )
    if has(dataset, "action") and (numbers := int(np.prod(dataset.features["action"]["shape"]))) != action:
        raise UserError(f"{dataset.root}: 'action' has {numbers} numbers, the model takes chunks of {action}")


def load_rows(dataset: Dataset, model: WorldModel) -> Rows:
    """Encode a dataset with the model's codecs (cached beside the dataset)."""
    config = model.config
    check_fits(dataset, config.cameras, config.chunk * config.action_dim)
    frames = frame_cache(dataset, config.cameras, config.codec.size)
    rows = len(frames)

    def encode(part: slice) -> np.ndarray:
        images = torch.from_numpy(np.array(frames[part]))  # a copy: the map is read-only
        tokens = model.codec.encode(images.flatten(0, 1).to(model.device))
        return tokens.unflatten(0, images.shape[:2]).half().cpu().numpy()

    latents = row_cache(dataset, f"latents-{'-'.join(config.cameras)}", encode, key=codec_fingerprint(model))
    start = np.array([e.start for e in dataset.episodes])
    length = np.array([e.length for e in dataset.episodes])
    flat_action = config.chunk * config.action_dim
    if has(dataset, "action"):
        action = dataset.column("action").reshape(rows, -1)
        valid = valid_actions(dataset)
        action = np.where(valid[:, None], action, 0.0)  # what was not recorded is NaN, and NaN times a mask stays NaN
    else:
        action, valid = np.zeros((rows, flat_action), np.float32), np.zeros(rows, bool)
    success, told = told_rows(dataset)
    value, known = np.zeros(rows, np.float32), told
    if told.any():
        value = value_from_success(success, start, length, config.value_discount)
        known = told & np.repeat(_outcome_known(dataset, success), length)
    state = dataset.column("observation.state").reshape(rows, -1) if config.state_dim else np.zeros((rows, 0))
    if config.state_dim and not dataset.recorded("observation.state").all():
        raise UserError(
            f"{dataset.root}: some rows have no 'observation.state'; leave those episodes out or train without"
        )
    action = taught(model.action_codec, action, valid, f"{dataset.root}: 'action'")
    numbers = {ACTION: ~np.isnan(action[valid]).all(0)}
    if config.state_dim:
        state = taught(model.state_codec, state, np.ones(rows, bool), f"{dataset.root}: 'observation.state'")
        numbers[STATE] = ~np.isnan(state).all(0)
    instructions, said = np.unique([e.instruction for e in dataset.episodes], return_inverse=True)
    return Rows(
        latents,
        _fill(state.astype(np.float32)),
        _fill(action),
        valid.astype(bool),
        chunk_quality(dataset).astype(np.float32),
        value,
        known,
        np.repeat(said, length),
        start,
        length,
        model.embed_text(instructions.tolist()).cpu().numpy(),
        counterfactuals=_counterfactuals(dataset, model),
        has=numbers,
    )


def taught(codec: ScalarCodec, values: np.ndarray, counts: np.ndarray, what: str) -> np.ndarray:
    """Codes (R, D) as they are trained, none beyond `FARTHEST`; what was beyond is said.

    Raises:
        UserError: so much is beyond that it can be no recording error. The line begins with `what`.
    """
    codes = codec.encode(values)
    beyond = (np.abs(codes) > FARTHEST) & counts[:, None]
    worst = int(beyond.sum(0).argmax()) if beyond.size else 0
    if not beyond.any():
        return codes
    number, rows = int(beyond[:, worst].sum()), int(counts.sum())
    reach = float(np.abs(values[beyond[:, worst], worst]).max())
    if number > max(2, 0.01 * rows):
        raise UserError(
            f"{what}: number {worst} reaches {reach:g}, more than {FARTHEST:g} times what the model scales it by "
            f"({codec.scale[worst]:.3g}), in {number} of {rows} rows; are its units others? If not, train "
            "from the start"
        )
    print(f"{what}: number {worst} reaches {reach:g} in {number} of {rows} rows, trained as {FARTHEST:g} of its scale")
    return np.clip(codes, -FARTHEST, FARTHEST)


def _counterfactuals(dataset: Dataset, model: WorldModel) -> Counterfactuals | None:
    """The columns of `presage collect --counterfactuals`, if the dataset has them."""
    if not has(dataset, "counterfactual.action"):
        return None
    config = model.config
    steps = dataset.column("counterfactual.steps").reshape(dataset.num_rows, -1)
    action = dataset.column("counterfactual.action").reshape(*steps.shape, config.chunk * config.action_dim)
    return Counterfactuals(
        model.action_codec.encode(action),
        np.where(steps < 0, 0.0, config.value_discount ** (steps / config.chunk)).astype(np.float32),
        dataset.column("counterfactual.action.valid").reshape(-1).astype(bool),
    )


def _fill(codes: np.ndarray) -> np.ndarray:
    """Entries of a shared vector that this robot has not (NaN) become its middle, and are left out of the loss."""
    return np.where(np.isnan(codes), np.float32(0), codes)


def codec_fingerprint(model: WorldModel) -> str:
    """Hash of the codec, its size, its cameras and weights: latents of another codec must never be reused."""
    digest = hashlib.sha256(f"{model.config.cameras} {model.config.codec}".encode())
    for name, value in sorted(model.codec.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().float().numpy().tobytes())
    return digest.hexdigest()


def mixed_batch(
    parts: list[Rows], model: WorldModel, source: np.ndarray, index: np.ndarray, is_pad: np.ndarray
) -> Batch:
    """The batch of windows drawn by a `Mixture`: dataset (B,), rows of it (B, N), padding (B, N)."""
    batches = [
        make_batch(rows, model, index[source == i], ~is_pad[source == i])
        for i, rows in enumerate(parts)
        if (source == i).any()
    ]
    return batches[0] if len(batches) == 1 else cat_batches(batches)


def make_batch(rows: Rows, model: WorldModel, index: np.ndarray, frame_valid: np.ndarray) -> Batch:
    """The batch of the rows `index` (B, N)."""
    values = frames_of(rows.latents, rows.state, model, index)
    dreamed, known = {}, np.zeros(index.shape, bool)
    if rows.dreams is not None:
        dreamed, known = videos_of(rows.dreams.latents, model, index), np.asarray(rows.dreams.known[index])
    values[ACTION] = torch.from_numpy(rows.action[index])[:, :, None]
    values[VALUE] = torch.from_numpy(rows.value[index])[:, :, None, None]
    present = {ACTION: rows.action_valid[index] & frame_valid, VALUE: rows.value_valid[index] & frame_valid}
    return Batch(
        values,
        torch.from_numpy(rows.text[rows.instruction[index[:, 0]]]),
        torch.from_numpy(frame_valid),
        {name: torch.from_numpy(there) for name, there in present.items()},
        torch.from_numpy(rows.quality[index]),
        dreamed,
        torch.from_numpy(known),
        {name: torch.from_numpy(has).expand(len(index), 1, 1, -1) for name, has in rows.has.items()},
    )


def frames_of(latents: np.ndarray, state: np.ndarray, model: WorldModel, index: np.ndarray) -> dict[str, torch.Tensor]:
    """What the rows `index` (B, N) show."""
    values = videos_of(latents, model, index)
    if model.config.state_dim:
        values[STATE] = torch.from_numpy(state[index])[:, :, None]
    return values


def videos_of(latents: np.ndarray, model: WorldModel, index: np.ndarray) -> dict[str, torch.Tensor]:
    """Camera by camera what the rows `index` (B, N) show."""
    picked = np.asarray(latents[index.reshape(-1)], np.float32).reshape(*index.shape, *latents.shape[1:])
    cameras = model.config.cameras
    return {f"{VIDEO}.{c}": torch.from_numpy(np.ascontiguousarray(picked[:, :, i])) for i, c in enumerate(cameras)}


def open_dataset(path: Path, episodes: Sequence[int] | None = None, labels: Sequence[Path] | None = ()) -> Dataset:
    """Open a dataset: a folder, or `user/name` on the hub where there is no such folder.

    episodes: numbers of the episodes to read, all by default. labels: files of outcomes that people told
    (`episodes/labels.py`), of which those of this dataset count; that beside the dataset by default; None: no label
    counts.

    Raises:
        UserError: there is none, or the labels are damaged or of another dataset.
    """
    dataset = _open(Path(path), episodes)
    if labels is not None:
        add_labels(dataset, labels)
    return dataset


def _open(path: Path, episodes: Sequence[int] | None) -> Dataset:
    if not path.exists() and (repository := hub_name(path)) is not None:
        return Dataset(download(repository, episodes), episodes)
    if not path.exists():
        raise UserError(f"dataset {path} does not exist: collect one with `presage collect --out {path}`")
    return Dataset(path, episodes)
