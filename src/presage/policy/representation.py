"""Representation: read the video model's hidden states and decode the action from them.

The model is shown the real past and asked for the next frame from pure noise; after one pass through its first layers
the hidden states of that frame say what is about to happen, and a small head reads the action from them (Hu et al.
2024, VPP, section 4.1). The model stays frozen. The control is the same head, trained alike, on a network of random
weights.

What else a frame can be read by, the codec's values or a reader's token, is read by an equal head: the same attention,
queries and MLP, behind one linear layer that takes as many numbers as a token has, and learned places. Nothing of a
frame is thrown away before it: tokens of a codec that has more places than the features have are laid together, place
by place, with all of their numbers.

Shapes: B batch, R rows, T tokens, N numbers a token.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from presage.codecs.pixels import patches
from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.outcome import chunk_quality, valid_actions
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.networks.executable import executable
from presage.networks.robot import RobotModel
from presage.policy.grounded import CONTEXT, Decision
from presage.timeline.backbone import Tap
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.batch import Terms, one_term
from presage.training.checkpoint import read_weights, stored_weights
from presage.training.data import open_dataset
from presage.training.fingerprint import hash_of
from presage.training.loop import Optimiser, optimise

WIDTH = 128
"""Of heads"""
HEAD, RANDOM_HEAD = "representation.safetensors", "representation-random.safetensors"


Source = Literal["features", "codec", "reader"]
"""What a head reads: the video model's features, or of the newest frame the codec's values or the reader's token."""


@dataclass(frozen=True)
class HeadConfig:
    width: int
    """Of the attention, and of features that are read as they are."""
    outputs: int
    """Numbers of a chunk."""
    tap: int | None
    """Layers of the video model that are run."""
    heads: int = 4
    queries: int = 4
    random_seed: int | None = None
    """None: features of the trained model. A number: of a network initialised from this seed."""
    source: Source = "features"
    tokens: int = 0
    """That are read, each with a learned place; 0: any number, whose places they have to tell themselves."""
    numbers: int = 0
    """Of such a token; a linear layer makes `width` of them."""


class Head(nn.Module):
    """Attention pooling by learned queries, then an MLP: what is read (B, T, N) -> chunks (B, 1, outputs)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.norm = nn.LayerNorm(w)
        self.queries = nn.Parameter(torch.randn(config.queries, w) * 0.02)
        self.attention = nn.MultiheadAttention(w, config.heads, batch_first=True)
        self.mlp = nn.Sequential(
            nn.LayerNorm(config.queries * w),
            nn.Linear(config.queries * w, 2 * w),
            nn.GELU(),
            nn.Linear(2 * w, config.outputs),
        )
        if config.tokens:
            self.enter = nn.Linear(config.numbers, w)
            self.places = nn.Parameter(torch.randn(config.tokens, w) * 0.02)
            self.register_buffer("mean", torch.zeros(config.numbers))
            self.register_buffer("spread", torch.ones(config.numbers))

    def measure(self, read: Tensor) -> None:
        """Note mean and spread of each number of what it will read (R, T, N): sources come in scales of their own."""
        flat = read.flatten(0, 1).float()
        self.get_buffer("mean").copy_(flat.mean(0))
        self.get_buffer("spread").copy_(flat.std(0).clamp(min=1e-3))

    def forward(self, read: Tensor) -> Tensor:
        if self.config.tokens:
            read = self.enter((read - self.get_buffer("mean")) / self.get_buffer("spread")) + self.places
        x = self.norm(read)
        pooled, _ = self.attention(self.queries.expand(len(x), -1, -1), x, x, need_weights=False)
        return self.mlp(pooled.flatten(1))[:, None]


def video_features(session: Session, tap: int | None, level: float = 1.0) -> Tensor:
    """Hidden states (B, tokens of all cameras, width) of the next step's video after `tap` layers, the action unknown:
    of pure noise, VPP's one-step features (Hu et al. 2024, section 4.1); with a lower `level` the video is first
    denoised to there, in one step."""
    sees = (1.0,) if level == 1 else (1.0, level)
    hidden = session.features(Tap(tap), Schedule(sees, (1.0,) * len(sees)))
    return torch.cat([hidden[name] for name in session.model.pictures if name in hidden], 1)


MOST_PLACES = 256
"""Of a camera, whose codec's tokens are read: as many as a network has half-way up. A pixel codec has more, and lays
four or sixteen together"""


def read_source(session: Session, source: Source, tap: int | None) -> Tensor:
    """What a head reads of a session (B, T, N).

    Raises:
        ValueError: the model has no scene reader.
    """
    if source == "features":
        return video_features(session, tap)
    values = session.last.values
    if source == "reader":
        token = session.model.read_scene({name: x[:, None] for name, x in values.items()}, session.condition.text)
        if token is None:
            raise ValueError("this model has no scene reader")
        return token[:, 0]
    return torch.cat([laid_together(values[name]) for name in session.model.pictures], 1)


def laid_together(x: Tensor, most: int = MOST_PLACES) -> Tensor:
    """Tokens (B, T, N) that are the places of a square grid, in squares of f by f, as few as leave at most `most`:
    (B, T / f^2, N * f^2), with all of their numbers."""
    side, f = math.isqrt(x.shape[1]), 1
    while side**2 == x.shape[1] and (side // f) ** 2 > most and side % (2 * f) == 0:
        f *= 2
    return patches(x.unflatten(1, (side, side)), f) if f > 1 else x


def representation(head: Head) -> Decision:
    """The decision of a head over the features of the session's model."""

    @torch.inference_mode()
    def decide(session: Session) -> np.ndarray:
        config = head.config
        return executable(session.model, head(read_source(session, config.source, config.tap)))

    return decide


