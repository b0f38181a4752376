"""Task names, the world of each, and their instructions, without importing a simulator."""

from difflib import get_close_matches

import numpy as np

from presage.errors import UserError
from presage.worlds.wordings import METAWORLD, WORLDS

INSTRUCTIONS = {task: wordings for tasks in WORLDS.values() for task, wordings in tasks.items()}
ALL_TASKS: list[str] = sorted(METAWORLD)
MT10: list[str] = [
    "reach-v3",
    "push-v3",
    "pick-place-v3",
    "door-open-v3",
    "drawer-open-v3",
    "drawer-close-v3",
    "button-press-topdown-v3",
    "peg-insert-side-v3",
    "window-open-v3",
    "window-close-v3",
]


def check_task(task: str) -> str:
    """Return `task`, or raise `UserError` with the names that come close."""
    if task in INSTRUCTIONS:
        return task
    close = get_close_matches(str(task), INSTRUCTIONS, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else "see presage.worlds.WORLDS"
    raise UserError(f"unknown task {task!r}: {hint}")


def world_name(task: str) -> str:
    """The world of a task that exists."""
    return next(name for name, tasks in WORLDS.items() if task in tasks)


def instructions(task: str) -> list[str]:
    """The wordings of a task: first the canonical one, then at least four paraphrases."""
    return list(INSTRUCTIONS[check_task(task)])


def draw_instruction(task: str, seed: int) -> str:
    """One wording, the same for the same seed: half of the time the canonical one, else any paraphrase."""
    canonical, *paraphrases = instructions(task)
    rng = np.random.default_rng((seed, 7))
    return canonical if rng.random() < 0.5 else str(rng.choice(paraphrases))
