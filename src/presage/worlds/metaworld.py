"""One Meta-World task as a simulation: seeding, success, exact snapshots, disturbances and the scripted expert.

Three traps of Meta-World are handled here and nowhere else. Goals are only in the observation (and the expert only
works) with the goal-observable classes. Positions are only drawn from a seed with `seeded_rand_vec`. And its own
`get_env_state` forgets the mocap body and the solver, so that a restored run drifts: a `Snapshot` has all of it.
"""

import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds.instructions import check_task
from presage.worlds.rendering import mujoco  # sets the OpenGL backend before mujoco is first imported

ACTION_SIZE = 4
"""Hand displacement dx, dy, dz (1 = 1 cm of the target per step) and gripper (1 = close), each in [-1, 1]."""
CONTROL_HZ = 20.0
MAX_STEPS = 500
"""Environment steps after which Meta-World calls an episode over."""
GOAL_MARKER_TASKS = frozenset(
    """coffee-pull-v3 hand-insert-v3 pick-out-of-hole-v3 pick-place-v3 pick-place-wall-v3 plate-slide-back-side-v3
    plate-slide-back-v3 push-back-v3 push-v3 push-wall-v3 reach-v3 reach-wall-v3 stick-pull-v3 stick-push-v3""".split()
)
"""Tasks whose random goal no object of the scene shows; everywhere else the goal is a hole, a handle, a shelf..."""
DISTURBANCES = ("knock", "remove", "move")

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


@dataclass(frozen=True)
class Snapshot:
    """Everything the future of a simulation depends on."""

    task: str
    physics: np.ndarray  # mjSTATE_INTEGRATION, float64
    model: tuple[np.ndarray, np.ndarray, np.ndarray]  # body_pos, body_quat, site_pos: moved by reset and by disturbances
    attributes: dict[str, Any]  # Meta-World's own variables: goal, initial positions, step counter, ...
    observation: np.ndarray  # (39,) float64
    success: bool
    steps: int

    def to_bytes(self) -> bytes:
        return pickle.dumps(self)

    @staticmethod
    def from_bytes(data: bytes) -> "Snapshot":
        return pickle.loads(data)


def _is_view(array: np.ndarray) -> bool:
    """True for an array that shows MuJoCo's own memory: it follows the physics and must not be copied."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is not None


class Simulation:
    """A single Meta-World task. `success` is latched: reached at any step since the last reset."""

    def __init__(self, task: str) -> None:
        import metaworld  # noqa: F401 - registers the tasks
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        from metaworld.policies import ENV_POLICY_MAP

        self.task = check_task(task)
        make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"]
        self.env = make(seed=0)
        self.env._freeze_rand_vec = False
        self.env.seeded_rand_vec = True
        self.env.max_path_length = 10**9  # the step limit is ours to apply: Meta-World raises an error past its own
        self.model, self.data = self.env.model, self.env.data
        self.xml_path: str = self.env.model_name
        self._policy = ENV_POLICY_MAP[task]()  # type: ignore[abstract]
        self._physics = np.zeros(mujoco.mj_stateSize(self.model, _STATE))
        self.observation, self.success, self.steps = np.zeros(39), False, 0
        # After one reset every variable exists; each later reset starts from here, so that history leaves no trace.
        self.env.seed(0)
        self.observation = self.env.reset()[0]
        self._pristine = self.save()

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
        """Execute one action (4,), clipped to [-1, 1]; returns Meta-World's reward (0 to 10)."""
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

    def save(self) -> Snapshot:
        """A snapshot; running on from it is bitwise what running on from here is."""
        mujoco.mj_getState(self.model, self.data, self._physics, _STATE)
        attributes: dict[str, Any] = {}
        for name, value in vars(self.env).items():
            if isinstance(value, np.ndarray):
                if not _is_view(value):
                    attributes[name] = value.copy()
            elif isinstance(value, list):
                attributes[name] = value.copy()
            elif isinstance(value, (bool, int, float, str, type(None), np.generic)):
                attributes[name] = value
        model = (self.model.body_pos.copy(), self.model.body_quat.copy(), self.model.site_pos.copy())
        return Snapshot(
            self.task,
            self._physics.copy(),
            model,
            attributes,
            self.observation.copy(),
            self.success,
            self.steps,
        )

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of the same task."""
        if snapshot.task != self.task:
            raise UserError(f"snapshot of task {snapshot.task!r} cannot be restored into {self.task!r}")
        self.model.body_pos[:], self.model.body_quat[:], self.model.site_pos[:] = snapshot.model
        for name, value in snapshot.attributes.items():
            setattr(self.env, name, value.copy() if isinstance(value, (np.ndarray, list)) else value)
        mujoco.mj_setState(self.model, self.data, snapshot.physics, _STATE)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, snapshot.physics, _STATE)  # forward has warmed the solver up: undo
        self.observation, self.success, self.steps = (
            snapshot.observation.copy(),
            snapshot.success,
            snapshot.steps,
        )

    def disturb(self, kind: str, seed: int) -> None:
        """Interfere with the object, reproducibly.

        knock: a loose object is displaced by 5 cm, a drawer, door, window or button by a quarter of its range.
        move: put elsewhere on the table (a loose object 8 to 20 cm away; a fixture 4 to 8 cm, its goal with it).
        remove: taken out of the scene.
        """
        if kind not in DISTURBANCES:
            raise UserError(f"unknown disturbance {kind!r}; choose from {', '.join(DISTURBANCES)}")
        rng = np.random.default_rng((seed, DISTURBANCES.index(kind)))
        angle = rng.uniform(0, 2 * np.pi)
        direction = np.array([np.cos(angle), np.sin(angle), 0.0])
        joint = self._object_joint()
        qpos, dof = self.model.jnt_qposadr[joint], self.model.jnt_dofadr[joint]
        if self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            position = self.data.qpos[qpos : qpos + 3]
            if kind == "knock":
                position += 0.05 * direction
            elif kind == "move":
                spot = position[:2].copy()
                while not 0.08 < np.linalg.norm(spot - position[:2]) < 0.2:
                    spot = rng.uniform((-0.15, 0.5), (0.15, 0.85))
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

    def _object_joint(self) -> int:
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
