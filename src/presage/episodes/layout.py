"""Names, limits and parquet types of LeRobotDataset v3.0 on disk.

Format as written by lerobot 0.4 to 0.6 (``CODEBASE_VERSION = "v3.0"``); its templates are stored in meta/info.json and
readers follow those.
"""

import json
from typing import Any

import numpy as np
import pyarrow as pa

from presage.episodes.features import is_numeric

CODEBASE_VERSION = "v3.0"
CAMERA_PREFIX = "observation.images."
INFO_PREFIX = "info/"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CHUNKS_SIZE = 1000  # files per chunk folder
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
MEGABYTE = 1024 * 1024

DEFAULT_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    **{
        name: {"dtype": "int64", "shape": [1], "names": None}
        for name in ("frame_index", "episode_index", "index", "task_index")
    },
}


def next_file(chunk_index: int, file_index: int, chunks_size: int = CHUNKS_SIZE) -> tuple[int, int]:
    """The (chunk, file) behind the given one: after the last file of a chunk comes file 0 of the next."""
    return (chunk_index + 1, 0) if file_index + 1 >= chunks_size else (chunk_index, file_index + 1)


def column_feature(column: np.ndarray) -> dict[str, Any]:
    """The info.json entry of a column (T, ...)."""
    dtype = "string" if column.dtype.kind == "U" else column.dtype.name
    return {"dtype": dtype, "shape": list(column.shape[1:]) or [1], "names": None}


def arrow_type(feature: dict[str, Any]) -> pa.DataType:
    """Parquet type of one row: shape (1,) is a scalar, one axis a fixed-size list, more axes nested lists. Of what is
    not read there is none."""
    if feature["dtype"] == "string":
        return pa.string()
    if not is_numeric(feature):
        return pa.null()
    kind = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
    shape = tuple(feature["shape"])
    if shape == (1,):
        return kind
    if len(shape) == 1:
        return pa.list_(kind, shape[0])
    for _ in shape:
        kind = pa.list_(kind)
    return kind


def arrow_column(column: np.ndarray | None, feature: dict[str, Any], length: int) -> pa.Array:
    """A column (T, ...) as a parquet array; None (not recorded) becomes T nulls."""
    kind = arrow_type(feature)
    if column is None:
        return pa.nulls(length, kind)
    flat = pa.array(column.reshape(-1))
    if feature["dtype"] == "string" or tuple(feature["shape"]) == (1,):
        return flat.cast(kind)
    shape = column.shape
    if len(shape) == 2:
        return pa.FixedSizeListArray.from_arrays(flat, shape[1])
    for axis in range(len(shape) - 1, 0, -1):
        lists = int(np.prod(shape[:axis]))
        offsets = np.arange(lists + 1, dtype=np.int32) * shape[axis]
        flat = pa.ListArray.from_arrays(pa.array(offsets), flat)
    return flat


def tasks_table(instructions: list[str]) -> pa.Table:
    """meta/tasks.parquet: column task_index, with the task text as the *pandas index*.

    LeRobot looks a task up with ``tasks.iloc[i].name``. A plain text column loads without an error there and gives the
    wrong task, so the schema carries the metadata by which pandas restores the index.
    """
    table = pa.table({"task_index": pa.array(range(len(instructions)), pa.int64()), "task": pa.array(instructions)})
    numpy_types = {"task_index": ("int64", "int64"), "task": ("unicode", "object")}
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": [
            {
                "name": name,
                "field_name": name,
                "pandas_type": pandas_type,
                "numpy_type": numpy_type,
                "metadata": None,
            }
            for name, (pandas_type, numpy_type) in numpy_types.items()
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
