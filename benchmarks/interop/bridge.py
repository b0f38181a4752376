"""Both directions of presage.serving.lerobot, in an environment that has lerobot: prints figures as JSON.

    PYTHON benchmarks/interop/bridge.py CHECKPOINT [ACTIONS.npz]

LeRobot as presage: a small ACT and a small diffusion policy with random weights are saved by lerobot itself, loaded as
presage policies, and compared with lerobot's own way of running them. presage as LeRobot: CHECKPOINT is loaded through
lerobot's factory as a third-party policy and compared with the same checkpoint run by presage; ACTIONS.npz, made by
`presage_side.py` in presage's own environment, compares across versions of torch as well.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.factory import get_policy_class, make_pre_post_processors
from lerobot.utils.import_utils import register_third_party_plugins
from presage_side import ROWS, STEPS, TASKS, observations, presage_actions

from presage.serving.lerobot import LeRobotPolicy, PresagePolicy, export
from presage.serving.remote import RemotePolicy

SIZE, STATE, ACTIONS, CHUNK = 96, 5, 7, 4


def save_random(kind: str, folder: Path) -> None:
    """A policy with random weights and its processors, saved by lerobot."""
    torch.manual_seed(0)
    features = {
        "input_features": {
            "observation.images.front": PolicyFeature(FeatureType.VISUAL, (3, SIZE, SIZE)),
            "observation.state": PolicyFeature(FeatureType.STATE, (STATE,)),
        },
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (ACTIONS,))},
        "device": "cpu",
    }
    if kind == "act":
        config = ACTConfig(
            **features,
            chunk_size=8,
            n_action_steps=8,
            dim_model=32,
            n_heads=2,
            dim_feedforward=64,
            n_encoder_layers=1,
            pretrained_backbone_weights=None,
        )
    else:
        config = DiffusionConfig(
            **features,
            down_dims=(32, 64),
            num_train_timesteps=10,
            crop_shape=(84, 84),
            pretrained_backbone_weights=None,
        )
    rng = np.random.default_rng(0)

    def figures(*shape: int) -> dict[str, torch.Tensor]:
        mean, spread = (torch.from_numpy(rng.random(shape).astype(np.float32)) for _ in range(2))
        return {"mean": mean, "std": spread + 0.1, "min": mean - 1, "max": mean + 1}

    stats = {
        "observation.images.front": figures(3, 1, 1),
        "observation.state": figures(STATE),
        "action": figures(ACTIONS),
    }
    policy = get_policy_class(kind)(config)
    policy.save_pretrained(folder)
    for pipeline in make_pre_post_processors(config, dataset_stats=stats):
        pipeline.save_pretrained(folder)


def lerobot_as_presage(kind: str) -> float:
    """Largest difference of actions between presage's way and lerobot's own, over some chunks."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (STEPS, ROWS, SIZE, SIZE, 3), dtype=np.uint8)
    states = rng.normal(size=(STEPS, ROWS, STATE)).astype(np.float32)
    tasks = ["push"] * ROWS
    with tempfile.TemporaryDirectory() as folder:
        save_random(kind, Path(folder))
        ours = LeRobotPolicy(Path(folder), CHUNK)
        torch.manual_seed(2)
        ours.reset(tasks)
        found = [ours.act({"image.front": x, "state": s}) for x, s in zip(images, states)]
        config = PreTrainedConfig.from_pretrained(folder)
        theirs = get_policy_class(kind).from_pretrained(folder, config=config)
        before, after = make_pre_post_processors(config, folder)
        torch.manual_seed(2)
        theirs.reset()
        differences = []
        for chunk, x, s in zip(found, images, states):
            image = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255
            for t in range(CHUNK):
                batch = {
                    "observation.images.front": image,
                    "observation.state": torch.from_numpy(s),
                    "task": ["push"] * ROWS,
                }
                action = after(theirs.select_action(before(batch))).numpy()
                differences.append(float(np.abs(chunk[:, t] - action).max()))
    assert np.std(found) > 0
    return max(differences)


def over_the_wire(kind: str) -> float:
    """Largest difference of actions between a policy and the same behind its server, for rows that are asked at once,
    each an episode of its own."""
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (STEPS, ROWS, SIZE, SIZE, 3), dtype=np.uint8)
    states = rng.normal(size=(STEPS, ROWS, STATE)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        save_random(kind, Path(folder))
        command = [sys.executable, "-m", "presage.serving.lerobot_server", folder, "--chunk", str(CHUNK), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                said = next(line for line in server.stdout if "ws://" in line)  # lerobot talks before
                url = said.rsplit(" ", 1)[-1].strip()
                served = RemotePolicy(url, CHUNK, ACTIONS)
                alone = [LeRobotPolicy(Path(folder), CHUNK) for _ in range(ROWS)]
                served.reset(["push"] * ROWS)
                for each in alone:
                    each.reset(["push"])
                differences = []
                for x, s in zip(images, states):
                    found = served.act({"image.front": x, "state": s})
                    for row, each in enumerate(alone):
                        expected = each.act({"image.front": x[row : row + 1], "state": s[row : row + 1]})[0]
                        differences.append(float(np.abs(found[row] - expected).max()))
                served.close()
            finally:
                server.terminate()
    return max(differences)


def presage_as_lerobot(checkpoint: Path) -> dict[str, float]:
    """Largest difference of actions between lerobot's way and presage's own: loaded directly, and through the
    factory."""
    expected = presage_actions(checkpoint)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        export(checkpoint, Path(folder), device="cpu")
        config = PreTrainedConfig.from_pretrained(folder)
        policies = {
            "direct": PresagePolicy.from_pretrained(checkpoint, device="cpu"),
            "exported": get_policy_class(config.type).from_pretrained(folder, config=config),
        }
        before, after = make_pre_post_processors(config, folder)
        for name, policy in policies.items():
            policy.reset()
            differences = []
            for observation, chunk in zip(observations(policy.model), expected):
                batch = {
                    f"observation.images.{c}": torch.from_numpy(observation[f"image.{c}"]).permute(0, 3, 1, 2).float()
                    / 255
                    for c in policy.model.cameras
                }
                batch |= {"observation.state": torch.from_numpy(observation["state"]), "task": TASKS}
                for t in range(chunk.shape[1]):
                    action = after(policy.select_action(before(batch))).numpy()
                    differences.append(float(np.abs(action - chunk[:, t]).max()))
            figures[f"presage_as_lerobot_{name}"] = max(differences)
    return figures


if __name__ == "__main__":
    register_third_party_plugins()
    checkpoint = Path(sys.argv[1])
    found: dict[str, object] = {"lerobot": version("lerobot"), "torch": version("torch")}
    found["plugin_registered"] = "presage" in PreTrainedConfig.get_known_choices()
    for kind in ("act", "diffusion"):
        try:
            found[f"lerobot_{kind}_as_presage"] = lerobot_as_presage(kind)
        except ImportError as error:
            found[f"lerobot_{kind}_as_presage"] = f"not measured: {error}"
    found["lerobot_act_over_the_wire"] = over_the_wire("act")  # diffusion draws noise, in an order of its own
    found |= presage_as_lerobot(checkpoint)
    if len(sys.argv) > 2:
        other = np.load(sys.argv[2])["actions"]
        found["presage_across_torch_versions"] = float(np.abs(other - presage_actions(checkpoint)).max())
    print(json.dumps(found, indent=1))
