"""Datasets written by others: embedded images, depth maps, other list types, videos with reordered frames."""

import io
import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.samples import FPS, make_episode

from presage.episodes.dataset import Dataset
from presage.episodes.video import decode_spans, same_priority
from presage.errors import UserError

DATA = "data/chunk-000/file-000.parquet"


def add_feature(root: Path, name: str, feature: dict, column: pa.Array | None) -> None:
    """Put a feature into info.json and, unless it is a video, its column into the data file."""
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    info["features"][name] = feature
    path.write_text(json.dumps(info))
    if column is not None:
        pq.write_table(pq.read_table(root / DATA).append_column(name, column), root / DATA)


def compress(image: np.ndarray, codec: str, pix_fmt: str) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt = pix_fmt
    encoder.time_base = Fraction(1, FPS)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.mark.parametrize(("codec", "pix_fmt", "tolerance"), [("png", "rgb24", 0), ("mjpeg", "yuvj444p", 40)])
def test_images_inside_the_data_file(root, codec, pix_fmt, tolerance):
    images = np.concatenate([make_episode(seed, 4 + seed).frames["front"] for seed in range(4)])
    cells = [{"bytes": compress(image, codec, pix_fmt), "path": None} for image in images]
    feature = {"dtype": "image", "shape": [16, 16, 3], "names": ["height", "width", "channels"]}
    add_feature(root, "observation.image", feature, pa.array(cells))
    dataset = Dataset(root)
    assert dataset.cameras == ["front", "top", "observation.image"]
    for record in dataset.episodes:
        found = dataset.frames(record.index, "observation.image")
        np.testing.assert_allclose(found.astype(int), images[record.rows].astype(int), atol=tolerance)


def test_damaged_image_is_one_line(root):
    cells = pa.array([{"bytes": b"nothing", "path": None}] * 22)
    add_feature(root, "observation.image", {"dtype": "image", "shape": [16, 16, 3], "names": None}, cells)
    with pytest.raises(UserError, match="picture 0 of 'observation.image' in episode 0 is damaged .*leave it out"):
        Dataset(root).frames(0, "observation.image")


def test_depth_maps_are_no_cameras(root):
    depth = {"dtype": "video", "shape": [16, 16, 1], "names": None, "info": {"is_depth_map": True}}
    path = root / "meta/episodes/chunk-000/file-000.parquet"
    table = pq.read_table(path)
    for name in ("chunk_index", "file_index", "from_timestamp"):
        front = table[f"videos/observation.images.front/{name}"]
        table = table.append_column(f"videos/observation.images.depth/{name}", front)
    pq.write_table(table, path)
    add_feature(root, "observation.images.depth", depth, None)
    assert Dataset(root).cameras == ["front", "top"]


class MatrixType(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.list_(pa.list_(pa.float32())), "test.matrix")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> "MatrixType":
        return cls()


@pytest.mark.parametrize("registered", [False, True])
def test_lists_in_an_extension_type(root, registered):
    values = np.arange(22 * 6, dtype=np.float32).reshape(22, 2, 3)
    storage = pa.array(values.tolist(), pa.list_(pa.list_(pa.float32())))
    feature = {"dtype": "float32", "shape": [2, 3], "names": None}
    add_feature(root, "pose", feature, pa.ExtensionArray.from_storage(MatrixType(), storage))
    if registered:
        pa.register_extension_type(MatrixType())
    try:
        np.testing.assert_array_equal(Dataset(root).column("pose"), values)
    finally:
        if registered:
            pa.unregister_extension_type("test.matrix")


def test_lists_of_double_take_their_type_from_info(root):
    values = np.arange(22 * 3).reshape(22, 3) / 2
    add_feature(root, "pose", {"dtype": "float32", "shape": [3], "names": None}, pa.array(values.tolist()))
    pose = Dataset(root).column("pose")
    assert pose.dtype == np.float32
    np.testing.assert_array_equal(pose, values)


@pytest.mark.parametrize("codec", ["libx264", "libsvtav1"])
def test_long_groups_of_reordered_frames(tmp_path, codec):
    """Key frames far apart and frames stored out of order: every span still gives its own frames."""
    frames = np.stack([np.full((64, 64, 3), 8 * t, dtype=np.uint8) for t in range(30)])
    data = io.BytesIO()
    with same_priority(), av.open(data, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=FPS, options={"g": "12"})
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "clip.mp4").write_bytes(data.getvalue())
    for start, length in [(0, 30), (7, 5), (11, 3), (12, 1), (23, 7), (29, 1)]:
        found = next(decode_spans(tmp_path / "clip.mp4", [(start / FPS, length)], FPS))
        np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), frames[start : start + length, 0, 0, 0], atol=3)


@pytest.mark.parametrize("kind", ["video", "image"])
def test_datasets_written_by_lerobot(kind):
    dataset = Dataset(Path(__file__).parent / "lerobot_0_4_4" / kind)
    assert dataset.cameras == ["front"] and dataset.fps == 5
    assert dataset.lengths.tolist() == [6, 7, 8]
    assert [episode.instruction for episode in dataset.episodes] == ["task 0", "task 1", "task 0"]
    assert set(dataset.stats["action"]) == {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}
    for record in dataset.episodes:
        t = np.arange(record.length)
        grey = dataset.frames(record.index, "front").mean(axis=(1, 2, 3))
        np.testing.assert_allclose(grey, 20 * t + 40 * record.index, atol=1.5)
        action = dataset.column("action")[record.rows]
        np.testing.assert_allclose(action, np.repeat(record.index + t[:, None] / 10, 4, axis=1), rtol=1e-6)
        state = dataset.column("observation.state")[record.rows]
        np.testing.assert_array_equal(state, np.broadcast_to(t[:, None, None], (record.length, 2, 3)))
        np.testing.assert_array_equal(dataset.column("next.success")[record.rows], t > 3)
