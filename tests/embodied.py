"""Two robots in one tiny model, and what each of them has to be answered, worked out by hand."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from presage.codecs.scalars import ScalarCodec
from presage.episodes.robot import Columns, Robot
from presage.episodes.slots import Slots
from presage.networks.world_model import WorldModel
from presage.policy import make_policy
from presage.training.checkpoint import save_model
from tests.tiny import tiny_model

ARM = Robot(
    name="arm",
    cameras={"front": ["left", "right"], "top": ["above"]},
    action=[Columns("action", [0, 1], ["lift", "turn"], "joints"), Columns("action", [2], ["grip"], "arm")],
    state=[Columns("observation.state", [0, 1], ["lift", "turn"], "joints")],
    fps=20,
    chunk=4,
    relative=[0, 1, -1],
    gripper=[2],
)
"""Two of its cameras are one to the model; its joints are told relative to the state, its gripper is not."""
HAND = Robot(
    name="hand",
    cameras={"front": ["front"], "top": ["top"]},
    action=[Columns("action", [0], ["thumb"], "hand"), Columns("action", [1, 2], ["lift", "turn"], "joints")],
    state=[Columns("state", [0, 1], ["thumb", "index"], "hand"), Columns("state", [2, 3], ["lift", "turn"], "joints")],
    fps=20,
    chunk=4,
    fit="letterbox",
)
"""It shares the joints with the arm, in another order."""
SLOTS = Slots.of([ARM, HAND])
SHAPES = {"left": (40, 60), "right": (90, 30), "above": (32, 32), "front": (8, 100), "top": (50, 50)}


def shared_model() -> WorldModel:
    """Its numbers lie around others than 0, so that a wrong filling shows."""
    model = tiny_model()
    model.action_codec = ScalarCodec([0.5 * i for i in range(16)], [1.0 + i for i in range(16)])
    model.state_codec = ScalarCodec([1.0, -2.0, 3.0, -4.0], [0.5, 1.0, 2.0, 3.0])
    return model


def save_robots(folder: Path, robots: list[Robot]) -> Path:
    """A checkpoint of the shared model that knows `robots`."""
    extra = {"robots": [robot.to_config() for robot in robots], "slots": asdict(SLOTS)}
    return save_model(shared_model(), folder, "a random model", extra)


def sight(robot: Robot, seed: int = 0) -> dict[str, np.ndarray]:
    """One observation in the robot's terms, without a batch axis."""
    rng = np.random.default_rng(seed)
    cameras = [source for sources in robot.cameras.values() for source in sources]
    images = {f"image.{c}": rng.integers(0, 256, (*SHAPES[c], 3), dtype=np.uint8) for c in cameras}
    return {**images, "state": rng.normal(size=len(robot.state_names)).astype(np.float32)}


def by_hand(model: WorldModel, robot: Robot, seeds: "list[int] | range", prompt: str) -> list[np.ndarray]:
    """The chunks (chunk, A) that follow from `sight` of each seed, step by step."""
    policy = make_policy("joint", model)
    policy.reset([prompt])
    chunks = []
    for seed in seeds:
        seen = sight(robot, seed)
        images = {name.removeprefix("image."): x for name, x in seen.items() if name != "state"}
        observation = {f"image.{c}": x[None] for c, x in robot.pictures(images, 32).items()}
        joints = seen["state"][-2:]
        fingers = seen["state"][:2] if robot is HAND else [3.0, -4.0]  # the arm has none: the middle
        observation["state"] = np.array([[*joints, *fingers]], np.float32)
        lift, turn, grip, thumb = policy.act(observation)[0].T
        if robot is ARM:
            chunks.append(np.stack([lift + joints[0], turn + joints[1], grip], 1))
        else:
            chunks.append(np.stack([thumb, lift, turn], 1))
    return chunks
