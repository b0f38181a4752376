"""Any world as a gymnasium vector environment of action chunks, in this process or spread over worker processes.

Environments of one task share one simulation: whoever is stepped loads its snapshot first (bitwise exact, tens of
microseconds). So fifty environments of fifty tasks need fifty models, not 2,500, and an environment can change its task
at every reset.
"""

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.worlds.contract import ChunkEnv, Observation
from presage.worlds.instructions import check_task, instructions
from presage.worlds.world import Simulation, Snapshot, check_camera, common_world, find_world

_SAME = ("action_size", "state_size")


@dataclass(frozen=True)
class View:
    """What is observed: camera names, image size in pixels, supersampling and whether the goal is marked."""

    cameras: tuple[str, ...]
    size: int
    supersample: int
    show_goal: bool


class Slots:
    """The environments of one process. Methods take slot numbers and answer with one row per slot."""

    def __init__(self, count: int, view: View) -> None:
        self.view = view
        self.renderers: dict[str, Any] = {}  # by world
        self.simulations: dict[str, Simulation] = {}  # by task
        self.owner: dict[str, int] = {}  # task -> the slot whose state its simulation is in
        self.tasks: list[str | None] = [None] * count
        self.snapshots: list[Snapshot | None] = [
            None
        ] * count  # current for every slot that does not own its simulation

    def _simulation(self, slot: int) -> Simulation:
        """The simulation of the slot's task, in the slot's state."""
        task = self.tasks[slot]
        if task is None:
            raise UserError(f"environment {slot} was never reset; call reset first")
        self._take(slot, task)
        return self.simulations[task]

    def _take(self, slot: int, task: str, load: bool = True) -> None:
        if task not in self.simulations:
            self.simulations[task] = find_world(task).simulation(task)
        owner = self.owner.get(task)
        if owner == slot:
            return
        if owner is not None:
            self.snapshots[owner] = self.simulations[task].save()
        snapshot = self.snapshots[slot]
        if load and snapshot is not None:
            self.simulations[task].load(snapshot)
        self.owner[task] = slot

    def _release(self, slot: int) -> None:
        task = self.tasks[slot]
        if task is not None and self.owner.get(task) == slot:
            del self.owner[task]

    def _renderer(self, simulation: Simulation) -> Any:
        world, view = find_world(simulation.task), self.view
        if world.name not in self.renderers:
            self.renderers[world.name] = world.renderer(view.cameras, view.size, view.supersample)
        return self.renderers[world.name]

    def observe(self, slots: Sequence[int]) -> tuple[Observation, np.ndarray]:
        """Images and state of the slots, and their success so far (n,)."""
        images: dict[str, list[np.ndarray]] = {name: [] for name in self.view.cameras}
        states, success = [], []
        for slot in slots:
            simulation = self._simulation(slot)
            frames = simulation.frames(self._renderer(simulation), self.view.show_goal)
            for name in self.view.cameras:
                images[name].append(frames[name])
            states.append(simulation.state)
            success.append(simulation.success)
        observation = {f"image.{name}": np.stack(images[name]) for name in self.view.cameras}
        return observation | {"state": np.stack(states)}, np.array(success, bool)

    def reset(self, slots: Sequence[int], tasks: Sequence[str], seeds: Sequence[int]) -> Any:
        for slot, task, seed in zip(slots, tasks, seeds, strict=True):
            self._release(slot)
            self._take(slot, task, load=False)
            self.tasks[slot] = task
            self.simulations[task].reset(seed)
        return self.observe(slots)

    def step(self, slots: Sequence[int], chunks: np.ndarray) -> Any:
        """Execute a chunk (n, chunk, A) per slot; also returns the summed reward and the steps since reset."""
        rewards, steps, results = np.zeros(len(slots)), np.zeros(len(slots), np.int64), []
        for row, slot in enumerate(slots):
            simulation = self._simulation(slot)
            rewards[row] = sum(simulation.step(action) for action in chunks[row])
            steps[row] = simulation.steps
            results.append(self.observe([slot]))  # now, while this slot owns the simulation
        observation = {key: np.concatenate([each[0][key] for each in results]) for key in results[0][0]}
        return observation, np.concatenate([each[1] for each in results]), rewards, steps

    def snapshot(self, slots: Sequence[int]) -> list[bytes]:
        return [self._simulation(slot).save().to_bytes() for slot in slots]

    def restore(self, slots: Sequence[int], snapshots: Sequence[bytes]) -> Any:
        for slot, data in zip(slots, snapshots, strict=True):
            snapshot = Snapshot.from_bytes(data)
            self._release(slot)
            self.tasks[slot], self.snapshots[slot] = snapshot.task, snapshot
        observation, success = self.observe(slots)
        steps = np.array([self._simulation(slot).steps for slot in slots], np.int64)
        return observation, success, steps, [self.tasks[slot] for slot in slots]

    def expert_chunk(self, slots: Sequence[int], shape: tuple[int, int]) -> np.ndarray:
        """The expert's next actions, (n, *shape) with `shape` (chunk, A): it is run ahead, then everything is put
        back."""
        chunks = np.zeros((len(slots), *shape), np.float32)
        for row, slot in enumerate(slots):
            simulation = self._simulation(slot)
            before = simulation.save()
            for step in range(shape[0]):
                chunks[row, step] = simulation.expert_action()
                simulation.step(chunks[row, step])
            simulation.load(before)
        return chunks

    def disturb(self, slots: Sequence[int], kind: str, seed: int) -> Any:
        for slot in slots:
            self._simulation(slot).disturb(kind, seed)
        return self.observe(slots)

    def masks(self, slots: Sequence[int]) -> dict[str, np.ndarray]:
        masks = []
        for slot in slots:
            simulation = self._simulation(slot)
            masks.append(simulation.masks(self._renderer(simulation), self.view.show_goal))
        return {name: np.stack([each[name] for each in masks]) for name in self.view.cameras}


