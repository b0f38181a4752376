"""Fast off-screen rendering of MuJoCo worlds at small sizes: upright, tight cameras, a goal marker a codec can keep.

A simulator's own images cost up to 100 ms each on a CPU (4096-pixel shadow maps, multisampling, 67,000 triangles) and
are framed for people. Here a second, render-only MuJoCo model per task has decimated meshes, no shadows and no
reflections, and cameras of our own (a world's `Look`). The physics never sees it: per frame, positions are copied over
and the kinematics recomputed. One OpenGL context serves every task of the process, because switching contexts is slow.
"""

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds.world import BACKGROUND, GOAL, OBJECT, ROBOT, average, check_camera

APT_LINE = "apt-get install -y --no-install-recommends libegl1 libgl1-mesa-dri"


def graphics_error(error: Exception) -> UserError:
    """What to type where nothing can be drawn; `error` is what a backend said, each in its own way."""
    backend = os.environ.get("MUJOCO_GL", "")
    remedy = f"install what is missing: {APT_LINE}"
    if backend.strip().lower() != "egl" and sys.platform == "linux":
        remedy = "type: export MUJOCO_GL=egl"
    elif os.environ.get("PYOPENGL_PLATFORM", "").lower() not in ("", "egl"):
        remedy = "type: unset PYOPENGL_PLATFORM"
    elif "MUJOCO_EGL_DEVICE_ID" in os.environ:
        remedy = "type: unset MUJOCO_EGL_DEVICE_ID"
    return UserError(f"cannot draw off screen with MUJOCO_GL={backend} ({type(error).__name__}: {error}); {remedy}")


if not os.environ.get("MUJOCO_GL") and sys.platform == "linux" and not os.environ.get("DISPLAY"):
    os.environ["MUJOCO_GL"] = "egl"  # mujoco picks its backend when it is imported
try:
    with warnings.catch_warnings(action="ignore"):  # glfw's, which the error says as well
        import mujoco
except ModuleNotFoundError:
    raise  # without its package: `find_world` says which extra to install
except Exception as error:  # each backend raises its own kind
    raise graphics_error(error) from None

MAX_FACES = 600
"""Faces kept per mesh: at 600 a 64-pixel image differs by 0.7 grey levels on average; 300 visibly damages the arm."""
GOAL_RADIUS = 0.025
GOAL_COLOUR = (0.0, 1.0, 0.1, 1.0)
"""Saturated green, with its own light: the same from every side."""
_HIDDEN = 5
"""Group of geoms that are not drawn"""


@dataclass(frozen=True)
class Camera:
    """A fixed camera: where it stands and where it looks, in metres of the world frame."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]
    fovy: float  # vertical field of view, degrees


@dataclass(frozen=True)
class Look:
    """How a world is shown: what is added to and changed in its models before they are drawn."""

    cameras: Mapping[str, Camera | str]  # fixed ones of our own; a string names a camera of the model, on the robot
    robot: str  # root body of the robot
    hand: str  # body of the robot that counts as foreground, with everything on it
    repaint: Callable[[mujoco.MjSpec], None]  # changes colours that are hard to see at 64 pixels

    def project(self, camera: str, points: np.ndarray, size: int) -> np.ndarray:
        """World points (..., 3) in metres to pixels (..., 2) of a `size` x `size` image: column, row; (0, 0) is a
        corner.

        Only for cameras that stand still; points outside the image get coordinates outside it.
        """
        fixed = self.cameras.get(camera)
        if not isinstance(fixed, Camera):
            still = [name for name, each in self.cameras.items() if isinstance(each, Camera)]
            raise UserError(f"camera {camera!r} does not stand still; project into {' or '.join(still)}")
        x_axis, y_axis = np.reshape(_camera_frame(fixed), (2, 3))
        focal = size / 2 / np.tan(np.radians(fixed.fovy) / 2)
        relative = np.asarray(points, np.float64) - fixed.position
        depth = relative @ np.cross(y_axis, x_axis)
        return size / 2 + focal * np.stack([relative @ x_axis, -(relative @ y_axis)], axis=-1) / depth[..., None]


def _camera_frame(camera: Camera) -> list[float]:
    """Image x and y axes of the camera in world coordinates (6 floats), with the world's z up in the image."""
    forward = np.subtract(camera.target, camera.position)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return [*right, *np.cross(right, forward)]


