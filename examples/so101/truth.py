"""What truly happens: the simulator opened again, to check what a dream claimed.

python truth.py act data/so101-parts/test --policies good=ws://127.0.0.1:8100/good --out runs/truth.json
python truth.py compare runs/so101/ranked.json runs/truth.json
python truth.py replay data/so101-parts/test
python truth.py replay data/so101-dreams --starts runs/dreams.json --recorded data/so101-parts/train
python truth.py labels data/so101-parts/test --checkpoint runs/so101/model
"""

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import tyro
from behaviours import ROWS
from cell import INSTRUCTION, Cell
from policies import CHUNK
from tyro.conf import Positional

from presage.benchmarks.recorded_here import read_back
from presage.benchmarks.synthesis import as_video, frozen, label_errors
from presage.episodes.dataset import Dataset
from presage.episodes.outcome import valid_actions
from presage.measures.agreement import kappa
from presage.measures.correlation import MIN_POLICIES, mmrv_interval, pearson, spearman
from presage.measures.statistics import wilson
from presage.serving.remote import RemotePolicy
from presage.simulator.recordings import open_held_out, sight_of
from presage.simulator.synthesis import label
from presage.systems.checkpoint import open_model


def act(data: Positional[Path], policies: tuple[str, ...], out: Path, ranked: Path | None = None) -> None:
    """Let policy servers (NAME=ws://HOST:PORT/...; NAME as in `presage evaluate --policies`) act from the first frames
    of the episodes of a dataset, and write which ones succeeded.

    ranked: of `presage evaluate --json RANKED`: the episodes in it alone, which were dreamed; all by default.
    """
    cell, rows = Cell(), []
    dreamed = None if ranked is None else {row["episode"] for row in _read(ranked)}
    chosen = [e for e in Dataset(data).episodes if dreamed is None or e.index in dreamed]
    seeds = {e.index: int(e.info["seed"]) for e in chosen}
    for given in policies:
        name, _, url = given.partition("=")
        policy = RemotePolicy(url, CHUNK, 6)
        mine = [succeeds(cell, policy, seed) for seed in seeds.values()]
        policy.close()
        rows += [{"policy": name, "episode": e, "success": s} for e, s in zip(seeds, mine, strict=True)]
        print(f"{name:<12} {rate(mine)}", flush=True)
    write(out, rows)


def succeeds(cell: Cell, policy: RemotePolicy, seed: int) -> bool:
    """Whether the cube is picked up in one episode."""
    cell.reset(seed)
    policy.reset([INSTRUCTION])
    for _ in range(0, ROWS + CHUNK, CHUNK):
        frames = {f"image.{camera}": frame[None] for camera, frame in cell.look().items()}
        for command in policy.act({**frames, "state": cell.state[None]})[0]:
            cell.step(command)
            if cell.success:
                return True
    return False


def replay(data: Positional[Path], starts: Path | None = None, recorded: Path | None = None) -> None:
    """Execute the actions of a dataset from its own first frames: do its successes come true, and do they with the
    actions of the next episode?

    starts, recorded: of `presage synthesize --data RECORDED --json STARTS`, where its dreams began.
    """
    dataset, cell = Dataset(data), Cell()
    said = [bool(e.info["success"]) for e in dataset.episodes]
    seeds = [int(e.info["seed"]) for e in dataset.episodes]
    if starts is not None and recorded is not None:
        known = {e.index: int(e.info["seed"]) for e in Dataset(recorded).episodes}
        seeds = [known[row["episode"]] for row in _read(starts)]
    valid = valid_actions(dataset).astype(bool)
    action = dataset.column("action").reshape(dataset.num_rows, -1, 6)
    acted = [action[e.rows][valid[e.rows]].reshape(-1, 6) for e in dataset.episodes]
    own = [_replayed(cell, seed, each) for seed, each in zip(seeds, acted, strict=True)]
    others = [_replayed(cell, seed, each) for seed, each in zip(seeds, acted[1:] + acted[:1], strict=True)]
    print(f"said to succeed                 {rate(said)}")
    print(f"truly succeed                   {rate(own)}")
    print(f"agree                           {rate([a == b for a, b in zip(said, own, strict=True)])}")
    chosen = [e for e, good in enumerate(said) if good]
    if chosen:
        print(f"of those said to, truly succeed {rate([own[e] for e in chosen])}")
        print(f"with the next episode's actions {rate([others[e] for e in chosen])}")


