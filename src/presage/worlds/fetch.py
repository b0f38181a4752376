"""Fetch: a robot's arm at a table, from gymnasium-robotics (Plappert et al. 2018): reach, push, pick and place.

The package's environments v4 with three changes. Kinematics are recomputed after every step: the hand is moved relative
to where it is, and that must not be older than the state, or a restored run would drift. The scripted experts are ours,
the package has none. And pictures are drawn by `rendering.py`, with a red cube and a green marker for the goal.
"""

import contextlib
import io
from functools import partial
from typing import Any

import numpy as np

from presage.worlds.rendering import Camera, Look, MujocoRenderer, mujoco  # sets the OpenGL backend before mujoco does
from presage.worlds.world import Snapshot, World

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    # Importing it prints a notice about its hand environments.
    from gymnasium_robotics.envs.fetch.pick_and_place import MujocoFetchPickAndPlaceEnv
    from gymnasium_robotics.envs.fetch.push import MujocoFetchPushEnv
    from gymnasium_robotics.envs.fetch.reach import MujocoFetchReachEnv

_ENVIRONMENTS = {
    "fetch-reach": MujocoFetchReachEnv,
    "fetch-push": MujocoFetchPushEnv,
    "fetch-pick-place": MujocoFetchPickAndPlaceEnv,
}
CUBE_COLOUR = (0.9, 0.12, 0.08, 1.0)
"""The package's cube is as dark as its floor."""
SKY_COLOUR = (0.62, 0.66, 0.72)
"""The package's sky is as green as our goal marker."""
FINGER_RANGE = 0.05
"""Metres a finger can open."""
METRES_PER_ACTION = 0.05
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


def _repaint(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        if geom.name == "object0":
            geom.material, geom.rgba = "", CUBE_COLOUR
    for geom in spec.body("robot0:mocap").geoms:
        geom.rgba = (0.0, 0.0, 0.0, 0.0)  # cross hairs through the hand
    for texture in spec.textures:
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            texture.rgb1 = texture.rgb2 = SKY_COLOUR


LOOK = Look(
    cameras={  # the robot stands at x=0.4 and faces +x; the table's top is at z=0.4
        "front": Camera(position=(2.10, -0.05, 1.15), target=(1.34, 0.75, 0.62), fovy=36.0),
        "top": Camera(position=(2.0, 0.75, 1.65), target=(1.31, 0.75, 0.57), fovy=36.0),
    },
    robot="robot0:base_link",
    hand="robot0:gripper_link",
    repaint=_repaint,
)
Renderer = partial(MujocoRenderer, LOOK)


class Simulation:
    """One Fetch task. `success` is latched: hand (reach) or cube within 5 cm of the goal at any step since the
    reset."""

    def __init__(self, task: str) -> None:
        self.task, self.success, self.steps = task, False, 0
        self.env: Any = _ENVIRONMENTS[task](reward_type="dense")
        self.model, self.data = self.env.model, self.env.data
        self.xml_path: str = self.env.fullpath
        self._physics = np.zeros(mujoco.mj_stateSize(self.model, _STATE))
        self._fingers = [self.model.joint(f"robot0:{side}_gripper_finger_joint").qposadr[0] for side in "lr"]

    def reset(self, seed: int) -> None:
        """The package's starting state for this seed."""
        self.env.reset(seed=int(seed))
        mujoco.mj_forward(self.model, self.data)
        self.success, self.steps = False, 0

    def step(self, action: np.ndarray) -> float:
        """Execute one action (4,): hand displacement dx, dy, dz (1 = 5 cm of its target) and gripper (1 = open).

        The gripper of reach and push stays closed. Returns the package's dense reward: minus the distance in metres.
        """
        self.env.step(np.clip(np.asarray(action, np.float64), -1.0, 1.0))
        mujoco.mj_forward(self.model, self.data)
        self.steps += 1
        distance = float(np.linalg.norm(self._achieved - self.env.goal))
        self.success = self.success or distance < self.env.distance_threshold
        return -distance

    @property
    def hand(self) -> np.ndarray:
        """Between the finger tips, (3,) in metres."""
        return self.data.site("robot0:grip").xpos

    @property
    def cube(self) -> np.ndarray:
        """Its centre, (3,) in metres."""
        return self.data.site("object0").xpos

    @property
    def opening(self) -> float:
        """Of the gripper, in [0, 1]."""
        return float(np.clip(self.data.qpos[self._fingers].sum() / (2 * FINGER_RANGE), 0.0, 1.0))

    @property
    def _achieved(self) -> np.ndarray:
        return self.cube if self.env.has_object else self.hand

    @property
    def state(self) -> np.ndarray:
        """Proprioception (4,) float32: hand x, y, z in metres and gripper opening in [0, 1]."""
        return np.array([*self.hand, self.opening], np.float32)

    def expert_action(self) -> np.ndarray:
        """What the scripted expert does now, (4,) float32. It has no memory."""
        if self.task == "fetch-reach":
            target, grip = self.env.goal, 0.0
        elif self.task == "fetch-push":
            target, grip = _push(self.hand, self.cube, self.env.goal), 0.0
        else:
            target, grip = _pick_and_place(self.hand, self.cube, self.env.goal, self.opening)
        move = (target - self.hand) * GAIN / METRES_PER_ACTION
        return np.clip([*move, grip], -1.0, 1.0).astype(np.float32)

    def frames(self, renderer: MujocoRenderer, show_goal: bool = True) -> dict[str, np.ndarray]:
        return renderer.frames(self.xml_path, self.model, self.data, self.env.goal if show_goal else None)

    def masks(self, renderer: MujocoRenderer, show_goal: bool = True) -> dict[str, np.ndarray]:
        return renderer.masks(self.xml_path, self.model, self.data, self.env.goal if show_goal else None)

    def save(self) -> Snapshot:
        mujoco.mj_getState(self.model, self.data, self._physics, _STATE)
        arrays = {"physics": self._physics.copy(), "goal": self.env.goal.copy()}
        return Snapshot(self.task, self.success, self.steps, arrays)

    def load(self, snapshot: Snapshot) -> None:
        snapshot.check(self.task)
        physics = snapshot.arrays["physics"]
        mujoco.mj_setState(self.model, self.data, physics, _STATE)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, physics, _STATE)  # forward has warmed the solver up: undo
        self.env.goal = snapshot.arrays["goal"].copy()
        self.success, self.steps = snapshot.success, snapshot.steps

    def disturb(self, kind: str, seed: int) -> None:
        """knock: the cube is displaced by 5 cm. move: put elsewhere on the table, 8 to 20 cm away.

        In reach there is no cube: it is the goal that moves, by the same distances.
        """
        rng = np.random.default_rng((seed, WORLD.check_disturbance(kind)))
        thing = self.data.joint("object0:joint").qpos if self.env.has_object else self.env.goal
        spot = thing[:2].copy()
        if kind == "knock":
            angle = rng.uniform(0, 2 * np.pi)
            spot += 0.05 * np.array([np.cos(angle), np.sin(angle)])
        else:
            middle, place = self.env.initial_gripper_xpos[:2], spot
            near = np.clip(place, middle - 0.15, middle + 0.15)
            if np.linalg.norm(place - near) > 0.1:  # off the table: back onto it; a goal never is
                spot = place = near
                thing[2] = self.env.height_offset
            while not 0.08 < np.linalg.norm(spot - place) < 0.2:
                spot = middle + rng.uniform(-0.15, 0.15, 2)
        thing[:2] = spot
        if self.env.has_object:
            self.data.joint("object0:joint").qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)


