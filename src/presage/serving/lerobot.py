"""LeRobot's policies as presage's, and presage's checkpoints as policies of LeRobot.

    policy = LeRobotPolicy(Path("act_checkpoint"), chunk=4)      # a presage `Policy`
    policy.reset(["open the drawer"]); policy.act(observation)

    policy = PresagePolicy.from_pretrained("runs/mt10/model")    # a LeRobot `PreTrainedPolicy`
    policy.reset(); policy.select_action(batch)

lerobot's pins and presage's cannot be met together, so this module is used in lerobot's environment (docs/lerobot.md).
The distribution `lerobot_policy_presage` in plugins/ is how LeRobot finds it: importing this module registers the type
`presage`. The names of the classes and of the last function are the ones LeRobot's factory looks for.
"""

import copy
import shutil
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.optim.optimizers import AdamWConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import (
    AddBatchDimensionProcessorStep,
    DeviceProcessorStep,
    PolicyProcessorPipeline,
    RenameObservationsProcessorStep,
)
from lerobot.processor.converters import policy_action_to_transition, transition_to_policy_action
from torch import Tensor

from presage.errors import UserError
from presage.networks.robot import RobotModel
from presage.policy import make_policy
from presage.serving.pictures import as_squares
from presage.systems.checkpoint import open_model
from presage.training.checkpoint import read_config
from presage.worlds.protocol import Observation

IMAGES, STATE, ACTION, TASK = "observation.images.", "observation.state", "action", "task"
INSIDE = "presage"
"""Folder of presage's own checkpoint inside one that LeRobot saved."""


class LeRobotPolicy:
    """A checkpoint folder of LeRobot (config.json, model.safetensors, its two processors) as a presage `Policy`.

    An action chunk is `chunk` calls of LeRobot's `select_action` on the same observation, because that is where LeRobot
    keeps its own queues. Policies that decide more than `chunk` actions at once go on with them at the next `act`.

    Args:
        chunk: environment steps between two observations.
        features: presage's camera -> name of the image feature, where it is not `observation.images.<camera>`.

    Raises:
        UserError: the folder is no such checkpoint, or of a policy that this lerobot does not have.
    """

    def __init__(self, folder: Path, chunk: int = 1, features: dict[str, str] | None = None) -> None:
        for name in ("config.json", "model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"):
            if not (Path(folder) / name).exists():
                raise UserError(f"{folder} is not a checkpoint of LeRobot 0.4 or later: it has no {name}; name another")
        try:
            config = PreTrainedConfig.from_pretrained(folder)
            self.policy = get_policy_class(config.type).from_pretrained(folder, config=config)
            self.before, self.after = make_pre_post_processors(config, str(folder))
        except Exception as error:
            first = str(error).strip().splitlines()[0]
            raise UserError(
                f"{folder}: lerobot cannot load it ({first}); load it with the lerobot that saved it"
            ) from error
        self.chunk, self.features = chunk, features or {}
        self.expected: dict[str, tuple[int, ...]] = {name: tuple(f.shape) for name, f in config.input_features.items()}
        """Name of an input -> its shape in training; pictures are (3, height, width)."""
        self.action_dim = int(config.output_features[ACTION].shape[0])
        self.instructions: list[str] = []

    def another(self) -> "LeRobotPolicy":
        """One with queues of its own and the same weights, for another episode beside this one."""
        other = copy.copy(self)
        shared = {id(tensor): tensor for tensor in (*self.policy.parameters(), *self.policy.buffers())}
        other.policy = copy.deepcopy(self.policy, shared)
        return other

    def reset(self, instructions: list[str]) -> None:
        self.instructions = instructions
        self.policy.reset()

    def act(self, observation: Observation) -> np.ndarray:
        """Chunk (N, chunk, A) float32 in the robot's own units.

        Raises:
            UserError: the policy looks at something that the observation has not, or has in other proportions.
        """
        batch = self.before(self._batch(observation))
        with torch.inference_mode():
            actions = [self.after(self.policy.select_action(batch)) for _ in range(self.chunk)]
        return torch.stack(actions, 1).float().cpu().numpy()

    def _batch(self, observation: Observation) -> dict[str, Any]:
        """LeRobot's form: images (N, 3, H, W) float in 0..1, state (N, S), task."""
        batch: dict[str, Any] = {TASK: list(self.instructions)}
        for name, value in observation.items():
            if name.startswith("image."):
                camera = name.removeprefix("image.")
                image = torch.from_numpy(np.ascontiguousarray(value)).permute(0, 3, 1, 2).float() / 255
                batch[self.features.get(camera, IMAGES + camera)] = image
        if "state" in observation:
            batch[STATE] = torch.from_numpy(np.asarray(observation["state"], np.float32))
        missing = [name for name in self.expected if name not in batch]
        if missing:
            have = ", ".join(name for name in batch if name != TASK)
            raise UserError(
                f"the LeRobot policy looks at {missing[0]!r}, the world shows {have}; map it with features="
            )
        for name, shape in self.expected.items():
            shown = tuple(batch[name].shape[1:])
            if len(shape) == 3 and abs(shown[1] * shape[2] - shown[2] * shape[1]) > max(shape):  # to a pixel
                raise UserError(
                    f"{name!r} is {shown}, the LeRobot policy was trained on {shape}: show it those proportions"
                )
        return batch


