"""Push-T: a round agent pushes a T-shaped block onto its outline, in two dimensions (Chi et al. 2023, Diffusion
Policy).

Scene, control law, starting states and success (95 % of the outline covered) are those of gym-pusht 0.1.8 (Apache-2.0),
which seeds and figures can be compared with. Its package is not imported: it brings OpenCV and pygame (240 MB, and
libGL) for its pictures, and a physics space that lives on from step to step keeps contacts and a search tree that
cannot be saved, so that no copy of it runs on bit for bit. Here every control step starts from a fresh space, and the
future depends on ten numbers. What is lost is the warm start of the contact solver in one of ten substeps.

Lengths are pixels of the 512 x 512 arena, y points down, angles turn from x to y.
"""

from typing import Any

import numpy as np
import pymunk
from PIL import Image, ImageDraw
from shapely.geometry import Polygon

from presage.worlds.pusht_expert import ARM, push_target
from presage.worlds.pusht_play import begin
from presage.worlds.pusht_shape import ARENA, BOXES, CENTRE, GOAL_ANGLE, GOAL_CENTRE, OUTLINE, RADIUS, rotation
from presage.worlds.world import GOAL as GOAL_SHOWN
from presage.worlds.world import OBJECT, ROBOT, Snapshot, World, average, check_camera

SUBSTEPS, SECONDS = 10, 0.01
STIFFNESS, DAMPING = 100.0, 20.0
SUCCESS = 0.95

WHITE, WALL = (255, 255, 255), (211, 211, 211)
AGENT, AGENT_LIGHT = (65, 105, 225), (78, 126, 255)
BLOCK, BLOCK_LIGHT = (119, 136, 153), (143, 163, 184)
GOAL = (144, 238, 144)
SHOWS = {GOAL: GOAL_SHOWN, AGENT: ROBOT, AGENT_LIGHT: ROBOT, BLOCK: OBJECT, BLOCK_LIGHT: OBJECT}
"""Colour -> what it shows"""


def _world_points(points: np.ndarray, centre: np.ndarray, angle: float) -> np.ndarray:
    """Points of the block (N, 2), relative to its centre of gravity, in the arena."""
    return points @ rotation(angle).T + centre


STEM_END = np.array([[0.0, 75.0]])
"""A point of the block, relative to its centre of gravity"""
_GOAL_AREA = Polygon(_world_points(OUTLINE, GOAL_CENTRE, GOAL_ANGLE))


