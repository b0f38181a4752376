"""One Meta-World task as a simulation: seeding, success, exact snapshots, disturbances and the scripted expert.

Three traps of Meta-World are handled here and nowhere else. Goals are only in the observation (and the expert only
works) with the goal-observable classes. Positions are only drawn from a seed with `seeded_rand_vec`. And its own
`get_env_state` forgets the mocap body and the solver, so that a restored run drifts: a `Snapshot` has all of it.
"""

import warnings
from functools import partial
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds import play
from presage.worlds.instructions import check_task
from presage.worlds.rendering import Camera, Look, MujocoRenderer, mujoco  # sets the OpenGL backend before mujoco does
from presage.worlds.world import Snapshot, World

GOAL_MARKER_TASKS = frozenset(
    """coffee-pull-v3 hand-insert-v3 pick-out-of-hole-v3 pick-place-v3 pick-place-wall-v3 plate-slide-back-side-v3
    plate-slide-back-v3 push-back-v3 push-v3 push-wall-v3 reach-v3 reach-wall-v3 stick-pull-v3 stick-push-v3""".split()
)
"""Tasks whose random goal no object of the scene shows; everywhere else the goal is a hole, a handle, a shelf..."""
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
_MOVED = ("body_pos", "body_quat", "site_pos")
"""Parts of the model that a reset or a disturbance moves."""
_VARIED = ("body_mass", "body_inertia", "geom_friction", "geom_priority", "dof_damping", "dof_frictionloss")
"""Parts of the model that `vary` changes."""


PUCK_COLOUR = (0.1, 0.25, 1.0, 1.0)
"""Meta-World's puck is dark red on brown wood under a red arm: at 64 pixels it is hard to see, so ours is blue."""