def _serve(connection: Connection, count: int, view: View) -> None:
    """A worker process: answer method calls until the other side is gone."""
    slots: Slots | None = None
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            method, arguments = connection.recv()
            try:
                slots = slots or Slots(count, view)
                answer = True, getattr(slots, method)(*arguments)
            except Exception as error:
                answer = False, error
            connection.send(answer)


class VectorWorld(ChunkEnv):
    """N environments stepped by action chunks; their tasks decide the world. Autoreset is disabled: nothing restarts
    by itself.

    Observations: `image.<camera>` (N, S, S, 3) uint8 and `state` (N, state_size) float32 (Meta-World and Fetch: hand
    x, y, z in metres, gripper opening in [0, 1]; Push-T: x, y of the agent). Actions: (N, chunk, A), clipped to
    [-1, 1]. `info` has `success` (N,) bool (reached at any environment step since the reset), `steps` (N,) environment
    steps, and the lists `task` and `instruction`; `_success` (N,) bool and so on say which environments were reset or
    stepped. `terminated` is success, `truncated` is the simulator's own limit of environment steps; stepping on is
    allowed. Tasks of several worlds fit together when their actions and states have the same size.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        num_envs: int = 1,
        cameras: Sequence[str] | None = None,  # None: the world's own choice
        size: int = 64,
        supersample: int = 2,
        chunk: int = 4,
        show_goal: bool = True,
        workers: int = 0,
    ) -> None:
        if isinstance(tasks, str):
            raise UserError(f"tasks: {tasks!r} is a text; give a list, [{tasks!r}]")
        least = {"num_envs": num_envs, "tasks": len(tasks), "size": size, "supersample": supersample, "chunk": chunk}
        for name, value in least.items():
            if value < 1:
                raise UserError(f"{name}: {value} is not enough; give at least 1")
        if workers < 0:
            raise UserError(f"workers: {workers}; give 0 or more")
        self.tasks = [check_task(task) for task in tasks]
        worlds = common_world(self.tasks, same=_SAME)
        cameras = worlds[0].default_cameras if cameras is None else cameras
        for world in worlds:
            for camera in cameras:
                check_camera(camera, world.cameras)
        self.robot = worlds[0].robot
        self.action_size, self.state_size, self.chunk = worlds[0].action_size, worlds[0].state_size, chunk
        super().__init__(num_envs, cameras, size, self.state_size, (chunk, self.action_size), bound=1.0)
        self._task = [self.tasks[index % len(tasks)] for index in range(num_envs)]
        view = View(self.cameras, size, supersample, show_goal)
        self._local = Slots(num_envs, view) if workers == 0 else None
        self._connections: list[Connection] = []
        self._processes: list[Any] = []
        context = multiprocessing.get_context("spawn")  # a forked process cannot use its parent's OpenGL context
        for _ in range(min(workers, num_envs)):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, num_envs, view), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)

    def _call(self, method: str, indices: np.ndarray, *arguments: Any, split: tuple = ()) -> list[tuple]:
        """Call a method of `Slots` where the environments live; `split` arguments have one entry per index.

        Returns [(rows of `indices`, result)], one per process. Environment i lives in worker i modulo workers.
        """
        self._check_open()
        if not len(indices):
            return []
        if self._local is not None:
            rows = np.arange(len(indices))
            return [(rows, getattr(self._local, method)([int(i) for i in indices], *split, *arguments))]
        try:
            answers = list(self._ask(method, indices, arguments, split))
        except (EOFError, OSError):
            gone = wait([process.sentinel for process in self._processes], timeout=1)
            for process in self._processes:
                if process.sentinel in gone:
                    process.join(1)  # its pipes close a moment before it has an exit code
            codes = [process.exitcode for process in self._processes if process.exitcode is not None]
            self.close()
            cause = f"exit code {codes[0]}" if codes else "its connection is closed"
            raise UserError(
                f"a worker process of the world died ({cause}); make the world again, with fewer workers "
                "if memory is short"
            ) from None
        except BaseException:
            self.close()  # answers are still under way: nobody may take them for later ones
            raise
        for _, (fine, result) in answers:
            if not fine:
                raise result
        return [(rows, result) for rows, (_, result) in answers]

    def _ask(self, method: str, indices: np.ndarray, arguments: tuple, split: tuple) -> Iterator[tuple]:
        """(rows of `indices`, answer) of every worker that has some; all are asked before the first answer is
        awaited."""
        pending = []
        for worker, connection in enumerate(self._connections):
            rows = np.flatnonzero(indices % len(self._connections) == worker)
            if len(rows):
                mine = [each[rows] if isinstance(each, np.ndarray) else [each[r] for r in rows] for each in split]
                connection.send((method, ([int(i) for i in indices[rows]], *mine, *arguments)))
                pending.append((rows, connection))
        for rows, connection in pending:
            yield rows, connection.recv()

    def _keep(self, indices: np.ndarray, observation: Observation, success: np.ndarray) -> None:
        for key, value in observation.items():
            self._observation[key][indices] = value
        self._success[indices] = success

    def _info(self, rows: np.ndarray) -> dict[str, Any]:
        info = {
            "success": self._success.copy(),
            "steps": self._steps.copy(),
            "task": list(self._task),
            "instruction": [instructions(task)[0] for task in self._task],
        }
        return self._masked(info, rows)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start episodes. `seed`: one per environment; an int counts up from there, and None is drawn, by an
        environment that was seeded before from its own generator.

        options: `task`, one task name per environment (default: the tasks of the constructor in turn), and `reset_mask`
        (N,) bool, the environments to reset (default: all); the others stay as they are.

        Raises:
            UserError: a seed is negative, an option is unknown, a task does not exist or does not fit.
        """
        options = self._read_options(options, ("task", "reset_mask"))
        rows = self._rows_to_reset(options)
        turns = [self.tasks[index % len(self.tasks)] for index in range(self.num_envs)]
        every = self._read_texts("task", options.get("task", turns))
        tasks = [every[row] for row in rows]
        common_world([*self.tasks, *tasks], same=_SAME)
        seeds = self._draw_seeds(seed, rows)
        for part, result in self._call("reset", rows, split=(tasks, [seeds[row] for row in rows])):
            self._keep(rows[part], *result)
        for row in rows:
            self._task[row] = every[row]
        self._steps[rows] = 0
        self._started[rows] = True
        return self._observed(), self._info(rows)

    def step(  # type: ignore[override]
        self, actions: np.ndarray, active: np.ndarray | None = None
    ) -> tuple[Observation, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Execute one chunk (N, chunk, A) per environment; those not `active` (N,) stand still and cost nothing.

        Raises:
            UserError: actions of another shape, not finite, or for an environment that was never reset.
        """
        chunks, indices = self._read_actions(actions, active)
        rewards = np.zeros(self.num_envs)
        for rows, (observation, success, reward, steps) in self._call("step", indices, split=(chunks[indices],)):
            self._keep(indices[rows], observation, success)
            rewards[indices[rows]] = reward
            self._steps[indices[rows]] = steps
        limits = np.array([find_world(task).max_steps for task in self._task])
        return self._observed(), rewards, self._success.copy(), self._steps >= limits, self._info(indices)

    def snapshot(self, indices: Sequence[int]) -> list[bytes]:
        """Everything the future of these environments depends on; also good in another process."""
        snapshots: list[bytes] = [b""] * len(indices)
        for rows, result in self._call("snapshot", np.asarray(indices)):
            for row, data in zip(rows, result, strict=True):
                snapshots[row] = data
        return snapshots

    def restore(self, indices: Sequence[int], snapshots: Sequence[bytes]) -> Observation:
        """Put environments into the states of `snapshots`, bitwise; returns the observation of all N."""
        where = np.asarray(indices)
        for rows, (observation, success, steps, tasks) in self._call("restore", where, split=(list(snapshots),)):
            self._keep(where[rows], observation, success)
            self._steps[where[rows]] = steps
            self._started[where[rows]] = True
            for row, task in zip(rows, tasks, strict=True):
                self._task[where[row]] = task
        return self._observed()

    def expert_chunk(self, active: np.ndarray | None = None) -> np.ndarray:
        """What the scripted experts would do now, (N, chunk, A) float32; leaves no trace. Zeros where not `active`."""
        indices = np.arange(self.num_envs) if active is None else np.flatnonzero(active)
        chunks = np.zeros((self.num_envs, self.chunk, self.action_size), np.float32)
        for rows, result in self._call("expert_chunk", indices, chunks.shape[1:]):
            chunks[indices[rows]] = result
        return chunks

    def disturb(self, index: int, kind: str, seed: int = 0) -> Observation:
        """Interfere with the object of one environment (a kind of its world); returns the new observation."""
        for _, result in self._call("disturb", np.array([index]), kind, seed):
            self._keep(np.array([index]), *result)
        return self._observed()

    def masks(self) -> dict[str, np.ndarray]:
        """Camera -> (N, S, S) bool: pixels of the gripper, the object (whatever the task moves) and the goal marker."""
        masks = {name: np.zeros((self.num_envs, self.size, self.size), bool) for name in self.cameras}
        for rows, result in self._call("masks", np.arange(self.num_envs)):
            for name in self.cameras:
                masks[name][rows] = result[name]
        return masks

    def hand_pixels(self, camera: str) -> np.ndarray:
        """Where the hand (or agent) is in the image: (N, 2) float, column and row in pixels."""
        rows = [find_world(task).hand_pixels for task in self._task]
        states = self._observation["state"]
        return np.concatenate([each(camera, states[[i]], self.size) for i, each in enumerate(rows)])

    def close_extras(self, **kwargs: Any) -> None:
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(timeout=10)
            process.kill()  # one that hangs
        self._connections, self._processes = [], []