def default_tap(model: RobotModel) -> int | None:
    """Where the model's network says that its features are read.

    Raises:
        UserError: it has none to read.
    """
    if model.tap is None:
        raise UserError("this model's network has no layer to read features at: give a checkpoint of another system")
    return model.tap.layer


def random_twin(model: RobotModel, seed: int) -> RobotModel:
    """The control: the same codecs, a network of random weights."""
    torch.manual_seed(seed)
    return model.random_twin()


def dataset_features(
    model: RobotModel,
    dataset: Dataset,
    episodes: Sequence[int],
    tap: int | None,
    batch: int = 32,
    source: Source = "features",
) -> tuple[Tensor, Tensor]:
    """What is read (R, T, N) float16 and the actions (R, C) of every expert chunk of `episodes`.

    The session sees each episode as it would live: the past of a row is real, the next frame is noise.

    Raises:
        UserError: no chunk has quality 1.
    """
    frames = frame_cache(dataset, model.cameras, model.size)
    action = dataset.column("action").reshape(-1, *model.chunk_shape)
    useful = valid_actions(dataset)
    useful = useful & ~(chunk_quality(dataset) < 1)
    start = np.array([dataset.episodes[e].start for e in episodes])
    length = np.array([dataset.episodes[e].length for e in episodes])
    features, actions = [], []
    order = np.argsort(length, kind="stable")  # equal lengths side by side: little padding
    for i in tqdm(range(0, len(order), batch), desc="features", unit="batch"):
        part = order[i : i + batch]
        instructions = [dataset.episodes[episodes[j]].instruction for j in part]
        session = Session(model, instructions, seed=[episodes[j] for j in part], context=CONTEXT)
        for t in range(int(length[part].max())):
            row = start[part] + np.minimum(t, length[part] - 1)
            observation = {f"image.{c}": frames[row, j] for j, c in enumerate(model.cameras)}
            if model.state_dim:
                observation["state"] = dataset.column("observation.state")[row].reshape(len(row), -1)
            session.observe(observation, action[np.maximum(row - 1, start[part])] if t else None)
            keep = np.flatnonzero((t < length[part]) & useful[row])
            if len(keep):
                read = read_source(session, source, tap).cpu()
                features.append(read[torch.from_numpy(keep)].half())
                actions.append(model.encode_action(action[row[keep]]).flatten(1).cpu())
    if not features:
        raise UserError(f"{dataset.root}: no chunk of quality 1, and a head learns from the expert's")
    return torch.cat(features), torch.cat(actions)


