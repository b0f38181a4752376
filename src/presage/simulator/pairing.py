"""Where a checkpoint meets a simulator: the robot it was trained on has to be the one that the simulator moves.

Sizes alone say nothing. Another arm may have as many joints, look at a camera of the same name, and mean something else
by every number.
"""

from collections.abc import Iterable
from math import isclose
from pathlib import Path

from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.training.checkpoint import read_config
from presage.worlds.world import World, find_world


def check_robot(tasks: Iterable[str], folder: Path) -> None:
    """Raise `UserError` unless the checkpoint was trained on recordings of the world of every task."""
    robots = Robot.all_from_config(read_config(folder), folder / "config.json")
    for task in tasks:
        world = find_world(task)
        reasons = [_difference(robot, world) for robot in robots]
        if all(reasons):
            raise UserError(
                f"{folder}: trained on another robot than task {task!r} moves: {reasons[0]}; choose a "
                "task of its world "
                f"or a checkpoint trained on recordings of {world.name} (presage collect --tasks {task})"
            )


def _difference(robot: Robot, world: World) -> str:
    """In which respect a description is not the world's robot; empty where it is."""
    cameras = [source for sources in robot.cameras.values() for source in sources]
    unknown = [camera for camera in cameras if camera not in world.cameras]
    tiled = [camera for camera, sources in robot.cameras.items() if sources != [camera]]
    relative = [robot.action_names[i] for i, entry in enumerate(robot.relative) if entry >= 0]
    for differs, what in (
        (robot.name != world.robot, f"{robot.name!r}, not {world.robot!r}"),
        (not robot.chunked_rows, f"a {robot.name!r} that presage collect did not record"),
        (unknown, f"camera {', '.join(unknown)}; the simulator has {', '.join(world.cameras)}"),
        (tiled, f"camera {', '.join(tiled)} is made of others"),
        (relative, f"actions {', '.join(relative)} are relative to the state"),
        (
            len(robot.action_names) != world.action_size,
            f"{len(robot.action_names)} actions, the simulator {world.action_size}",
        ),
        (
            len(robot.state_names) not in (0, world.state_size),
            f"{len(robot.state_names)} numbers of state, the simulator {world.state_size}",
        ),
        (
            not isclose(robot.fps, world.control_hz, rel_tol=1e-3),
            f"{robot.fps:g} actions a second, the simulator {world.control_hz:g}",
        ),
    ):
        if differs:
            return what
    return ""
