"""A checkpoint of LeRobot at the address of a policy server, to be ranked by `presage evaluate --policies ws://...`:

    python -m presage.serving.lerobot_server outputs/train/act/checkpoints/last/pretrained_model --chunk 2 --port 8200

It runs in lerobot's environment (docs/lerobot.md), whose pins presage's own cannot meet, and takes pictures of any
size: lerobot's processors scale them. Reachable from this machine only.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from presage.episodes.steps import NO_INSTRUCTION
from presage.errors import UserError
from presage.serving.host import run_until_signalled
from presage.serving.lerobot import IMAGES, STATE, LeRobotPolicy
from presage.serving.pictures import SIDES
from presage.serving.request import Terms
from presage.serving.server import PolicyServer


@dataclass(frozen=True)
class Served:
    """What its clients are told (`networks.robot.Facts`)."""

    cameras: tuple[str, ...]
    size: int
    chunk_shape: tuple[int, int]
    state_dim: int
    fps: float


def server_of(policy: LeRobotPolicy, fps: float, name: str) -> PolicyServer:
    """Each connection is an episode with a policy of its own; all share the weights."""
    cameras = {feature: camera for camera, feature in policy.features.items()}
    pictures = {n: shape for n, shape in policy.expected.items() if len(shape) == 3}
    seen = tuple(cameras.get(n, n.removeprefix(IMAGES)) for n in pictures)
    state = policy.expected.get(STATE, (0,))[0]
    size = max((max(shape) for shape in pictures.values()), default=0)
    facts = Served(seen, size, (policy.chunk, policy.action_dim), state, fps)
    terms = Terms(list(seen), SIDES, state, prompt=NO_INSTRUCTION)
    return PolicyServer(policy.another, facts, {"server": "lerobot", "model": name}, terms=terms)


def main(args: list[str]) -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path, help="with config.json, model.safetensors and both processors")
    asked.add_argument("--chunk", type=int, default=1, help="commands of an answer: those of a model step of presage")
    asked.add_argument("--fps", type=float, default=0.0, help="answers a second, told to clients")
    asked.add_argument("--port", type=int, default=8200)
    given = asked.parse_args(args)
    policy = LeRobotPolicy(given.folder, given.chunk)
    server = server_of(policy, given.fps, given.folder.name)
    run_until_signalled(
        server, "127.0.0.1", given.port, lambda port: print(f"{given.folder}: ws://127.0.0.1:{port}", flush=True)
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
