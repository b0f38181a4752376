"""Play without a browser: a tiny model in Push-T, which needs no OpenGL, and a client that speaks the page's
messages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from websockets.sync.client import ClientConnection, connect

from presage.benchmarks.play import read_frame
from presage.codecs.image import ImageCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.interface.play.server import PlayServer
from presage.interface.play.studio import Studio
from presage.networks.world_model import WorldModel, WorldModelConfig

TASK = "pusht"


def arena_model(size: int = 32) -> WorldModel:
    """One camera, chunks of 4 x 2, state of 2; outputs are made non-zero so that everything depends on everything."""
    torch.manual_seed(0)
    codec = ImageCodecConfig(size=size, width=8, blocks=1, latent_channels=4)
    robot = {"cameras": ["top"], "action_dim": 2, "state_dim": 2, "fps": 2.5}
    config = WorldModelConfig(codec=codec, width=32, layers=2, heads=2, **robot)  # type: ignore[arg-type]
    model = WorldModel(config, ScalarCodec([0.0] * 8, [1.0] * 8), ScalarCodec([256.0] * 2, [128.0] * 2))
    for output in model.network.outputs.values():
        torch.nn.init.normal_(output.weight, std=0.2)
    return model.eval()


def arena_server(out: Path, players: int = 2, **options: Any) -> PlayServer:
    return PlayServer(Studio(arena_model(), TASK, players=players), "tiny", out, **options)


class Client:
    """One player. Frames are drawn, so to say, as soon as they are read, unless `lazy`."""

    def __init__(self, address: str, session: str = "", lazy: bool = False, **options: Any) -> None:
        self.socket: ClientConnection = connect(
            f"ws://{address}/play?session={session}", compression=None, max_size=None, **options
        ).__enter__()
        self.lazy = lazy
        self.hello = self.text("hello")

    def say(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def text(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; frames before it are drawn and forgotten."""
        while True:
            data = self.socket.recv(30)
            if isinstance(data, bytes):
                self._draw(data)
            elif (message := json.loads(data))["type"] == kind:
                return message

    def frame(self) -> tuple[dict[str, Any], np.ndarray]:
        """Header and pixels of the next frame."""
        while True:
            data = self.socket.recv(30)
            if isinstance(data, bytes):
                return self._draw(data)

    def until(self, depth: int) -> tuple[dict[str, Any], np.ndarray]:
        """The first frame at least `depth` steps after the dream began."""
        while True:
            header, pixels = self.frame()
            if header["depth"] >= depth:
                return header, pixels

    def _draw(self, data: bytes) -> tuple[dict[str, Any], np.ndarray]:
        header, pixels = read_frame(data)
        if not self.lazy:
            self.say("seen", frame=header["frame"])
        return header, np.frombuffer(pixels, np.uint8)

    def close(self) -> None:
        self.socket.close()
