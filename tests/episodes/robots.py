"""Small recordings of robots that are not Meta-World's, for tests of presage.episodes and of training on them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from presage.episodes.episode import Episode
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset


def write_robot(
    root: Path,
    cameras: tuple[str, ...] = ("front",),
    joints: int = 7,
    fps: float = 30,
    episodes: int = 2,
    length: int = 31,
    size: tuple[int, int] = (48, 64),
    state: bool = True,
    action: bool = True,
    name: str = "arm",
    instruction: str = "lift the cube",
) -> Path:
    """A dataset with one action per row. Joint j of row t of episode e is e + t / 100 + j; the action is the joint one
    row later; every frame's grey level is 4 * t (modulo 256), brighter from camera to camera."""
    spool = root.with_name(f"{root.name}.partial")
    for e in range(episodes):
        t = np.arange(length, dtype=np.float32)
        joint = (e + t[:, None] / 100 + np.arange(joints)).astype(np.float32)
        grey = (4 * np.arange(length) % 256).astype(np.uint8)
        frames = {
            camera: np.broadcast_to((grey + 10 * i)[:, None, None, None], (length, *size, 3)).copy()
            for i, camera in enumerate(cameras)
        }
        columns = {}
        if state:
            columns["observation.state"] = joint
        if action:
            columns["action"] = joint + np.float32(0.01)
        if not columns:
            columns["next.success"] = t == length - 1
        facts = {"success": e % 2 == 0}
        spool_episode(spool, f"{e:06d}", Episode(frames, columns, instruction, facts), fps)
    return write_dataset(spool, root, fps=fps, robot_type=name)


def forget_outcomes(root: Path) -> None:
    """Leave a dataset as one of which nobody wrote down what succeeded."""
    for path in (root / "meta/episodes").rglob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(["info/success"]), path)


def forget_codec(video: Path) -> None:
    """Give the pictures of an mp4 a codec that nobody knows."""
    data = video.read_bytes()
    assert data.count(b"avc1") >= 1
    video.write_bytes(data.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))


def put_nan(data: Path, row: int) -> None:
    """Make the action of a row NaN."""
    table = pq.read_table(data)
    place, kind = table.column_names.index("action"), table.schema.field("action")
    action = table["action"].to_pylist()
    action[row] = [float("nan")] * len(action[row])
    pq.write_table(table.set_column(place, kind, pa.array(action, kind.type)), data)


def write_numbers(
    root: Path,
    columns: Callable[[int], dict[str, np.ndarray]],
    episodes: int = 2,
    names: dict[str, object] | None = None,
    facts: Callable[[int], dict] = lambda episode: {},
) -> Path:
    """A dataset of 10 rows a second with grey pictures and the given columns of every episode, named like `names`."""
    spool = root.with_name(f"{root.name}.partial")
    for e in range(episodes):
        told = columns(e)
        length = len(next(iter(told.values())))
        frames = {"front": np.full((length, 32, 32, 3), 10 * e, np.uint8)}
        spool_episode(spool, f"{e:06d}", Episode(frames, told, "lift the cube", facts(e)), 10)
    write_dataset(spool, root, fps=10, robot_type="arm")
    info = json.loads((root / "meta/info.json").read_text())
    for feature, given in (names or {}).items():
        info["features"][feature]["names"] = given
    (root / "meta/info.json").write_text(json.dumps(info))
    return root
