"""Representation: read the video model's hidden states and decode the action from them.

The model is shown the real past and asked for the next frame from pure noise; after one pass through its first layers
the hidden states of that frame say what is about to happen, and a small head reads the action from them (Hu et al.
2024, VPP, section 4.1). The model stays frozen. The control is the same head, trained alike, on a network of random
weights.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.mixture import Drawn, Mixture
from presage.episodes.outcome import chunk_quality, valid_actions
from presage.episodes.windows import Windows
from presage.errors import UserError
from presage.networks.executable import executable
from presage.networks.names import is_video
from presage.networks.robot import RobotModel
from presage.networks.world_model import WorldModel
from presage.policy.grounded import CONTEXT, Decision
from presage.timeline.backbone import Tap
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.batch import Terms, one_term
from presage.training.checkpoint import load_model, read_weights, stored_weights
from presage.training.data import open_dataset
from presage.training.fingerprint import hash_of
from presage.training.loop import Optimiser, optimise

HEAD, RANDOM_HEAD = "representation.safetensors", "representation-random.safetensors"


Source = Literal["features", "codec", "reader"]
"""What a head reads: the video model's features, or of the newest frame the codec's latents or the reader's token."""


@dataclass(frozen=True)
class HeadConfig:
    width: int
    """Width of the features."""
    outputs: int
    """Numbers of an action token."""
    tap: int
    """Layers of the world model that are run."""
    heads: int = 4
    queries: int = 4
    random_seed: int | None = None
    """None: features of the trained model. A number: of a network initialised from this seed."""
    source: Source = "features"


class Head(nn.Module):
    """Attention pooling by learned queries, then an MLP: features (B, T, width) -> action tokens (B, 1, outputs)."""

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

    def forward(self, features_BTW: Tensor) -> Tensor:
        x = self.norm(features_BTW)
        pooled, _ = self.attention(self.queries.expand(len(x), -1, -1), x, x, need_weights=False)
        return self.mlp(pooled.flatten(1))[:, None]


def video_features(session: Session, tap: int | None, level: float = 1.0) -> Tensor:
    """Hidden states (B, tokens of all cameras, width) of the next step's video after `tap` layers, the action unknown:
    of pure noise, VPP's one-step features (Hu et al. 2024, section 4.1); with a lower `level` the video is first
    denoised to there, in one step."""
    sees = (1.0,) if level == 1 else (1.0, level)
    hidden = session.features(Tap(tap), Schedule(sees, (1.0,) * len(sees)))
    return torch.cat([hidden[s.name] for s in session.model.streams if is_video(s)], 1)


def read_source(session: Session, source: Source, tap: int | None, width: int) -> Tensor:
    """What a head reads of a session (B, T, width).

    A codec's latents say which of a frame's tokens they are of: a head that pools them could not know.

    Raises:
        ValueError: the model has no scene reader, or latents too wide for that.
    """
    if source == "features":
        return video_features(session, tap)
    values = session.last.values
    if source == "reader":
        token = session.model.read_scene({name: x[:, None] for name, x in values.items()}, session.condition.text)
        if token is None:
            raise ValueError("this model has no scene reader")
        return token[:, 0]
    latents = torch.cat([values[s.name] for s in session.model.streams if is_video(s)], 1)
    b, tokens, numbers = latents.shape
    if numbers + tokens > width:
        raise ValueError(f"{tokens} latents of {numbers} numbers and their places do not fit into {width}")
    which = torch.eye(tokens, width - numbers, device=latents.device)
    return torch.cat([latents, which.expand(b, -1, -1)], -1)


def representation(head: Head) -> Decision:
    """The decision of a head over the features of the session's model."""

    @torch.inference_mode()
    def decide(session: Session) -> np.ndarray:
        config = head.config
        return executable(session.model, head(read_source(session, config.source, config.tap, config.width)))

    return decide


def default_tap(model: WorldModel) -> int:
    """Two thirds of the layers: late ones turn back to pixels (Hu et al. 2024 tap half-way up, too)."""
    return max(1, round(model.config.layers * 2 / 3))


def random_twin(model: WorldModel, seed: int) -> WorldModel:
    """The control: the same codecs, a network of random weights."""
    torch.manual_seed(seed)
    return model.random_twin()


def dataset_features(
    model: WorldModel,
    dataset: Dataset,
    episodes: Sequence[int],
    tap: int,
    batch: int = 32,
    source: Source = "features",
) -> tuple[Tensor, Tensor]:
    """Features (R, T, width) float16 and action tokens (R, C) of every expert chunk of `episodes`.

    The session sees each episode as it would live: the past of a row is real, the next frame is noise.

    Raises:
        UserError: no chunk has quality 1.
    """
    config = model.config
    frames = frame_cache(dataset, config.cameras, config.codec.size)
    action = dataset.column("action").reshape(-1, config.chunk, config.action_dim)
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
            observation = {f"image.{c}": frames[row, j] for j, c in enumerate(config.cameras)}
            if config.state_dim:
                observation["state"] = dataset.column("observation.state")[row].reshape(len(row), -1)
            session.observe(observation, action[np.maximum(row - 1, start[part])] if t else None)
            keep = np.flatnonzero((t < length[part]) & useful[row])
            if len(keep):
                read = read_source(session, source, tap, config.width).cpu()
                features.append(read[torch.from_numpy(keep)].half())
                actions.append(model.encode_action(action[row[keep]])[:, 0].cpu())
    if not features:
        raise UserError(f"{dataset.root}: no chunk of quality 1, and a head learns from the expert's")
    return torch.cat(features), torch.cat(actions)


def train_head(
    config: HeadConfig, features: Tensor, actions: Tensor, steps: int = 2000, batch: int = 128, seed: int = 0
) -> Head:
    """Fit a head to features (R, T, width) and action tokens (R, C) by squared error."""
    torch.manual_seed(seed)
    head = Head(config)
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


def fit_head(
    model: WorldModel, dataset: Dataset, episodes: Sequence[int], steps: int = 2000, random_seed: int | None = None
) -> Head:
    """Features of `episodes`, once, then the head. With `random_seed` on a network of random weights."""
    tap = default_tap(model)
    source = model if random_seed is None else random_twin(model, random_seed)
    features, actions = dataset_features(source, dataset, episodes, tap)
    config = HeadConfig(model.config.width, actions.shape[1], tap, model.config.heads, random_seed=random_seed)
    return train_head(config, features, actions, steps).to(model.device)


def fit_heads(folder: Path, dataset: Path, episodes: int = 200, steps: int = 1200) -> None:
    """Fit the head of a checkpoint and its control on `episodes` of the dataset it was trained on; keep both in it."""
    model = load_model(folder)
    opened = open_dataset(dataset)
    chosen = np.random.default_rng(0).permutation(len(opened.episodes))[:episodes].tolist()
    for random_seed in (None, 0):
        save_head(folder, fit_head(model, opened, chosen, steps, random_seed), model)


def save_head(folder: Path, head: Head, model: WorldModel) -> Path:
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
    return hash_of(
        {name: x for name, x in stored_weights(model).items() if not name.startswith(("critic.", "codec.decoder."))}
    )


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