@PreTrainedConfig.register_subclass("presage")
@dataclass
class PresageConfig(PreTrainedConfig):
    """How LeRobot describes a presage checkpoint; what the model is stands in presage's own config.json."""

    use: str = "joint"
    """joint, closed_loop, open_loop or no_imagination; a system has names of its own."""
    seed: int = 0
    instruction: str = ""
    """What to do where a batch brings no task."""
    chunk: int = 1
    """Actions decided at once."""
    normalization_mapping: dict[str, NormalizationMode] = field(
        default_factory=lambda: dict.fromkeys(("VISUAL", "STATE", "ACTION"), NormalizationMode.IDENTITY)
    )

    @classmethod
    def of(cls, model: RobotModel, **options: Any) -> "PresageConfig":
        """The config of a world model."""
        size, (chunk, action_dim) = model.size, model.chunk_shape
        inputs = {IMAGES + camera: PolicyFeature(FeatureType.VISUAL, (3, size, size)) for camera in model.cameras}
        if model.state_dim:
            inputs[STATE] = PolicyFeature(FeatureType.STATE, (model.state_dim,))
        action = PolicyFeature(FeatureType.ACTION, (action_dim,))
        known: dict[str, Any] = {"device": str(model.device), "chunk": chunk}
        return cls(input_features=inputs, output_features={ACTION: action}, **(known | options))

    @property
    def observation_delta_indices(self) -> None:
        return None  # the session remembers the past

    @property
    def action_delta_indices(self) -> list[int]:
        return list(range(self.chunk))

    @property
    def reward_delta_indices(self) -> None:
        return None

    def get_optimizer_preset(self) -> AdamWConfig:
        return AdamWConfig()

    def get_scheduler_preset(self) -> None:
        return None

    def validate_features(self) -> None:
        if not self.image_features:
            raise ValueError("a presage policy looks through cameras: its config lists none")


