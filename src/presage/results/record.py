"""What a result file (`--json`) holds: the figures, the episodes and films behind them, and all that repeats them."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from presage.errors import UserError
from presage.results.clips import Clip, choose_episodes, encode_mp4, one_side, recall
from presage.results.output import command_line


@dataclass(frozen=True)
class Film:
    """One episode of a policy, seen in the simulator and in the imagination."""

    policy: str
    task: str
    seed: int
    clip: Clip


def describe_run(
    seed: int,
    figures: Mapping[str, Any],
    checkpoint: Path | None = None,
    episodes: Sequence[Mapping[str, Any]] = (),
    films: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The record of a run: figures, command, seed, checkpoint, commit, versions and machine; where there are any, one
    row an episode (see `presage.results.tables.episode_rows`) and the films of some (see `save_films`).

    Raises:
        UserError: `checkpoint` is none.
    """
    from presage.results.provenance import describe_checkpoint, describe_commit, describe_machine, describe_versions

    record: dict[str, Any] = {"command": command_line(), "seed": seed, "figures": figures}
    if checkpoint is not None:
        record["checkpoint"] = describe_checkpoint(checkpoint)
    record |= {"commit": describe_commit(), "versions": describe_versions(), "machine": describe_machine()}
    if episodes:
        record["episodes"] = list(episodes)
    if films:
        record["films"] = list(films)
    return record


def films_folder(file: Path) -> Path:
    """Where the films of a result file lie: `runs/act.json` has them in `runs/act.films`."""
    return file.with_name(f"{file.stem}.films")


def save_films(file: Path, films: Sequence[Film]) -> list[dict[str, Any]]:
    """Write the films that belong to the result file `file`, two mp4 an episode, in place of those of an earlier run.

    Returns what the record says of each: whose and which episode it is, its words, its rate, and both files relative to
    `file`.

    Raises:
        UserError: they cannot be written.
    """
    folder = films_folder(file)
    partial = folder.with_name(f"{folder.name}.partial")
    described = []
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, film in enumerate(films):
            entry: dict[str, Any] = {
                "policy": film.policy,
                "task": film.task,
                "seed": film.seed,
                "instruction": film.clip.title,
                "caption": film.clip.caption,
                "fps": film.clip.fps,
            }
            for side, frames in (("real", film.clip.real), ("imagined", film.clip.imagined)):
                name = f"{number:02d}-{film.task}-{film.seed}-{side}.mp4"
                (partial / name).write_bytes(encode_mp4(one_side(frames), film.clip.fps))
                entry[side] = f"{folder.name}/{name}"
                entry[f"{side}_frames"] = len(next(iter(frames.values())))
            described.append(entry)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)
    except OSError as error:
        raise UserError(f"cannot write films to {folder}: {error.strerror}; choose another --json") from None
    return described


def film_recalled(model: Any, policy: str, results: Sequence[Any], count: int) -> list[Film]:
    """Up to `count` of a policy's recorded episodes, half of them failures where there are so many, each beside the
    dream of its own actions from its first frame."""
    chosen = choose_episodes(results, True, count - count // 2)
    chosen += choose_episodes(results, False, count - len(chosen))
    chosen += choose_episodes(results, True, count)[len(chosen) :]
    clips = recall(model, chosen)
    return [Film(policy, r.task, r.seed, clip) for r, clip in zip(chosen, clips, strict=True)]


def film_both(policy: str, real: Sequence[Any], imagined: Sequence[Any], count: int, fps: float) -> list[Film]:
    """Up to `count` episodes that a policy lived through in both worlds, those first where the outcomes differ."""
    pairs = sorted(zip(real, imagined, strict=True), key=lambda pair: pair[0].success == pair[1].success)
    films = []
    for one, other in pairs[:count]:
        caption = f"Simulator: {_outcome(one, fps)}. Dream: {_outcome(other, fps)}."
        films.append(Film(policy, one.task, one.seed, Clip(one.instruction, caption, one.frames, other.frames, fps)))
    return films


def dreams_written(
    root: Path, world: Any, count: int, rows_a_step: float = 1.0
) -> tuple[list[dict[str, Any]], list[Film]]:
    """One row for each dream of the dataset `root`, and films of `count` of them: what was dreamed, beside what its
    labels do in the simulator when they are executed from the same first frame. Films need rows that are steps."""
    from presage.episodes.dataset import Dataset
    from presage.policy.replay import ReplayPolicy
    from presage.results.tables import episode_rows
    from presage.worlds import RolloutResult, rollout

    data = Dataset(root)
    dreams = []
    for e in data.episodes:
        steps, success = math.ceil((e.length - 1) / rows_a_step), bool(e.info["success"])
        dreams.append(RolloutResult(str(e.info["task"]), int(e.info["seed"]), success, steps, e.instruction))
    rows = episode_rows("dream", dreams, "imagined")
    shown = [dreams.index(d) for d in choose_episodes(dreams, True, count)]
    shown = sorted(shown + [dreams.index(d) for d in choose_episodes(dreams, False, count - len(shown))])
    if not shown:
        return rows, []
    ends = np.cumsum(data.lengths)
    labels = [data.column("action")[ends[i] - data.lengths[i] : ends[i] - 1] for i in shown]
    labels = [x.reshape(len(x), *world.single_action_space.shape) for x in labels]
    seen = [{c: data.frames(i, c) for c in data.cameras} for i in shown]
    chosen = [replace(dreams[i], frames=frames) for i, frames in zip(shown, seen, strict=True)]
    tasks, seeds = [d.task for d in chosen], [d.seed for d in chosen]
    replayed = rollout(ReplayPolicy(labels), world, tasks, seeds, max(map(len, labels)), record=True)
    return rows, film_both("dream", replayed, chosen, count, data.fps)


def _outcome(result: Any, fps: float) -> str:
    return f"{'reached after' if result.success else 'not reached within'} {result.steps / fps:.1f} s"