@cache
def _decimated_mesh(path: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Vertices (V, 3) and faces (F, 3) of a binary STL with at most `MAX_FACES` faces; None if it is small already."""
    import fast_simplification

    record = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    triangles = np.fromfile(path, dtype=record, offset=84)["corners"]
    if len(triangles) <= MAX_FACES:
        return None
    vertices, faces = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    return fast_simplification.simplify(
        np.ascontiguousarray(vertices), faces.reshape(-1, 3).astype(np.int32), target_count=MAX_FACES
    )


def build_render_model(xml_path: str, look: Look) -> mujoco.MjModel:
    """Compile the task's XML with decimated meshes and the look's cameras; bodies, joints and sites stay the same."""
    spec = mujoco.MjSpec.from_file(xml_path)
    for mesh in spec.meshes:
        simple = _decimated_mesh(os.path.normpath(os.path.join(os.path.dirname(xml_path), spec.meshdir, mesh.file)))
        if simple is not None:
            mesh.file = ""
            mesh.uservert = simple[0].astype(np.float64).ravel()
            mesh.userface = simple[1].astype(np.int32).ravel()
    for name, camera in look.cameras.items():
        if isinstance(camera, Camera):
            x_y = _camera_frame(camera)
            element = spec.worldbody.add_camera(name=name, pos=camera.position, fovy=camera.fovy)
            element.alt.type = mujoco.mjtOrientation.mjORIENTATION_XYAXES
            element.alt.xyaxes = x_y
    look.repaint(spec)
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    return spec.compile()


@cache
def _gl_context() -> Any:
    """The one OpenGL context of this process, bound to the thread that draws first.

    Every task draws into a framebuffer of its own, so the size given here does not matter.
    """
    try:
        from mujoco.gl_context import GLContext

        GLContext._context = None  # what one that could not be made tries to free
        with warnings.catch_warnings(action="ignore"):
            context = GLContext(64, 64)
            context.make_current()
    except Exception as error:
        raise graphics_error(error) from None
    return context


@dataclass
class _RenderTask:
    """What one task needs to be drawn: render-only model and data, scene list, and its meshes on the GL side."""

    model: mujoco.MjModel
    data: mujoco.MjData
    scene: mujoco.MjvScene
    context: mujoco.MjrContext
    foreground: np.ndarray  # (ngeom,) bool: gripper and whatever the task moves
    labels: np.ndarray  # (ngeom,) uint8: BACKGROUND, ROBOT or OBJECT


class MujocoRenderer:
    """Draws simulations at `size` x `size`, rendered at `supersample` times that and averaged by area."""

    def __init__(self, look: Look, cameras: tuple[str, ...], size: int, supersample: int = 2) -> None:
        self.look, self.cameras, self.size, self.supersample = look, tuple(cameras), size, supersample
        for camera in cameras:
            check_camera(camera, look.cameras)
        self._pixels = size * supersample
        self._gl = _gl_context()  # stays current: making it current for every frame would cost 1 ms
        self._tasks: dict[str, _RenderTask] = {}
        self._options = mujoco.MjvOption()
        self._options.sitegroup[:] = 0  # the world's own markers; the goal marker is drawn by us
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._perturb = mujoco.MjvPerturb()
        self._viewport = mujoco.MjrRect(0, 0, self._pixels, self._pixels)
        self._buffer = np.zeros((self._pixels, self._pixels, 3), np.uint8)

    def _task(self, xml_path: str) -> _RenderTask:
        if xml_path not in self._tasks:
            model = build_render_model(xml_path, self.look)
            model.vis.global_.offwidth = model.vis.global_.offheight = self._pixels
            scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 16)
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                scene.flags[flag] = 0
            try:
                context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
            except mujoco.FatalError as error:  # a context was opened that cannot draw
                raise graphics_error(error) from None
            parts = _parts(model, self.look)
            self._tasks[xml_path] = _RenderTask(model, mujoco.MjData(model), scene, context, *parts)
        return self._tasks[xml_path]

    def _update(
        self, xml_path: str, model: mujoco.MjModel, data: mujoco.MjData, goal: np.ndarray | None
    ) -> _RenderTask:
        """Bring the render model of `xml_path` to the state of the simulation and fill its scene."""
        task = self._task(xml_path)
        # Binds this task's framebuffer: without it the first image would be drawn into that of the task drawn before.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, task.context)
        task.model.body_pos[:] = model.body_pos
        task.model.body_quat[:] = model.body_quat
        task.data.qpos[:] = data.qpos
        task.data.mocap_pos[:] = data.mocap_pos
        task.data.mocap_quat[:] = data.mocap_quat
        mujoco.mj_kinematics(task.model, task.data)
        mujoco.mj_camlight(task.model, task.data)
        self._camera.fixedcamid = 0
        mujoco.mjv_updateScene(
            task.model,
            task.data,
            self._options,
            self._perturb,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            task.scene,
        )
        if goal is not None:
            marker = task.scene.geoms[task.scene.ngeom]
            mujoco.mjv_initGeom(
                marker,
                mujoco.mjtGeom.mjGEOM_SPHERE,
                np.full(3, GOAL_RADIUS),
                goal,
                np.eye(3).ravel(),
                GOAL_COLOUR,
            )
            marker.emission = 0.5  # the same colour from every side
            task.scene.ngeom += 1
        return task

    def _draw(self, task: _RenderTask, camera: str) -> np.ndarray:
        """The current scene from one camera, (P, P, 3) uint8, rows from top to bottom; a view of a reused buffer."""
        mounted = self.look.cameras[camera]
        self._camera.fixedcamid = task.model.camera(mounted if isinstance(mounted, str) else camera).id
        mujoco.mjv_updateCamera(task.model, task.data, self._camera, task.scene)
        mujoco.mjr_render(self._viewport, task.scene, task.context)
        mujoco.mjr_readPixels(self._buffer, None, self._viewport, task.context)
        return self._buffer[::-1]  # OpenGL counts rows from the bottom

    def frames(
        self,
        xml_path: str,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        goal: np.ndarray | None,
        without_objects: bool = False,
    ) -> dict[str, np.ndarray]:
        """Images of the simulation, camera name -> (S, S, 3) uint8; `goal` (3,) is marked unless None."""
        group = self._task(xml_path).model.geom_group
        shown = group.copy()
        if without_objects:
            group[self._task(xml_path).labels == OBJECT] = _HIDDEN
        task = self._update(xml_path, model, data, goal)
        group[:] = shown
        return {name: average(self._draw(task, name), self.supersample) for name in self.cameras}

    def masks(
        self, xml_path: str, model: mujoco.MjModel, data: mujoco.MjData, goal: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Camera name -> (S, S) bool: pixels that show, if only in part, the gripper, the object or the goal marker."""
        foreground = self._task(xml_path).foreground
        return self._labelled(xml_path, model, data, goal, foreground, True)

    def segments(
        self, xml_path: str, model: mujoco.MjModel, data: mujoco.MjData, goal: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Camera name -> (S, S) uint8: what a pixel shows, if only in part: BACKGROUND, GOAL, ROBOT or OBJECT (whatever
        a joint outside the robot moves)."""
        labels = self._task(xml_path).labels
        return self._labelled(xml_path, model, data, goal, labels, GOAL)

    def _labelled(
        self,
        xml_path: str,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        goal: np.ndarray | None,
        of_geoms: np.ndarray,
        of_goal: int,
    ) -> dict[str, np.ndarray]:
        """Camera name -> (S, S), of each pixel the largest label among those of what it shows."""
        task = self._update(xml_path, model, data, goal)
        labels = np.zeros(task.scene.ngeom + 1, of_geoms.dtype)  # entry 0 is the background
        for index in range(task.scene.ngeom):
            geom = task.scene.geoms[index]
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                labels[geom.segid + 1] = of_geoms[geom.objid]
            elif index == task.scene.ngeom - 1 and goal is not None:
                geom.segid = index
                labels[index + 1] = of_goal
        flags = task.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
        found = {}
        for name in self.cameras:
            colour = self._draw(task, name).astype(np.int64)
            ids = np.minimum(colour @ (1, 256, 65536), task.scene.ngeom)
            k = self.supersample
            found[name] = labels[ids].reshape(self.size, k, self.size, k).max(axis=(1, 3))
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
        return found


def _parts(model: mujoco.MjModel, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Of each geom (ngeom,): bool, whether it belongs to the hand or to a body outside the robot that a joint moves;
    uint8, whether it is of the background, the robot or such an object."""
    hand, robot, thing = (np.zeros(model.nbody, bool) for _ in range(3))
    for body in range(1, model.nbody):
        parent, name = model.body_parentid[body], model.body(body).name
        robot[body] = robot[parent] or name == look.robot
        hand[body] = hand[parent] or name == look.hand
        thing[body] = thing[parent] or (model.body_jntnum[body] > 0 and not robot[body])
    labels = np.where(thing & ~robot, OBJECT, np.where(robot, ROBOT, BACKGROUND)).astype(np.uint8)
    return (hand | thing)[model.geom_bodyid], labels[model.geom_bodyid]
