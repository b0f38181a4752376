"""A server of policies that look for the cube in the first picture and then pick it up, well or with a fault:

    python policies.py --port 8100          # ws://127.0.0.1:8100/good, /left9, /late10, ...

It speaks openpi's protocol, so `presage evaluate` and `truth.py` ask the same policies.
"""

import threading
import zlib

import numpy as np
import tyro
from behaviours import Behaviour, pick
from cell import ROBOT, VIEWS, Cell, on_desk
from websockets.sync.server import ServerConnection, serve

from presage.serving.wire import pack, unpack

CHUNK = 2
"""Commands of an answer: model steps of presage are five a second"""
POLICIES = {
    "good": Behaviour(),
    "hasty": Behaviour(speed=0.25),
    "shaky1": Behaviour(shakes=1.0),
    "shaky2": Behaviour(shakes=2.0),
    "shaky4": Behaviour(shakes=4.0),
    "left6": Behaviour(offset=(0.0, 0.006)),
    "left9": Behaviour(offset=(0.0, 0.009)),
    "right15": Behaviour(offset=(0.0, -0.015)),
    "far10": Behaviour(offset=(0.01, 0.0)),
    "far20": Behaviour(offset=(0.02, 0.0)),
    "high8": Behaviour(high=0.008),
    "high30": Behaviour(high=0.03),
    "late3": Behaviour(late=3),
    "late10": Behaviour(late=10),
    "open": Behaviour(closes=90.0),
    "drops": Behaviour(drops=0.02),
}


def find_cube(frames: dict[str, np.ndarray]) -> np.ndarray:
    """(2,) place of the purple cube on the desk, by the camera that shows more of it."""
    found = {}
    for camera in VIEWS:
        red, green, blue = np.moveaxis(np.asarray(frames[camera], float), -1, 0)
        found[camera] = np.argwhere((red > 1.4 * green) & (blue > 1.3 * green) & (blue > 50))
    camera = "front" if len(found["front"]) >= 8 else max(found, key=lambda name: len(found[name]))
    pixels = found[camera]
    return on_desk(camera, pixels.mean(0) if len(pixels) else np.full(2, 31.5))


def main(host: str = "127.0.0.1", port: int = 8100) -> None:
    arm, one_at_a_time = Cell().arm, threading.Lock()

    def talk(connection: ServerConnection) -> None:
        how = POLICIES.get(connection.request.path.strip("/"))
        if how is None:
            return connection.close(1008, "no policy of this name")
        connection.send(pack({"robot": ROBOT, "policies": list(POLICIES)}))
        plan: np.ndarray | None = None
        row = 0
        for message in connection:
            asked = unpack(message)
            if plan is None or asked.get("reset"):
                state = np.asarray(asked["state"], np.float64)
                cube = find_cube({camera: asked[f"image.{camera}"] for camera in VIEWS})
                with one_at_a_time:
                    plan, row = pick(arm, state, cube, how, zlib.crc32(np.round(state).tobytes())), 0
            rows = np.arange(row, row + CHUNK).clip(max=len(plan) - 1)  # at its end it stands still
            connection.send(pack({"actions": plan[rows]}))
            row += CHUNK

    with serve(talk, host, port, compression=None, max_size=None) as server:
        print(f"{len(POLICIES)} policies at ws://{host}:{port}/: {' '.join(POLICIES)}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    tyro.cli(main)
