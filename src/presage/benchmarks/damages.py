"""Ways in which a dataset on disk is damaged at random, and small whole datasets to damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FPS, SIZE, LENGTHS = 10, 32, (14, 9, 17)
WRONG: tuple[Any, ...] = (None, -1, 0, 10**12, 0.5, "", "text", [], [1, "a"], {}, {"a": None}, True, float("nan"))
"""What a field is filled with that should hold something else."""


def whole_datasets(folder: Path) -> list[Path]:
    """A v3.0 dataset with videos, one with images inside its data files, and a v2.1 dataset; the same three
    episodes."""
    from presage.episodes.episode import Episode
    from presage.episodes.spool import spool_episode
    from presage.episodes.writer import write_dataset

    spool, videos = folder / "videos.partial", folder / "videos"
    for number, length in enumerate(LENGTHS):
        state = np.random.default_rng(number).normal(size=(length, 4)).cumsum(0).astype(np.float32)
        action = np.concatenate([state[1:], state[-1:]])
        frames = {camera: _frames(number, length, camera) for camera in ("front", "wrist")}
        episode = Episode(
            frames, {"observation.state": state, "action": action}, "push the box", {"success": number != 1}
        )
        spool_episode(spool, str(number), episode, fps=FPS)
    write_dataset(spool, videos, fps=FPS, robot_type="arm")
    return [videos, _with_images(videos, folder / "images"), _as_v21(videos, folder / "old")]


def _frames(number: int, length: int, camera: str) -> np.ndarray:
    frames = np.full((length, SIZE, SIZE, 3), 60 if camera == "front" else 120, np.uint8)
    for t in range(length):
        frames[t, 4 + number : 12 + number, t : t + 8] = (220, 120, 40)
    return frames


def _with_images(source: Path, root: Path) -> Path:
    """The same with PNG images in the data file, as LeRobot writes them without videos."""
    import io

    from PIL import Image

    from presage.episodes.dataset import Dataset

    shutil.copytree(source, root)
    data, info = Dataset(source), json.loads((source / "meta/info.json").read_text())
    file = root / "data/chunk-000/file-000.parquet"
    table = pq.read_table(file)
    for camera, name in data.camera_features.items():
        cells = []
        for image in np.concatenate([data.frames(i, camera) for i in range(len(data.episodes))]):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            cells.append({"bytes": buffer.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = table.append_column(name, pa.array(cells, kind))
        info["features"][name] = {"dtype": "image", "shape": [SIZE, SIZE, 3], "names": ["height", "width", "channels"]}
    pq.write_table(table, file)
    shutil.rmtree(root / "videos")
    (root / "meta/info.json").write_text(json.dumps(info | {"video_path": None}))
    return root


def _as_v21(source: Path, root: Path) -> Path:
    """The same as LeRobot wrote it until version 0.3: a data file and videos for each episode, JSON lines about
    them."""
    from presage.episodes.dataset import Dataset
    from presage.episodes.video import encode_clip

    data, info = Dataset(source), json.loads((source / "meta/info.json").read_text())
    table = pq.read_table(source / "data/chunk-000/file-000.parquet")
    lines: dict[str, list[dict[str, Any]]] = {"episodes": [], "episodes_stats": []}
    for record in data.episodes:
        file = root / f"data/chunk-000/episode_{record.index:06d}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.slice(record.start, record.length), file)
        for camera, name in data.camera_features.items():
            clip = root / f"videos/chunk-000/{name}/episode_{record.index:06d}.mp4"
            clip.parent.mkdir(parents=True, exist_ok=True)
            encode_clip(clip, data.frames(record.index, camera), FPS)
        lines["episodes"].append(
            {"episode_index": record.index, "tasks": [record.instruction], "length": record.length}
        )
        action = data.column("action")[record.rows]
        stats = {f: getattr(action, f)(0).tolist() for f in ("min", "max", "mean", "std")} | {"count": [record.length]}
        lines["episodes_stats"].append({"episode_index": record.index, "stats": {"action": stats}})
    paths = {
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
    }
    old = {"codebase_version": "v2.1", "chunks_size": 1000, "total_chunks": 1, "total_videos": 2 * len(data.episodes)}
    (root / "meta").mkdir()
    (root / "meta/info.json").write_text(json.dumps(info | old | paths))
    (root / "meta/tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": data.tasks[0]}) + "\n")
    for name, each in lines.items():
        (root / f"meta/{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in each))
    return root


def damage(root: Path, rng: np.random.Generator) -> list[str]:
    """Damage a dataset once or twice; what was done, in words."""
    done = []
    for _ in range(int(rng.integers(1, 3))):
        kind = KINDS[int(rng.integers(len(KINDS)))]
        files = sorted(path for path in root.rglob("*") if path.is_file())
        if files and (said := kind(root, files, rng)):
            done.append(said)
    return done


def _pick(files: list[Path], rng: np.random.Generator, ending: str = "") -> Path | None:
    fitting = [file for file in files if file.name.endswith(ending)]
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def _pick_table(files: list[Path], rng: np.random.Generator) -> tuple[Path | None, pa.Table]:
    """A parquet file and what it holds; an empty table where it cannot be read."""
    file = _pick(files, rng, ".parquet")
    try:
        return file, pq.read_table(file) if file is not None else pa.table({})
    except (pa.ArrowException, OSError):
        return file, pa.table({})


def _flip(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file = files[int(rng.integers(len(files)))]
    data = bytearray(file.read_bytes())
    if not data:
        return ""
    places = rng.integers(len(data), size=int(rng.choice([1, 4, 64])))
    for place in places:
        data[place] ^= int(rng.integers(1, 256))
    file.write_bytes(data)
    return f"{len(places)} bytes flipped in {file.relative_to(root)}"


def _cut(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file = files[int(rng.integers(len(files)))]
    share = rng.choice([0.0, rng.random(), 0.99])
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    return f"{file.relative_to(root)} cut to {share:.0%}"


def _blank(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file = files[int(rng.integers(len(files)))]
    data = bytearray(file.read_bytes())
    first = int(rng.integers(len(data) + 1))
    data[first : first + 256] = bytes(len(data[first : first + 256]))
    file.write_bytes(data)
    return f"zeros in {file.relative_to(root)} from byte {first}"


def _remove(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file = files[int(rng.integers(len(files)))]
    file.unlink()
    return f"{file.relative_to(root)} removed"


def _folder_instead(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file = files[int(rng.integers(len(files)))]
    file.unlink()
    file.mkdir()
    return f"{file.relative_to(root)} is a folder"


def _other_file(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    file, other = (files[int(rng.integers(len(files)))] for _ in range(2))
    if file == other:
        return ""
    shutil.copyfile(other, file)
    return f"{file.relative_to(root)} replaced by {other.relative_to(root)}"


def _wrong_field(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    """A field of a JSON file deleted or filled with what it must not hold; at any depth."""
    file = _pick(files, rng, ".json") if rng.random() < 0.7 else _pick(files, rng, ".jsonl")
    if file is None:
        return ""
    try:
        lines = [
            json.loads(line)
            for line in ([file.read_text()] if file.suffix == ".json" else file.read_text().splitlines())
        ]
        holder: Any = lines[int(rng.integers(len(lines)))]
    except (ValueError, UnicodeDecodeError):
        return ""
    path: list[Any] = []
    while isinstance(holder, (dict, list)) and holder:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        path.append(keys[int(rng.integers(len(keys)))])
        if not isinstance(holder[path[-1]], (dict, list)) or not holder[path[-1]] or rng.random() < 0.4:
            break
        holder = holder[path[-1]]
    if not path:
        return ""
    what = WRONG[int(rng.integers(len(WRONG)))]
    if isinstance(holder, dict) and rng.random() < 0.3:
        del holder[path[-1]]
        what = "deleted"
    else:
        holder[path[-1]] = what
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return f"{file.relative_to(root)}: {'.'.join(map(str, path))} is {what!r}"


def _wrong_column(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    """A column of a table dropped, renamed, of another type, or with a wrong value in one row."""
    file, table = _pick_table(files, rng)
    if file is None or not table.num_columns or not len(table):
        return ""
    name = table.column_names[int(rng.integers(table.num_columns))]
    place, values = table.column_names.index(name), table[name].to_pylist()
    kind = ("dropped", "renamed", "text", "null", "other row", "number")[int(rng.integers(6))]
    row = int(rng.integers(len(values)))
    try:
        if kind == "dropped":
            table = table.drop_columns([name])
        elif kind == "renamed":
            table = table.rename_columns([f"{n}_" if n == name else n for n in table.column_names])
        elif kind == "text":
            table = table.set_column(place, name, pa.array([str(value) for value in values]))
        elif kind == "null":
            values[row] = None
        elif kind == "other row":
            values[row] = values[int(rng.integers(len(values)))]
        else:
            values[row] = _number_like(values[row], rng)
        if kind in ("null", "other row", "number"):
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    except (pa.ArrowException, TypeError, OverflowError):
        return ""
    pq.write_table(table, file)
    return f"{file.relative_to(root)}: column {name} {kind}" + (
        f", row {row}" if kind in ("null", "other row", "number") else ""
    )


def _number_like(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, list):
        return [_number_like(each, rng) for each in value]
    if isinstance(value, float):
        return float(rng.choice([np.nan, np.inf, 1e30, -7.0]))
    return int(rng.choice([-1, 0, 1, 10**6])) if isinstance(value, int) and not isinstance(value, bool) else value


def _rows(root: Path, files: list[Path], rng: np.random.Generator) -> str:
    """Rows of a table lost, doubled or in another order."""
    file, table = _pick_table(files, rng)
    if file is None or not len(table):
        return ""
    rows = np.arange(len(table))
    first, count = int(rng.integers(len(rows))), int(rng.integers(1, 6))
    kind = ("lost", "doubled", "shuffled")[int(rng.integers(3))]
    if kind == "lost":
        rows = np.delete(rows, slice(first, first + count))
    elif kind == "doubled":
        rows = np.insert(rows, first, rows[first : first + count])
    else:
        rows = rng.permutation(rows)
    pq.write_table(table.take(pa.array(rows)), file)
    return f"{file.relative_to(root)}: rows {kind}"


Damage = Callable[[Path, list[Path], np.random.Generator], str]
KINDS: tuple[Damage, ...] = (
    _flip, _flip, _cut, _blank, _remove, _folder_instead, _other_file, _wrong_field, _wrong_field, _wrong_field,
    _wrong_column, _wrong_column, _rows,
)  # fmt: skip
