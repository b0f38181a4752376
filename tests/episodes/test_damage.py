"""Every kind of damage gives one UserError: one line that names the file or field and what to do."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presage.episodes.dataset import Dataset
from presage.errors import UserError

DATA = "data/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 704
    data[start : start + 200] = np.random.default_rng(0).bytes(200)
    path.write_bytes(data)


def drop_column(name: str, path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns([name]), path)


def put_nan(path: Path) -> None:
    table = pq.read_table(path)
    action = np.array(table["action"].to_pylist()[:9], dtype=np.float32)
    action[6, 3] = np.nan  # row 2 of episode 1
    column = pa.array([*action.tolist(), *table["action"].to_pylist()[9:]], table.schema.field("action").type)
    pq.write_table(table.set_column(table.column_names.index("action"), table.schema.field("action"), column), path)


def drop_index(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def drop_rows(path: Path) -> None:
    pq.write_table(pq.read_table(path).slice(3), path)


def edit_info(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def widen_action(path: Path) -> None:
    info = json.loads(path.read_text())
    info["features"]["action"]["shape"] = [7]
    path.write_text(json.dumps(info))


DAMAGES = {
    "corrupt video": (VIDEO, corrupt, "file-000.mp4: .*(damaged|can be read).*restore"),
    "truncated video": (VIDEO, truncate, "file-000.mp4: the video is damaged .*restore"),
    "missing video": (VIDEO, Path.unlink, "file-000.mp4: the video is missing; restore"),
    "empty video": (VIDEO, lambda path: path.write_bytes(b""), "file-000.mp4: the video is damaged"),
    "missing column": (DATA, lambda path: drop_column("action", path), "file-000.parquet: column 'action' is missing;"),
    "truncated data": (DATA, truncate, "file-000.parquet: cannot be read .*restore"),
    "missing data": (DATA, Path.unlink, "file-000.parquet: the file is missing; restore"),
    "lost rows": (DATA, drop_rows, "file-000.parquet: episode 0 has 1 of 4 rows; leave it out .*restore"),
    "NaN action": (DATA, put_nan, "column 'action' is NaN or infinite in row 2 of episode 1; leave it out"),
    "truncated episodes": (EPISODES, truncate, "file-000.parquet: cannot be read .*restore"),
    "missing episodes": (EPISODES, Path.unlink, "meta/episodes: no parquet file here; restore"),
    "episodes without length": (
        EPISODES,
        lambda path: drop_column("length", path),
        "column 'length' is missing; restore",
    ),
    "truncated info": ("meta/info.json", truncate, "info.json: cannot be read .*restore"),
    "missing info": ("meta/info.json", Path.unlink, "info.json: not found; give the root folder of a LeRobot dataset"),
    "unknown version": (
        "meta/info.json",
        lambda path: edit_info(path, codebase_version="v1.6"),
        "info.json: codebase_version is 'v1.6'; .*convert",
    ),
    "wrong shape": ("meta/info.json", widen_action, r"column 'action' does not have shape \[7\] in every row; correct"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_clear_line(root, name):
    file, damage, message = DAMAGES[name]
    damage(root / file)
    with pytest.raises(UserError, match=message) as raised:
        dataset = Dataset(root)
        for column in ("action", "observation.state"):
            dataset.column(column)
        for episode in range(4):
            dataset.frames(episode, "front")
    assert "\n" not in str(raised.value)


def test_unknown_names_list_what_there_is(root):
    dataset = Dataset(root)
    with pytest.raises(UserError, match="no column 'actions'; it has observation.state, next.success, .*action"):
        dataset.column("actions")
    with pytest.raises(UserError, match="no column 'observation.images.front'"):
        dataset.column("observation.images.front")
    with pytest.raises(UserError, match="no camera 'wrist'; it has front, top"):
        dataset.frames(0, "wrist")