class Simulation:
    """One episode of Push-T. `success` is latched: reached after any control step since the last reset."""

    def __init__(self, task: str) -> None:
        self.task, self.success, self.steps = task, False, 0
        self.agent = np.zeros(4)  # x, y, velocity
        self.block = np.zeros(6)  # centre of gravity x, y, angle, velocity, angular velocity

    def reset(self, seed: int) -> None:
        """The starting state of gym-pusht for this seed."""
        rng = np.random.default_rng(seed)
        agent = [float(rng.integers(50, 450)) for _ in range(2)]
        position = [float(rng.integers(100, 400)) for _ in range(2)]
        angle = rng.uniform(-np.pi, np.pi)
        # gym-pusht places the corner of the T where its position is drawn and then turns it about its centre.
        self.agent = np.array([*agent, 0.0, 0.0])
        self.block = np.array([*(position + CENTRE), angle, 0.0, 0.0, 0.0])
        space, agent_body, block_body = self._space()
        space.step(SECONDS)
        self._read(agent_body, block_body)
        self.success, self.steps = False, 0

    def _space(self) -> tuple[pymunk.Space, pymunk.Body, pymunk.Body]:
        """A fresh space in the present state, with its agent and block."""
        space = pymunk.Space()
        space.damping = 0.0  # nothing glides on
        corners = [(5, 506), (5, 5), (506, 5), (506, 506)]
        space.add(*(pymunk.Segment(space.static_body, corners[i - 1], corners[i], 2) for i in range(4)))
        agent = pymunk.Body(body_type=pymunk.Body.KINEMATIC)
        agent.position, agent.velocity = tuple(self.agent[:2]), tuple(self.agent[2:])
        space.add(agent, pymunk.Circle(agent, RADIUS))
        shapes = [[tuple(corner) for corner in (box + CENTRE).tolist()] for box in BOXES]
        block = pymunk.Body(1, 2 * pymunk.moment_for_poly(1, shapes[0]))
        polygons = [pymunk.Poly(block, shape) for shape in shapes]
        # Only with the centre of gravity at the origin does pymunk take and give its position exactly.
        block.position = tuple(self.block[:2])
        block.center_of_gravity = tuple(CENTRE)
        block.angle = self.block[2]
        block.velocity, block.angular_velocity = tuple(self.block[3:5]), self.block[5]
        space.add(block, *polygons)
        return space, agent, block

    def _read(self, agent: pymunk.Body, block: pymunk.Body) -> None:
        angle = block.angle
        block.center_of_gravity = (0, 0)
        block.angle = angle  # recomputes the position from the centre of gravity
        self.agent = np.array([*agent.position, *agent.velocity])
        self.block = np.array([*block.position, angle, *block.velocity, block.angular_velocity])

    @property
    def coverage(self) -> float:
        """How much of the outline the block covers, in [0, 1]."""
        block = Polygon(_world_points(OUTLINE, self.block[:2], self.block[2]))
        return _GOAL_AREA.intersection(block).area / _GOAL_AREA.area

    def step(self, action: np.ndarray) -> float:
        """Execute one action (2,): where the agent shall go, -1 and 1 being the ends of the arena.

        Returns gym-pusht's reward: the share of the coverage that is asked for, in [0, 1].
        """
        x, y = ((np.clip(np.asarray(action, np.float64), -1.0, 1.0) + 1.0) * (ARENA / 2)).tolist()
        space, agent, block = self._space()
        for _ in range(SUBSTEPS):
            (px, py), (vx, vy) = agent.position, agent.velocity
            agent.velocity = (
                vx + (STIFFNESS * (x - px) - DAMPING * vx) * SECONDS,
                vy + (STIFFNESS * (y - py) - DAMPING * vy) * SECONDS,
            )
            space.step(SECONDS)
        self._read(agent, block)
        self.steps += 1
        coverage = self.coverage
        self.success = self.success or coverage > SUCCESS
        return min(coverage / SUCCESS, 1.0)

    @property
    def state(self) -> np.ndarray:
        """Proprioception (2,) float32: x, y of the agent in pixels of the arena."""
        return self.agent[:2].astype(np.float32)

    def expert_action(self) -> np.ndarray:
        target = push_target(self.block[:2], self.block[2], self.agent[:2], self.agent[2:])
        return np.clip(target / (ARENA / 2) - 1.0, -1.0, 1.0).astype(np.float32)

    def save(self) -> Snapshot:
        arrays = {"agent": self.agent.copy(), "block": self.block.copy()}
        return Snapshot(self.task, self.success, self.steps, arrays)

    def load(self, snapshot: Snapshot) -> None:
        snapshot.check(self.task)
        self.agent, self.block = snapshot.arrays["agent"].copy(), snapshot.arrays["block"].copy()
        self.success, self.steps = snapshot.success, snapshot.steps

    def disturb(self, kind: str, seed: int) -> None:
        """knock: the block is displaced by 30 pixels and turned by up to 0.4 rad. move: put elsewhere."""
        rng = np.random.default_rng((seed, WORLD.check_disturbance(kind)))
        if kind == "knock":
            angle = rng.uniform(0, 2 * np.pi)
            spot = self.block[:2] + 30.0 * np.array([np.cos(angle), np.sin(angle)])
            turn = rng.uniform(-0.4, 0.4)
        else:
            spot = self.block[:2].copy()
            while np.linalg.norm(spot - self.block[:2]) < 60.0:
                spot = rng.uniform(130.0, 380.0, 2)
            turn = rng.uniform(-np.pi, np.pi)
        self.block = np.array([*np.clip(spot, 80.0, 430.0), self.block[2] + turn, 0.0, 0.0, 0.0])

    def frames(self, renderer: "Renderer", show_goal: bool = True) -> dict[str, np.ndarray]:
        image = average(np.asarray(renderer.draw(self, show_goal)), renderer.supersample)
        return {name: image.copy() for name in renderer.cameras}

    def empty_frames(self, renderer: "Renderer") -> dict[str, np.ndarray]:
        """`frames` of the same arena without the block."""
        image = average(np.asarray(renderer.draw(self, block=False)), renderer.supersample)
        return {name: image.copy() for name in renderer.cameras}

    def segments(self, renderer: "Renderer", show_goal: bool = True) -> dict[str, np.ndarray]:
        """Camera name -> (size, size) uint8: what each pixel shows, if only in part (`world.ROBOT` and so on)."""
        size, k = renderer.size, renderer.supersample
        drawn = np.asarray(renderer.draw(self, show_goal, labels=True))[..., 0]
        shown = drawn.reshape(size, k, size, k).max(axis=(1, 3))
        return {name: shown.copy() for name in renderer.cameras}

    def masks(self, renderer: "Renderer", show_goal: bool = True) -> dict[str, np.ndarray]:
        return {name: shown > 0 for name, shown in self.segments(renderer, show_goal).items()}

    @property
    def thing(self) -> np.ndarray:
        """Where the block is and how it is turned: (3,) x, y of its centre of gravity and its angle, all in pixels of
        the arena: a turn is as large as the way of a point at the radius of gyration."""
        return self.block[:3] * ARM

    @property
    def stem(self) -> np.ndarray:
        """Where the end of the T's stem is: (2,) pixels of the arena."""
        return _world_points(STEM_END, self.block[:2], self.block[2])[0]

    def place(self, where: np.ndarray, rng: np.random.Generator) -> None:
        """Put the block at (2,) pixels of the arena, turned at random."""
        self.pose = np.array([*where[:2], rng.uniform(-np.pi, np.pi), 0.0, 0.0, 0.0])

    @property
    def pose(self) -> np.ndarray:
        """(6,) of the block, for `pose = ...` to put it there again."""
        return self.block.copy()

    @pose.setter
    def pose(self, pose: np.ndarray) -> None:
        self.block = pose.copy()