GAIN = 0.8
"""Part of the way to its target that the expert's hand asks for in one step."""
ABOVE = 0.06
"""Height over the cube at which the hand may pass it, metres."""
BEHIND = 0.075
"""From the cube's centre to the closed fingers before a push."""
STROKE = 0.04
"""How far ahead of itself the hand aims while it pushes."""
HELD = 0.56
"""Opening of the gripper below which its fingers press the cube, which is 5 cm wide, from both sides."""


def _push(hand: np.ndarray, cube: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Where the hand should be: over the cube to its far side, down behind it, then forward towards the goal."""
    way = goal[:2] - cube[:2]
    forward = way / max(float(np.linalg.norm(way)), 1e-6)
    across = np.array([-forward[1], forward[0]])
    ahead, aside = (hand[:2] - cube[:2]) @ forward, (hand[:2] - cube[:2]) @ across
    low = hand[2] < cube[2] + 0.03
    if low and ahead < -0.02 and abs(aside) < 0.025:
        # A cube slips off to the side it is not pushed at: aim a little beyond the middle.
        return np.array([*(cube[:2] + (ahead + STROKE) * forward - 0.5 * aside * across), cube[2]])
    start = cube[:2] - BEHIND * forward
    if np.linalg.norm(hand[:2] - start) < 0.015:
        return np.array([*start, cube[2]])
    return np.array([*(hand[:2] if low else start), cube[2] + ABOVE + 0.03])


def _pick_and_place(hand: np.ndarray, cube: np.ndarray, goal: np.ndarray, opening: float) -> tuple[np.ndarray, float]:
    """Where the hand should be and what the gripper does (1 opens): over the cube, down, close, carry."""
    apart = cube - hand
    if np.linalg.norm(apart) > 0.02:
        aside = np.linalg.norm(apart[:2]) > 0.012
        return cube + np.array([0.0, 0.0, ABOVE if aside else 0.0]), 1.0
    holding = opening < HELD
    return (goal if holding else cube), -1.0


WORLD = World(
    name="fetch",
    robot="fetch",
    action_size=4,
    gripper=True,
    state_size=4,
    control_hz=25.0,
    max_steps=50,
    cameras=tuple(LOOK.cameras),
    default_cameras=("front", "top"),
    disturbances=("knock", "move"),
    burst=1.0,
    simulation=Simulation,
    renderer=Renderer,
    hand_pixels=lambda camera, states, size: LOOK.project(camera, states[:, :3], size),
)
