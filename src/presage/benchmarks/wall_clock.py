"""Acting in real time: the simulator runs in its own process against the wall clock and waits for nobody.

Every 200 ms it renders what the cameras see, sends it, and goes on with the chunk it has. The controller answers with
the chunk for the *next* 200 ms. So an answer is always one chunk late, and the world model is what makes up for it:
it first imagines the frame that the chunk now being executed leads to, and decides from there
(`policy/asynchronous.py`).
"""

import contextlib
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from presage.networks.base import step
from presage.networks.robot import RobotModel
from presage.policy.asynchronous import Foresight, decide_ahead
from presage.policy.grounded import CONTEXT
from presage.policy.sampled import sampled
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.worlds.protocol import Observation

TICK = 0.05
"""Seconds of one environment step: Meta-World is controlled at 20 Hz."""


def stepping(steps: int) -> Foresight:
    """The base prediction's step, denoised in `steps` steps."""
    return lambda session, running: step(session, running, steps)


def anticipate(session: Session, executing: np.ndarray, steps: int) -> np.ndarray:
    """The chunk (B, chunk, A) to execute after `executing` (B, chunk, A), which has just begun: what the grounded
    executor decides with a latency of one chunk. Video and action are denoised together."""
    return decide_ahead(session, [executing], sampled(Schedule.joint(steps)), stepping(steps))


@dataclass(frozen=True)
class Scene:
    """What the simulator process needs to know."""

    tasks: Sequence[str]
    seeds: Sequence[int]
    """Episodes are (task, seed) pairs in this order, started over when the list ends."""
    cameras: Sequence[str]
    size: int
    chunk: int
    max_steps: int
    """Chunks until an episode has failed."""
    seconds: float


@dataclass(frozen=True)
class Frame:
    """Sent to the controller at the beginning of every chunk."""

    block: int
    """Counts chunks since the clock started."""
    captured: float
    """`time.monotonic()` when the state was read; one clock for all processes of a machine."""
    instruction: str
    first: bool
    """An episode begins: the past is to be forgotten."""
    observation: Observation
    executed: np.ndarray | None
    """(chunk, A) what led here."""
    executing: np.ndarray
    """(chunk, A) what is executed from now on."""


@dataclass(frozen=True)
class Answer:
    """The controller's reply to a frame."""

    block: int
    """The chunk it is for: the one after the frame's."""
    captured: float
    """When the frame was."""
    sent: float
    chunk: np.ndarray
    """(chunk, A)"""


@dataclass
class Report:
    """What the simulator counted."""

    deadlines: int = 0
    missed: int = 0
    """Chunks that were not there when they were to begin; the robot then stands still for one chunk."""
    successes: list[bool] = field(default_factory=list)
    """Of the episodes that ended within the time."""
    ages: list[float] = field(default_factory=list)
    """Seconds from the capture of the observation an action was decided on until that action is executed."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from capture until the answer is sent: rendering, transfer, encoding, denoising."""
    late_ticks: int = 0
    """Environment steps executed more than half a tick behind the clock."""
    ticks: int = 0


def run_live(model: RobotModel, scene: Scene, steps: int, seed: int) -> tuple[Report, list[float]]:
    """Control the simulator for `scene.seconds` of wall clock; also returns the controller's own seconds per replan."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_simulate, args=(theirs, scene), daemon=True)
    process.start()
    theirs.close()
    session: Session | None = None
    computing: list[float] = []
    try:
        while True:
            message = ours.recv()
            if isinstance(message, Report):
                return message, computing
            start = time.perf_counter()
            if session is None or message.first:
                session = Session(model, [message.instruction], seed=seed, context=CONTEXT)
            session.observe(message.observation, None if message.executed is None else message.executed[None])
            if ours.poll():  # too slow: there is a newer frame already, so deciding on this one would be in vain
                continue
            chunk = anticipate(session, message.executing[None], steps)[0]
            computing.append(time.perf_counter() - start)
            ours.send(Answer(message.block + 1, message.captured, time.monotonic(), chunk))
    finally:
        ours.close()
        process.join(timeout=5)
        if process.is_alive():
            process.terminate()


def _simulate(connection: Connection, scene: Scene) -> None:
    """The simulator process. The clock starts when everything is loaded and never stops for anybody."""
    from presage.worlds.instructions import instructions
    from presage.worlds.metaworld import Renderer, Simulation

    renderer = Renderer(tuple(scene.cameras), scene.size, 2)
    simulations = {task: Simulation(task) for task in dict.fromkeys(scene.tasks)}
    for each in simulations.values():  # the first frame of a task compiles its scene
        each.frames(renderer)
    report = Report()
    still = np.zeros((scene.chunk, 4), np.float32)
    episode, steps = -1, scene.max_steps
    simulation: Any = None
    executing = still
    decided: float | None = None  # capture time of the observation that `executing` was decided on
    start = time.monotonic()
    for block in range(int(scene.seconds / (TICK * scene.chunk))):
        boundary = start + block * scene.chunk * TICK
        time.sleep(max(0.0, boundary - time.monotonic()))
        answer = _newest(connection, block, report)
        first = simulation is None or simulation.success or steps == scene.max_steps
        executed: np.ndarray | None = executing
        if first:
            if simulation is not None:
                report.successes.append(bool(simulation.success))
            episode, steps = episode + 1, 0
            task = scene.tasks[episode % len(scene.tasks)]
            simulation = simulations[task]
            simulation.reset(scene.seeds[episode % len(scene.seeds)])
            executing, executed, decided = still, None, None
        else:
            report.deadlines += 1
            report.missed += answer is None
            executing, decided = (still, None) if answer is None else (answer.chunk, answer.captured)
        captured = time.monotonic()
        frames = simulation.frames(renderer)
        observation = {f"image.{name}": image[None] for name, image in frames.items()}
        observation["state"] = simulation.state[None]
        text = instructions(task)[0]
        connection.send(Frame(block, captured, text, first, observation, executed, executing))
        for i in range(scene.chunk):
            due = boundary + i * TICK
            time.sleep(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            report.ticks += 1
            report.late_ticks += now - due > TICK / 2
            if decided is not None:
                report.ages.append(now - decided)
            simulation.step(executing[i])
        steps += 1
    connection.send(report)
    with contextlib.suppress(EOFError, OSError):
        while True:  # the controller may still be answering: listen until it hangs up
            connection.recv()


def _newest(connection: Connection, block: int, report: Report) -> Answer | None:
    """The answer for `block`, if it is there. Late ones are thrown away, but their latency counts."""
    found = None
    while connection.poll():
        answer: Answer = connection.recv()
        report.latencies.append(answer.sent - answer.captured)
        if answer.block == block:
            found = answer
    return found