class Renderer:
    """Draws the arena at `size` x `size`, at `supersample` times that and averaged; the one camera looks straight
    down."""

    def __init__(self, cameras: tuple[str, ...], size: int, supersample: int = 2) -> None:
        for camera in cameras:
            check_camera(camera, WORLD.cameras)
        self.cameras, self.size, self.supersample = tuple(cameras), size, supersample
        self._scale = size * supersample / ARENA

    def draw(
        self, simulation: Simulation, show_goal: bool = True, labels: bool = False, block: bool = True
    ) -> Image.Image:
        """The picture before averaging; with `labels`, what each pixel shows in place of its colour. block: whether it
        is drawn."""
        pixels, scale = self.size * self.supersample, self._scale
        image = Image.new("RGB", (pixels, pixels), (0, 0, 0) if labels else WHITE)
        pen = ImageDraw.Draw(image)

        def paint(colour: tuple[int, int, int]) -> tuple[int, int, int]:
            # The second number keeps colours apart: pillow leaves out an outline of the colour of its filling.
            return (SHOWS[colour], colour[0], 0) if labels else colour

        def polygon(points: np.ndarray, fill: Any, outline: Any = None) -> None:
            pen.polygon([tuple(p) for p in (points * scale - 0.5).tolist()], fill, outline, max(1, round(4 * scale)))

        if not labels:
            low, high = 5 * scale - 0.5, 506 * scale
            pen.rectangle([low, low, high, high], None, WALL, max(1, round(4 * scale)))
        if show_goal:
            polygon(_world_points(OUTLINE, GOAL_CENTRE, GOAL_ANGLE), paint(GOAL))
        x, y = simulation.agent[:2] * scale - 0.5
        for radius, colour in ((RADIUS, AGENT), (RADIUS - 4, AGENT_LIGHT)):
            r = radius * scale
            pen.ellipse([x - r, y - r, x + r, y + r], paint(colour))
        for box in BOXES if block else ():
            polygon(_world_points(box, simulation.block[:2], simulation.block[2]), paint(BLOCK_LIGHT), paint(BLOCK))
        return image


WORLD = World(
    name="pusht",
    robot="pusht",
    action_size=2,
    gripper=False,
    state_size=2,
    control_hz=1 / (SUBSTEPS * SECONDS),
    max_steps=300,
    cameras=("top",),
    default_cameras=("top",),
    disturbances=("knock", "move"),
    burst=0.25,  # an action is a place in the arena: 64 pixels
    simulation=Simulation,
    renderer=Renderer,
    player=begin,
    hand_pixels=lambda camera, states, size: states[:, :2].astype(np.float64) * (size / ARENA),
)