def train_head(
    config: HeadConfig, features: Tensor, actions: Tensor, steps: int = 2000, batch: int = 128, seed: int = 0
) -> Head:
    """Fit a head to what is read (R, T, N) and actions (R, C) by squared error."""
    torch.manual_seed(seed)
    head = Head(config)
    if config.tokens:
        head.measure(features)
    optimiser = Optimiser(
        steps, batch, lr=1e-3, warmup=50, cooldown=0.5, ema=0.9, seed=seed, save_every=steps, bf16=False
    )

    def objective(drawn: Drawn, generator: torch.Generator) -> Terms:
        rows = torch.from_numpy(drawn[1][:, 0])
        return one_term((head(features[rows].float())[:, 0] - actions[rows]).square().mean())

    rows = Mixture([Windows([len(features)], 1, seed=seed)], [1.0], seed)
    with TemporaryDirectory() as folder:  # a minute's work: nothing of it is worth going on with
        optimise(head, objective, rows, {"*": 1.0}, optimiser, Path(folder), {}, "train head")
    return head.eval()


def equal_head(read: Tensor, actions: Tensor, tap: int | None, **more: Any) -> HeadConfig:
    """Of a head of the one size that all sources are read by, for what is read (R, T, N) and actions (R, C)."""
    return HeadConfig(WIDTH, actions.shape[1], tap, tokens=read.shape[1], numbers=read.shape[2], **more)


def fit_head(
    model: RobotModel, dataset: Dataset, episodes: Sequence[int], steps: int = 2000, random_seed: int | None = None
) -> Head:
    """Features of `episodes`, once, then the head. With `random_seed` on a network of random weights."""
    tap = default_tap(model)
    source = model if random_seed is None else random_twin(model, random_seed)
    features, actions = dataset_features(source, dataset, episodes, tap)
    config = equal_head(features, actions, tap, random_seed=random_seed)
    return train_head(config, features, actions, steps).to(model.device)


def fit_heads(folder: Path, model: RobotModel, dataset: Path, episodes: int = 200, steps: int = 1200) -> None:
    """Fit the head of a checkpoint and its control on `episodes` of the dataset it was trained on; keep both in it.

    model: of the folder.
    """
    opened = open_dataset(dataset)
    chosen = np.random.default_rng(0).permutation(len(opened.episodes))[:episodes].tolist()
    for random_seed in (None, 0):
        save_head(folder, fit_head(model, opened, chosen, steps, random_seed), model)


def save_head(folder: Path, head: Head, model: RobotModel) -> Path:
    """Write a head, fitted to features of `model`, into its checkpoint folder.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / (HEAD if head.config.random_seed is None else RANDOM_HEAD)
    temporary = path.with_suffix(".partial")
    weights = {k: v.detach().to("cpu", torch.bfloat16).contiguous() for k, v in head.state_dict().items()}
    try:
        save_file(weights, temporary, metadata={"config": json.dumps(asdict(head.config)), "model": read_by(model)})
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path} ({error}): make the checkpoint folder writable") from None
    return path


def read_by(model: RobotModel) -> str:
    """Hash of the weights that features follow from: not those of parts that are trained alone afterwards."""
    alone = ("critic.", "codec.decoder.", "parts.")
    return hash_of({name: x for name, x in stored_weights(model).items() if not name.startswith(alone)})


def load_head(folder: Path, model: RobotModel, random: bool = False) -> Head | None:
    """A head of a checkpoint, None if it has none.

    Raises:
        UserError: the file is damaged, or was fitted to another model.
    """
    from safetensors import safe_open

    path = folder / (RANDOM_HEAD if random else HEAD)
    if not path.exists():
        return None
    weights = read_weights(path)
    with safe_open(path, "pt") as f:
        metadata = f.metadata()
    config = HeadConfig(**json.loads(metadata["config"]))
    if metadata.get("model") != read_by(model):
        raise UserError(
            f"{path} was fitted to other weights than the checkpoint has: remove it, and presage bench representation "
            "fits one"
        )
    head = Head(config)
    head.load_state_dict({k: v.float() for k, v in weights.items()})
    return head.to(model.device).eval()