class PresagePolicy(PreTrainedPolicy):
    """A presage checkpoint as a policy of LeRobot. It acts; it is trained with `presage train`.

    Images are squares, averaged where they have another size than the model's. After `reset()` the batch size is the
    next batch's.
    """

    config_class = PresageConfig
    name = "presage"

    def __init__(self, config: PresageConfig, model: RobotModel | None = None, **_: Any) -> None:
        super().__init__(config)
        if model is None:
            raise ValueError("a presage policy needs a checkpoint: PresagePolicy.from_pretrained(FOLDER)")
        self.model = model
        self.policy = make_policy(config.use, model, config.seed)
        self.source: Path | None = None
        self.reset()

    @classmethod
    def from_pretrained(
        cls, pretrained_name_or_path: str | Path, *, config: Any = None, **options: Any
    ) -> "PresagePolicy":
        """Load a checkpoint folder of presage, or one that LeRobot saved of it.

        options: fields of `PresageConfig` where no config is given.

        Raises:
            UserError: it is neither, or damaged, or speaks another robot's terms.
        """
        folder = Path(pretrained_name_or_path)
        saved = (folder / INSIDE).is_dir()
        if config is None and saved:
            config = PreTrainedConfig.from_pretrained(folder)
        source = folder / INSIDE if saved else folder
        if not all(robot.get("chunked_rows") for robot in read_config(source).get("robots", [])):
            raise UserError(
                f"{source} was trained on a robot of your own, whose pictures, slots and relative actions "
                "LeRobot does not "
                "turn into the model's: use presage serve, or presage.policy.embodied"
            )
        model = open_model(source, None if config is None else torch.device(config.device))
        known = {name: value for name, value in options.items() if name in PresageConfig.__dataclass_fields__}
        policy = cls(config or PresageConfig.of(model, **known), model)
        policy.source = source
        return policy.eval()

    def _save_pretrained(self, save_directory: Path, state_dict: dict[str, Tensor] | None = None) -> None:
        """LeRobot's config.json, and presage's checkpoint as it is, in a folder inside."""
        if self.source is None:
            raise ValueError("only a policy loaded with from_pretrained can be saved: its weights are the checkpoint's")
        self.config._save_pretrained(save_directory)
        if self.source.resolve() != (Path(save_directory) / INSIDE).resolve():
            shutil.copytree(self.source, Path(save_directory) / INSIDE, dirs_exist_ok=True)

    def reset(self) -> None:
        """Forget the past. The next batch tells the batch size and the tasks."""
        self.queue: deque[Tensor] = deque()
        self.started = False

    @torch.no_grad()
    def select_action(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """The next action (B, A) of the chunk, or the first of a new one."""
        if not self.queue:
            self.queue.extend(self.predict_action_chunk(batch).unbind(1))
        return self.queue.popleft()

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict[str, Any], **_: Any) -> Tensor:
        """Chunk (B, chunk, A), taken to be executed before the next call: the session remembers it as done."""
        observation = self._observation(batch)
        count = len(next(iter(observation.values())))
        if not self.started:
            self.policy.reset(self._tasks(batch, count))
            self.started = True
        return torch.from_numpy(self.policy.act(observation)).to(self.config.device)

    def _tasks(self, batch: dict[str, Any], count: int) -> list[str]:
        task = batch.get(TASK) or self.config.instruction
        tasks = [task] * count if isinstance(task, str) else list(task)
        if len(tasks) != count or not all(tasks):
            raise UserError(
                f"the batch of {count} has no text 'task' for every row: give it, or set the policy's 'instruction'"
            )
        return tasks

    def _observation(self, batch: dict[str, Any]) -> Observation:
        missing = [name for name in self.config.input_features if name not in batch]
        if missing:
            raise UserError(
                f"the batch has no {missing[0]!r}: the model looks at {', '.join(self.config.input_features)}"
            )
        observation = {}
        for name in (IMAGES + camera for camera in self.model.cameras):
            images = batch[name].detach().cpu()
            images = images.float() if images.is_floating_point() else images
            observation[f"image.{name.removeprefix(IMAGES)}"] = as_squares(images.numpy(), self.model.size, name)
        if self.model.state_dim:
            observation["state"] = batch[STATE].detach().float().cpu().numpy()
        return observation

    def get_optim_params(self) -> Any:
        return self.model.network.parameters()

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict | None]:
        raise NotImplementedError("a presage checkpoint is trained with `presage train`, not by LeRobot's trainer")


def make_presage_pre_post_processors(config: PresageConfig, dataset_stats: Any = None) -> tuple[Any, Any]:
    """LeRobot's pipelines around the policy: only batching and devices, since the checkpoint normalises by itself."""
    before = [
        RenameObservationsProcessorStep(rename_map={}),
        AddBatchDimensionProcessorStep(),
        DeviceProcessorStep(device=config.device),
    ]
    return (
        PolicyProcessorPipeline(steps=before, name="policy_preprocessor"),
        PolicyProcessorPipeline(
            steps=[DeviceProcessorStep(device="cpu")],
            name="policy_postprocessor",
            to_transition=policy_action_to_transition,
            to_output=transition_to_policy_action,
        ),
    )


def export(checkpoint: Path, folder: Path, **options: Any) -> None:
    """Write a presage checkpoint as a folder that LeRobot loads by itself, for example with `--policy.path`."""
    policy = PresagePolicy.from_pretrained(checkpoint, **options)
    policy.save_pretrained(folder)
    for pipeline in make_presage_pre_post_processors(policy.config):
        pipeline.save_pretrained(folder)