def labels(data: Positional[Path], checkpoint: Path) -> None:
    """Read commands from the recorded pictures of the successes of a dataset, and execute them: what inverse dynamics
    is worth where nothing is dreamed. Beside them the recorded commands, and those read from pictures that stand still.
    """
    model, cell = open_model(checkpoint), Cell()
    episodes = [e for e in read_back(open_held_out(sight_of(checkpoint), data)) if e.success]
    videos = [as_video(e) for e in episodes]
    read = {
        "the recorded commands": [e.actions for e in episodes],
        "read from its pictures": label(model, videos, states=False),
        "read from a still picture": label(model, [frozen(v, pictures=True) for v in videos], states=False),
    }
    for name, chunks in read.items():
        came = [_replayed(cell, e.seed, c.reshape(-1, 6)) for e, c in zip(episodes, chunks, strict=True)]
        print(f"{name:<31} {rate(came)}")
    errors = label_errors(model, episodes, states=False)
    print(f"error with another episode's pictures, times that with its own  {errors['shuffled'] / errors['true']:.1f}")


def _replayed(cell: Cell, seed: int, commands: np.ndarray) -> bool:
    cell.reset(seed)
    for command in commands:
        cell.step(command)
        if cell.success:
            return True
    return False


def compare(imagined: Positional[Path], true: Positional[Path]) -> None:
    """Success that `presage evaluate --data ... --json IMAGINED` imagined, beside the TRUE one of the same episodes: of
    all, and of those that it was sure of."""
    for which, sure in (("all episodes", False), ("episodes with an answer", True)):
        dreamt, found = _outcomes(imagined, sure), _outcomes(true, False)
        both = {name: [e for e in dreamt[name] if e in found[name]] for name in dreamt if name in found}
        one = {name: [dreamt[name][e] for e in episodes] for name, episodes in both.items()}
        two = {name: [found[name][e] for e in episodes] for name, episodes in both.items()}
        print(f"\n{which + ', of policy':<36} {'imagined':<22} true")
        for name in both:
            print(f"{name:<36} {rate(one[name]):<22} {rate(two[name])}")
        _agreement([one[name] for name in both if both[name]], [two[name] for name in both if both[name]])


def _agreement(one: list[list[bool]], two: list[list[bool]]) -> None:
    """Of imagined and true success, one list of episodes a policy."""
    if len(one) < MIN_POLICIES:
        return print(f"{len(one)} policies: too few to say whether both rank them alike")
    x, y = [float(np.mean(s)) for s in one], [float(np.mean(s)) for s in two]
    fallen = [mine for a, b in zip(one, two, strict=True) for mine, theirs in zip(a, b, strict=True) if not theirs]
    print(f"policies {len(x)}, Pearson {interval(pearson(x, y))}, Spearman {interval(spearman(x, y))}")
    print(f"MMRV {interval(mmrv_interval(imagined=x, real=y))}")
    print(f"kappa of episodes {interval(kappa(imagined=one, real=two))}")
    print(f"dreamed success among true failures {rate(fallen)}")


def _outcomes(file: Path, sure: bool) -> dict[str, dict[int, bool]]:
    """Policy -> episode -> success; sure: where there was an answer."""
    told: dict[str, dict[int, bool]] = defaultdict(dict)
    for row in _read(file):
        if row.get("answered", True) or not sure:
            told[row["policy"]][row["episode"]] = bool(row["success"])
    return told


def _read(file: Path) -> list[dict]:
    return json.loads(file.read_text())["episodes"]


def write(file: Path, rows: list[dict]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"episodes": rows}))


def rate(successes: list[bool]) -> str:
    """`12/40 30 % [18, 45]`"""
    if not successes:
        return "none"
    value, low, high = (100 * x for x in wilson(sum(successes), len(successes)))
    return f"{sum(successes)}/{len(successes)} {value:.0f} % [{low:.0f}, {high:.0f}]"


def interval(given: tuple[float, float, float]) -> str:
    value, low, high = given
    if np.isnan(low):
        return f"{value:.2f} (too few for an interval)"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"act": act, "replay": replay, "labels": labels, "compare": compare})