def _repaint(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        if geom.material == "block_wood":
            geom.material, geom.rgba = "", PUCK_COLOUR


LOOK = Look(
    cameras={  # the robot stands at y=0 and faces +y
        "front": Camera(position=(1.022, -0.249, 0.836), target=(0.0, 0.645, 0.198), fovy=26.0),
        "top": Camera(position=(0.02, 1.40, 1.44), target=(0.02, 0.635, 0.15), fovy=26.5),
        "gripper": "gripperPOV",
    },
    robot="base",
    hand="hand",
    repaint=_repaint,
)
Renderer = partial(MujocoRenderer, LOOK)
project = LOOK.project


def _is_view(array: np.ndarray) -> bool:
    """True for an array that shows MuJoCo's own memory: it follows the physics and must not be copied."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is not None


class Simulation:
    """A single Meta-World task. `success` is latched: reached at any step since the last reset."""

    def __init__(self, task: str) -> None:
        self.task = check_task(task)
        self.env, self._policy = self.build()
        self.env._freeze_rand_vec = False
        self.env.seeded_rand_vec = True
        self.env.max_path_length = 10**9  # the step limit is ours to apply: Meta-World raises an error past its own
        self.model, self.data = self.env.model, self.env.data
        self.xml_path: str = self.env.model_name
        self._physics = np.zeros(mujoco.mj_stateSize(self.model, _STATE))
        self.observation, self.success, self.steps = np.zeros(39), False, 0
        # After one reset every variable exists; each later reset starts from here, so that history leaves no trace.
        self.env.seed(0)
        self.observation = self.env.reset()[0]
        self._pristine = self.save()

    def build(self) -> tuple[Any, Any]:
        """Meta-World's environment of the task, and its scripted expert."""
        import metaworld  # noqa: F401 - registers the tasks
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        from metaworld.policies import ENV_POLICY_MAP

        make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{self.task}-goal-observable"]
        return make(seed=0), ENV_POLICY_MAP[self.task]()  # type: ignore[abstract]

    def reset(self, seed: int) -> None:
        """Start the episode that belongs to `seed`: positions of objects and goal depend on nothing else."""
        self.load(self._pristine)
        self.env.seed(int(seed))
        self.env.reset()
        self._observe()  # Meta-World's first observation has some fixtures where they stood before the reset
        self.observation[18:36] = self.observation[:18]
        self.success, self.steps = False, 0

    def _observe(self) -> None:
        mujoco.mj_forward(self.model, self.data)
        space = self.env.sawyer_observation_space
        self.observation = np.clip(self.env._get_obs(), space.low, space.high)

    def step(self, action: np.ndarray) -> float:
        """Execute one action (4,): hand displacement dx, dy, dz (1 = 1 cm of the target) and gripper (1 = close).

        Returns Meta-World's reward (0 to 10).
        """
        self.observation, reward, _, _, info = self.env.step(np.clip(action, -1.0, 1.0))
        self.success = self.success or bool(info["success"] > 0)
        self.steps += 1
        return float(reward)

    @property
    def state(self) -> np.ndarray:
        """Proprioception (4,) float32: hand x, y, z in metres and gripper opening in [0, 1]."""
        return self.observation[:4].astype(np.float32)

    @property
    def goal(self) -> np.ndarray | None:
        """Where to draw the goal marker (3,), None for tasks whose scene shows the goal."""
        return np.array(self.env._target_pos[:3]) if self.task in GOAL_MARKER_TASKS else None

    def expert_action(self) -> np.ndarray:
        """What Meta-World's scripted expert does now, (4,) float32 clipped to [-1, 1]. It has no memory."""
        with warnings.catch_warnings():  # it says at every step that its action is beyond [-1, 1]; we clip
            warnings.simplefilter("ignore")
            return np.clip(self._policy.get_action(self.observation), -1.0, 1.0).astype(np.float32)

    def frames(self, renderer: MujocoRenderer, show_goal: bool = True) -> dict[str, np.ndarray]:
        return renderer.frames(self.xml_path, self.model, self.data, self.goal if show_goal else None)

    def empty_frames(self, renderer: MujocoRenderer) -> dict[str, np.ndarray]:
        """`frames` of the same scene without what the task moves."""
        return renderer.frames(self.xml_path, self.model, self.data, self.goal, without_objects=True)

    def masks(self, renderer: MujocoRenderer, show_goal: bool = True) -> dict[str, np.ndarray]:
        return renderer.masks(self.xml_path, self.model, self.data, self.goal if show_goal else None)

    def segments(self, renderer: MujocoRenderer) -> dict[str, np.ndarray]:
        """Camera name -> (size, size) uint8: what each pixel shows (`rendering.ROBOT` and so on)."""
        return renderer.segments(self.xml_path, self.model, self.data, self.goal)

    @property
    def thing(self) -> np.ndarray:
        """Where the middle of the task's object is, or its handle or button: (3,) in metres."""
        if self.loose:  # Meta-World's point of a peg is at one of two ends that look alike
            return np.array(self.data.xpos[self.model.jnt_bodyid[self.object_joint()]])
        return np.array(self.env._get_pos_objects()[:3], np.float64)

    def place(self, where: np.ndarray, rng: np.random.Generator) -> None:
        """Put the object at (3,) metres, turned at random. A drawer, door, window or button is put at the share
        `where[0]` of its joint's range."""
        joint = self.object_joint()
        qpos, dof = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
        if self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            yaw, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.5) * (rng.random() < 0.15)
            self.data.qpos[qpos : qpos + 3] = where
            turn, lean = np.zeros(4), np.zeros(4)
            mujoco.mju_axisAngle2Quat(turn, np.array([0.0, 0.0, 1.0]), yaw)
            mujoco.mju_axisAngle2Quat(lean, np.array([1.0, 0.0, 0.0]), tilt)
            mujoco.mju_mulQuat(self.data.qpos[qpos + 3 : qpos + 7], turn, lean)
            self.data.qvel[dof : dof + 6] = 0.0
        else:
            low, high = self._joint_range(joint)
            self.data.qpos[qpos] = low + where[0] * (high - low)
            self.data.qvel[dof] = 0.0
        self._observe()

    def vary(self, rng: np.random.Generator) -> None:
        """Until the next reset the object is lighter or heavier, and sticks or glides; a drawer, door, window or button
        runs more or less easily."""
        joint = self.object_joint()
        root = self.model.body_rootid[self.model.jnt_bodyid[joint]]
        dof = self.model.jnt_dofadr[joint]
        mass, ease = np.exp(rng.uniform(np.log(0.4), np.log(3.0))), np.exp(rng.uniform(np.log(0.2), np.log(5.0)))
        bodies = np.flatnonzero(self.model.body_rootid == root)
        self.model.body_mass[bodies] *= mass
        self.model.body_inertia[bodies] *= mass
        if self.loose:  # of two that touch, the rougher decides, unless one has priority
            geoms = np.flatnonzero(np.isin(self.model.geom_bodyid, bodies))
            self.model.geom_priority[geoms] = 1
            self.model.geom_friction[geoms, 0] = np.exp(rng.uniform(np.log(0.1), np.log(1.0)))
        else:
            self.model.dof_damping[dof] *= ease
            self.model.dof_frictionloss[dof] *= ease

    @property
    def pose(self) -> np.ndarray:
        """Positions of the object's joint, for `pose = ...` to put it there again."""
        return self.data.qpos[self._object_qpos()].copy()

    @pose.setter
    def pose(self, pose: np.ndarray) -> None:
        self.data.qpos[self._object_qpos()] = pose

    def _object_qpos(self) -> slice:
        first = int(self.model.jnt_qposadr[self.object_joint()])
        return slice(first, first + (7 if self.loose else 1))

    @property
    def loose(self) -> bool:
        """Whether the object is no fixture."""
        return bool(self.model.jnt_type[self.object_joint()] == mujoco.mjtJoint.mjJNT_FREE)

    def save(self) -> Snapshot:
        """A snapshot; running on from it is bitwise what running on from here is."""
        mujoco.mj_getState(self.model, self.data, self._physics, _STATE)
        arrays = {"physics": self._physics.copy(), "observation": self.observation.copy()}
        for name in (*_MOVED, *_VARIED):
            arrays[f"model.{name}"] = getattr(self.model, name).copy()
        values: dict[str, Any] = {}
        for name, value in vars(self.env).items():  # Meta-World's own variables: goal, initial positions, counters, ...
            if isinstance(value, (np.ndarray, np.generic)):
                if not (isinstance(value, np.ndarray) and _is_view(value)):
                    arrays[f"env.{name}"] = np.array(value)
            elif isinstance(value, list):
                values[name] = value.copy()
            elif isinstance(value, (bool, int, float, str, type(None))):
                values[name] = value
        return Snapshot(self.task, self.success, self.steps, arrays, values)

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of the same task."""
        snapshot.check(self.task)
        for name in (*_MOVED, *_VARIED):
            getattr(self.model, name)[:] = snapshot.arrays[f"model.{name}"]
        for name, value in snapshot.values.items():
            setattr(self.env, name, value.copy() if isinstance(value, list) else value)
        for name, array in snapshot.arrays.items():
            if name.startswith("env."):
                setattr(self.env, name.removeprefix("env."), array.copy() if array.ndim else array[()])
        physics = snapshot.arrays["physics"]
        mujoco.mj_setState(self.model, self.data, physics, _STATE)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, physics, _STATE)  # forward has warmed the solver up: undo
        self.observation = snapshot.arrays["observation"].copy()
        self.success, self.steps = snapshot.success, snapshot.steps

    def disturb(self, kind: str, seed: int) -> None:
        """Interfere with the object, reproducibly.

        knock: a loose object is displaced by 5 cm, a drawer, door, window or button by a quarter of its range.
        move: put elsewhere on the table (a loose object 8 to 20 cm away; a fixture 4 to 8 cm, its goal with it).
        remove: taken out of the scene.
        """
        rng = np.random.default_rng((seed, WORLD.check_disturbance(kind)))
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle), 0.0])
        joint = self.object_joint()
        qpos, dof = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
        if self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            position = self.data.qpos[qpos : qpos + 3]
            if kind == "knock":
                position += 0.05 * direction
            elif kind == "move":
                least, most = np.array([-0.15, 0.5]), np.array([0.15, 0.85])
                place = position[:2].copy()
                if np.linalg.norm(place - place.clip(least, most)) > 0.1:  # off the table: back onto it
                    place, position[2] = place.clip(least, most), 0.05
                spot = place
                while not 0.08 < np.linalg.norm(spot - place) < 0.2:
                    spot = rng.uniform(least, most)
                position[:2] = spot
            else:
                position[:] = (2.0, 2.0, -0.85)  # on the floor, out of sight of every camera
            self.data.qvel[dof : dof + 6] = 0.0
        elif kind == "knock":
            low, high = self._joint_range(joint)
            sign = 1.0 if self.data.qpos[qpos] < (low + high) / 2 else -1.0
            self.data.qpos[qpos] += sign * 0.25 * (high - low)
            self.data.qvel[dof] = 0.0
        else:
            root = self.model.body_rootid[self.model.jnt_bodyid[joint]]
            offset = rng.uniform(0.04, 0.08) * direction if kind == "move" else np.array([0.0, 3.0, 0.0])
            self.model.body_pos[root] += offset
            if kind == "move":
                for name in ("_target_pos", "obj_init_pos"):
                    value = getattr(self.env, name)
                    if isinstance(value, np.ndarray) and not _is_view(value):
                        setattr(self.env, name, value + offset)
        self._observe()

    def object_joint(self) -> int:
        """The joint of the thing to manipulate: the first free one, else the first outside the robot."""
        robot = self.model.body("base").id
        joints = [j for j in range(self.model.njnt) if self.model.body_rootid[self.model.jnt_bodyid[j]] != robot]
        free = [j for j in joints if self.model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE]
        if self.task == "coffee-button-v3":  # the mug is loose, but the task is about the button
            return next(j for j in joints if j not in free)
        if not joints:
            raise UserError(f"task {self.task!r} has no object to disturb")
        return (free or joints)[0]

    def _joint_range(self, joint: int) -> tuple[float, float]:
        low, high = self.model.jnt_range[joint]
        return (low, high) if self.model.jnt_limited[joint] else (-0.5, 0.5)


WORLD = World(
    name="metaworld",
    robot="sawyer",
    action_size=4,
    gripper=True,
    state_size=4,
    control_hz=20.0,
    max_steps=500,
    cameras=tuple(LOOK.cameras),
    default_cameras=("front", "top"),
    disturbances=("knock", "remove", "move"),
    burst=1.0,
    simulation=Simulation,
    renderer=Renderer,
    player=play.begin,
    misled=play.misled_expert,
    hand_pixels=lambda camera, states, size: project(camera, states[:, :3], size),
)
