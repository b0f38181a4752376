"""Whether there is anything to learn of a dataset, and what a person should know before trying.

`presage inspect` and `presage train` say the same, since both ask here.
"""

from collections.abc import Sequence

import numpy as np

from presage.codecs.scalars import scale_remark
from presage.episodes.dataset import Dataset
from presage.episodes.naming import Columns, look_alikes
from presage.episodes.outcome import chunk_quality, episode_success, read_quality, row_success, valid_actions, was_kept
from presage.episodes.robot import Robot
from presage.episodes.steps import Steps, recorded_numbers
from presage.errors import UserError

MOST_NAMED = 8
"""Columns that a remark names one by one."""


def check_learnable(steps: Dataset, imitates_only: bool = False) -> None:
    """Refuse a dataset of model steps that training could learn nothing of.

    imitates_only: nothing is learned but chunks that are worth imitating.

    Raises:
        UserError: no episode has a second frame, or no chunk was executed, or none is worth imitating where that is
        all.
    """
    if max(steps.lengths, default=0) < 2:
        raise UserError(f"{steps.root}: {_no_second_frame(steps)}")
    if "action" not in steps.features:
        if imitates_only:
            raise UserError(f"{steps.root}: without an action there is nothing to imitate; name it with --action")
        return
    valid = valid_actions(steps)
    if not valid.any():
        raise UserError(
            f"{steps.root}: no row has a whole chunk of actions that was recorded; leave the dataset out, "
            "or say --action "
            "none to learn from the video alone"
        )
    if imitates_only and not (valid & ~(chunk_quality(steps) < 0.5)).any():
        raise UserError(f"{steps.root}: no chunk is worth imitating: all have quality 0, or their episodes failed")


def _no_second_frame(steps: Dataset) -> str:
    if not isinstance(steps, Steps) or steps.longest < 2:
        return "every episode has one row, and a world model learns what comes after it; choose longer episodes"
    return (
        f"its longest episode has {steps.longest} actions at {steps.action_rate:g} per second, and no "
        "second frame behind "
        f"a chunk of {steps.chunk}; give --chunk at most {steps.longest - 1}, or choose longer episodes"
    )


def remarks(dataset: Dataset, robot: Robot) -> list[str]:
    """What is unusual about learning from a recorded dataset, a line each."""
    lines = []
    if not robot.chunked_rows:
        lines += [*_about_vectors(dataset, robot), *_about_relative(robot)]
        lines += [line for part in (*robot.action, *robot.state) for line in _about_scales(dataset, part)]
    _, reason = read_quality(dataset)
    if reason:
        lines.append(
            f"column 'quality' is not used: {reason}, and quality is 0 (bad) to 1 (as the expert); no chunk is worse"
        )
    success = row_success(dataset)
    if success is not None and not was_kept(dataset, "next.success", success) and None in episode_success(dataset):
        lines.append("column 'next.success' is never true: the value is not learned, and no episode counts as failed")
    return [f"{dataset.root}: {line}" for line in lines]


def about_sharing(robots: Sequence[Robot]) -> list[str]:
    """Which numbers of several robots share an entry of the model, a line each."""
    pairs = [(robots[0], robot) for i, robot in enumerate(robots) if robot not in robots[:i]][1:]
    lines = []
    for first, other in pairs:
        shared = {p.slot for p in first.action} & {p.slot for p in other.action}
        what = "share entries of the action" if shared else "have entries of their own, since columns have other names"
        lines.append(f"robots {first.name!r} and {other.name!r} {what}")
    return lines


def _about_vectors(dataset: Dataset, robot: Robot) -> list[str]:
    lines = []
    if not robot.action:
        lines.append("no action is learned: the video alone, and no policy")
    if not robot.state:
        alike = look_alikes(dataset, "state")
        hint = f"; {_listing(alike)} may be one: --state {alike[0]}" if alike else ""
        lines.append(f"the model sees no state{hint}")
    return lines


def _about_relative(robot: Robot) -> list[str]:
    if not robot.relative:
        return []
    pairs = list(zip(robot.action_names, robot.relative, strict=True))
    absolute = [name for name, entry in pairs if entry < 0]
    placed = [name for name, entry in pairs if entry >= 0 and name != robot.state_names[entry]]
    lines = [f"absolute actions: {_listing(absolute) or 'none'}; all others relative to the state"]
    if placed:
        lines.append(
            f"{_listing(placed)}: relative to the state of the same place, since columns have no names to go by"
        )
    return lines


def _about_scales(dataset: Dataset, part: Columns) -> list[str]:
    values = recorded_numbers(dataset, part)[dataset.recorded(part.feature)]
    if not len(values):
        return []
    if not np.ptp(values, axis=0).any():
        return [f"{part.feature!r} is the same in every row: nothing is learned of it"]
    lines = []
    for name, column in zip(part.names, values.T, strict=True):
        q01, q99 = np.quantile(column, [0.01, 0.99])
        remark = scale_remark(float(column.min()), float(q01), float(q99), float(column.max()))
        lines += [f"{name!r} of {part.feature!r} {remark}"] if remark else []
    more = len(lines) - MOST_NAMED
    return lines if more <= 0 else [*lines[:MOST_NAMED], f"and {more} more columns of {part.feature!r} like that"]


def _listing(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
