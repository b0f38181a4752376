"""Three pucks of three colours and three marks: which one goes where is said in words alone.

Nine tasks, one for each colour and place. They share one scene and one distribution of starts, so nothing in the first
picture tells them apart, and a policy can be asked for combinations that it was never shown. Robot, physics, control
and the expert are those of Meta-World's push; more pucks and the marks are added to its model.
"""

import hashlib
import os
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from metaworld.asset_path_utils import full_V3_path_for
from metaworld.envs.sawyer_push_v3 import SawyerPushEnvV3
from metaworld.policies import SawyerPushV3Policy

from presage.errors import UserError
from presage.worlds import metaworld
from presage.worlds.pucks_words import COLOURS, PLACES
from presage.worlds.rendering import mujoco
from presage.worlds.world import World

RGBA = dict(zip(COLOURS, ((0.1, 0.25, 1.0, 1.0), (1.0, 0.85, 0.05, 1.0), (0.1, 0.7, 0.2, 1.0)), strict=True))
APART = 0.12
"""Metres between neighbouring pucks, and between neighbouring marks."""
PUCKS_Y, MARKS_Y = 0.60, 0.82
HEIGHT = 0.02
_ORDERS = list(permutations(range(3)))


@cache
def _model_file() -> str:
    """Path of the model: that of push with two more pucks, and marks that nothing touches. Meta-World and the renderer
    both read it from a file, which lies in the user's cache folder.

    Raises:
        UserError: it cannot be written.
    """
    source = full_V3_path_for("sawyer_xyz/sawyer_push_v3.xml")
    spec = mujoco.MjSpec.from_file(source)
    for asset in (*spec.meshes, *spec.textures):
        if asset.file:
            asset.file = os.path.normpath(os.path.join(os.path.dirname(source), asset.file))
    first = next(geom for geom in spec.geoms if geom.name == "objGeom")
    for number, (colour, rgba) in enumerate(RGBA.items()):
        if number == 0:
            first.material, first.rgba = "", rgba
            continue
        body = spec.worldbody.add_body(name=f"{colour} puck", pos=(APART * number, PUCKS_Y, HEIGHT), mass=0.75,
                                       inertia=[8.80012e-4] * 3, ipos=(0, 0, 0), explicitinertial=True)  # fmt: skip
        body.add_freejoint(name=f"{colour} joint")
        body.add_geom(
            type=first.type, size=first.size, rgba=rgba, solimp=first.solimp, solref=first.solref,
            friction=first.friction, condim=first.condim,
        )  # fmt: skip
    for place in PLACES:
        mark = spec.worldbody.add_body(name=f"{place} mark", pos=(0.0, MARKS_Y, 0.0))
        mark.add_geom(type=mujoco.mjtGeom.mjGEOM_CYLINDER, size=(0.035, 0.001, 0), pos=(0, 0, 0.002),
                      rgba=(0.1, 0.1, 0.1, 1), contype=0, conaffinity=0)  # fmt: skip
    spec.compile()
    text = spec.to_xml()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "presage" / "worlds"
    path = home / f"pucks-{hashlib.sha256(text.encode()).hexdigest()[:10]}.xml"
    if not path.exists():
        temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            home.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text)
            os.replace(temporary, path)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}; set XDG_CACHE_HOME to a writable folder") from None
    return str(path)


class _Environment(SawyerPushEnvV3):
    """Push with three pucks: `colour` is that of the one that counts, `place` the mark it belongs on."""

    def __init__(self, colour: str, place: str) -> None:
        self.colour, self.place = colour, place
        super().__init__()
        low, high = np.array([-0.05, 0, 0, -0.04, 0]), np.array([0.05, 0.05, 6, 0.04, 0.06])
        # Where the row of pucks is (x, y), their order, where the row of marks is (x, y); then each puck's own x and y.
        self._random_reset_space = Box(np.append(low, [-0.012] * 6), np.append(high, [0.012] * 6), dtype=np.float64)
        self.goal_space = Box(np.array([-0.3, 0.7, 0.0]), np.array([0.3, 1.0, 0.1]), dtype=np.float64)

    @property
    def model_name(self) -> str:
        return _model_file()

    def body_of(self, colour: str) -> str:
        return "obj" if colour == COLOURS[0] else f"{colour} puck"

    def _get_pos_objects(self) -> np.ndarray:
        return self.get_body_com(self.body_of(self.colour))

    def reset_model(self) -> np.ndarray:
        self._reset_hand()
        drawn = self._get_state_rand_vec()
        row, order, marks, own = drawn[:2], _ORDERS[min(int(drawn[2]), 5)], drawn[3:5], drawn[5:].reshape(3, 2)
        qpos, qvel = self.data.qpos.flat.copy(), self.data.qvel.flat.copy()
        for number, colour in enumerate(COLOURS):
            x, y = row + (APART * (order[number] - 1), PUCKS_Y) + own[number]
            joint = self.model.body(self.body_of(colour)).jntadr[0]
            at, speed = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
            qpos[at : at + 7] = (x, y, HEIGHT, 1, 0, 0, 0)
            qvel[speed : speed + 6] = 0
        self.set_state(qpos, qvel)
        for number, place in enumerate(PLACES):
            self.model.body(f"{place} mark").pos = (*(marks + (APART * (number - 1), MARKS_Y)), 0.0)
        target = np.append(self.model.body(f"{self.place} mark").pos[:2], HEIGHT)
        self._target_pos, self.obj_init_pos = target, self._get_pos_objects().copy()
        self.objHeight, self.heightTarget = HEIGHT, HEIGHT + 0.04  # of Meta-World's reward, as the next two
        self.maxPushDist = self.maxPlacingDist = np.linalg.norm((self.obj_init_pos - target)[:2])
        return self._get_obs()


class Simulation(metaworld.Simulation):
    """One task, such as `pucks-blue-left`: reached when the blue puck is within 5 cm of the middle of the left mark."""

    def build(self) -> tuple[Any, Any]:
        _, colour, place = self.task.split("-")
        environment = _Environment(colour, place)
        environment._partially_observable = False
        del environment.sawyer_observation_space  # kept from when the goal was hidden, it would hide it for ever
        environment._set_task_called = True
        return environment, SawyerPushV3Policy()

    def places(self) -> dict[str, np.ndarray]:
        """Where each puck is, colour -> (3,) metres: which of them arrived where."""
        return {colour: self.env.get_body_com(self.env.body_of(colour)).copy() for colour in COLOURS}

    def marks(self) -> dict[str, np.ndarray]:
        """Where each mark is, place -> (3,) metres."""
        return {place: self.model.body(f"{place} mark").pos.copy() for place in PLACES}

    def object_joint(self) -> int:
        return int(self.model.body(self.env.body_of(self.env.colour)).jntadr[0])


WORLD = World(
    name="pucks",
    robot=metaworld.WORLD.robot,
    action_size=4,
    gripper=True,
    state_size=4,
    control_hz=20.0,
    max_steps=500,
    cameras=metaworld.WORLD.cameras,
    default_cameras=metaworld.WORLD.default_cameras,
    disturbances=metaworld.WORLD.disturbances,
    burst=1.0,
    simulation=Simulation,
    renderer=metaworld.Renderer,
    hand_pixels=metaworld.WORLD.hand_pixels,
)
