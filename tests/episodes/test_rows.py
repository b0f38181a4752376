"""Every column of the data files is in an edited dataset, bit for bit, and so is what they say of themselves."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.edited import DATA, EPISODES, add_column, change_info, read_info
from tests.episodes.robots import put_nan, write_robot
from tests.episodes.samples import make_episode
from tests.episodes.test_foreign import add_feature, compress

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.errors import UserError

ROWS = 62
COLUMNS: dict[str, pa.Array] = {
    "struct": pa.array([{"role": "user", "at": i / 7} for i in range(ROWS)]),
    "list of structs": pa.array([[{"content": f"say {i}"}] * (i % 3) for i in range(ROWS)]),
    "doubles": pa.array(np.random.default_rng(0).normal(size=ROWS)),
    "variable": pa.array([list(range(i % 4)) for i in range(ROWS)], pa.list_(pa.int16())),
    "dictionary": pa.array([f"phase {i // 20}" for i in range(ROWS)]).dictionary_encode(),
    "time": pa.array(np.arange(ROWS), pa.timestamp("us")),
    "large": pa.array([f"text {i}" for i in range(ROWS)], pa.large_string()),
    "bytes": pa.array([bytes([i, 255 - i]) for i in range(ROWS)]),
    "nulls": pa.array([None if i % 2 else i for i in range(ROWS)]),
    "never": pa.nulls(ROWS),
}


@pytest.mark.parametrize("listed", [False, True], ids=["unlisted", "listed"])
def test_columns_of_any_type_are_copied(tmp_path: Path, listed: bool) -> None:
    root = write_robot(tmp_path / "arm")
    for name, column in COLUMNS.items():
        add_column(root / DATA, name, column, {b"huggingface": b'{"info": 1}', b"lab": b"own"})
        if listed:
            entry = {"dtype": "language", "shape": [1], "names": None, "unit": "own"}
            change_info(root, lambda info, name=name, entry=entry: info["features"].update({name: entry}))
    write_episodes([Dataset(root, [1]), Dataset(root, [0])], tmp_path / "out")
    old, new = pq.read_table(root / DATA), pq.read_table(tmp_path / "out" / DATA)
    for name in COLUMNS:
        assert new.schema.field(name).equals(old.schema.field(name), check_metadata=True)
        assert new[name].to_pylist() == old[name].to_pylist()[31:] + old[name].to_pylist()[:31]
    assert dict(new.schema.metadata) == {b"huggingface": b'{"info": 1}', b"lab": b"own"}
    if listed:
        assert read_info(tmp_path / "out")["features"]["struct"]["unit"] == "own"


def test_numbers_keep_the_width_they_are_stored_in(tmp_path: Path) -> None:
    """info.json says float32, the file holds doubles."""
    narrow, wide = write_robot(tmp_path / "narrow"), write_robot(tmp_path / "wide")
    table = pq.read_table(wide / DATA)
    place, doubles = table.column_names.index("action"), np.random.default_rng(0).normal(size=(ROWS, 7))
    pq.write_table(table.set_column(place, "action", pa.array(doubles.tolist())), wide / DATA)
    write_episodes([Dataset(wide)], tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / DATA)["action"].to_pylist() == doubles.tolist()
    write_episodes([Dataset(narrow), Dataset(wide)], tmp_path / "both")
    found = pq.read_table(tmp_path / "both" / DATA)["action"]
    assert found.to_pylist() == [*map(list, pq.read_table(narrow / DATA)["action"].to_pylist()), *doubles.tolist()]


def test_columns_that_only_one_has_are_null_in_the_other(tmp_path: Path) -> None:
    one, two = write_robot(tmp_path / "one"), write_robot(tmp_path / "two")
    add_column(two / DATA, "language", COLUMNS["list of structs"])
    write_episodes([Dataset(one), Dataset(two)], tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / DATA)["language"].to_pylist()
    assert found == [None] * ROWS + COLUMNS["list of structs"].to_pylist()
    add_column(one / DATA, "language", COLUMNS["struct"])
    with pytest.raises(
        UserError, match="two/data.*: column 'language' is list.*, in .*one.* struct.*; store both alike"
    ):
        write_episodes([Dataset(one), Dataset(two)], tmp_path / "refused")


def test_what_is_not_a_number_is_copied_and_not_counted(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    put_nan(root / DATA, 3)
    write_episodes([Dataset(root)], tmp_path / "out")
    old, new = (np.array(pq.read_table(folder / DATA)["action"].to_pylist()) for folder in (root, tmp_path / "out"))
    np.testing.assert_array_equal(new, old)
    stats = Dataset(tmp_path / "out").stats["action"]
    assert stats["count"] == ROWS - 1 and np.isfinite(stats["mean"]).all()
    np.testing.assert_allclose(stats["max"], np.nanmax(old, axis=0))


def test_pictures_of_sixteen_bits_and_pictures_by_path(root: Path, tmp_path: Path) -> None:
    depth = [compress_depth(np.full((16, 16), 1000 + i, np.uint16)) for i in range(22)]
    entry = {"dtype": "image", "shape": [16, 16, 1], "names": ["height", "width", "channels"]}
    add_feature(root, "observation.depth", entry, pa.array([{"bytes": data, "path": None} for data in depth]))
    pictures = np.concatenate([make_episode(seed, 4 + seed).frames["front"] for seed in range(4)])
    data = [compress(picture, "png", "rgb24") for picture in pictures]
    (root / "images").mkdir()
    (root / "images/notes.txt").write_text("kept")
    for i, picture in enumerate(data):
        (root / f"images/{i}.png").write_bytes(picture)
    cells = pa.array(
        [{"bytes": None, "path": f"images/{i}.png"} for i in range(22)],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    add_feature(root, "observation.image", {"dtype": "image", "shape": [16, 16, 3], "names": None}, cells)
    write_episodes([Dataset(root, [1]), Dataset(root, [3])], tmp_path / "out")
    new = pq.read_table(tmp_path / "out" / DATA)
    chosen = [*range(4, 9), *range(15, 22)]
    assert [cell["bytes"] for cell in new["observation.depth"].to_pylist()] == [depth[i] for i in chosen]
    assert [cell["bytes"] for cell in new["observation.image"].to_pylist()] == [data[i] for i in chosen]
    assert {p.name for p in (tmp_path / "out/images").iterdir()} == {
        "notes.txt",
        *(f"{i}.png" for i in range(22) if i not in chosen),
    }
    (root / "images/5.png").unlink()
    with pytest.raises(UserError, match="file-000.parquet: names the picture 'images/5.png', which cannot be read"):
        write_episodes([Dataset(root)], tmp_path / "lost")


def compress_depth(levels: np.ndarray) -> bytes:
    import av

    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = levels.shape
    encoder.pix_fmt, encoder.framerate = "gray16be", 5
    frame = av.VideoFrame.from_ndarray(levels.byteswap(), format="gray16be")
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def test_what_meta_says_of_episodes_and_of_unknown_features(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm")
    add_column(root / EPISODES, "operator", pa.array(["ann", "bob"]))
    add_column(root / EPISODES, "grade", pa.array([1, 2], pa.int8()))
    add_column(root / EPISODES, "phases", pa.array([[{"from": 0, "skill": "reach"}], []]))
    for figure, value in {"mean": 1.0, "std": 0.5, "min": 0.0, "max": 2.0, "count": 31}.items():
        add_column(root / EPISODES, f"stats/observation.language/{figure}", pa.array([[value], [value]]))
    episodes = pq.read_table(root / EPISODES)
    place = episodes.column_names.index("tasks")
    two = pa.array([["lift the cube", "lift"], ["lift the cube"]])
    pq.write_table(episodes.set_column(place, "tasks", two), root / EPISODES)
    change_info(root, lambda info: info.update(license="mit", splits={"train": "0:1", "test": "1:2"}))
    write_episodes([Dataset(root, [1])], tmp_path / "out")
    row = pq.read_table(tmp_path / "out" / EPISODES)
    kept = {
        name: row[name].to_pylist()[0] for name in ("operator", "grade", "phases", "stats/observation.language/mean")
    }
    assert kept == {"operator": "bob", "grade": 2, "phases": [], "stats/observation.language/mean": [1.0]}
    assert (
        row.schema.field("grade").type == pa.int8()
        and row.schema.field("phases").type == episodes.schema.field("phases").type
    )
    assert json.loads((tmp_path / "out/meta/stats.json").read_text())["observation.language"]["max"] == [2.0]
    info = read_info(tmp_path / "out")
    assert info["license"] == "mit" and info["splits"] == {"test": "0:1"}
    write_episodes([Dataset(root)], tmp_path / "all")
    assert pq.read_table(tmp_path / "all" / EPISODES)["tasks"].to_pylist() == two.to_pylist()
    assert read_info(tmp_path / "all")["splits"] == {"train": "0:1", "test": "1:2"}
    assert Dataset(tmp_path / "all").tasks == ["lift the cube", "lift"]


def test_lists_in_old_episodes_are_kept(old_root: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (old_root / "meta/episodes.jsonl").read_text().splitlines()]
    for line in lines:
        line["action_config"] = [{"start_frame": 0, "skill": "push"}]
    (old_root / "meta/episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_episodes([Dataset(old_root, [2])], tmp_path / "out")
    row = pq.read_table(tmp_path / "out" / EPISODES).to_pylist()[0]
    assert row["action_config"] == [{"start_frame": 0, "skill": "push"}] and row["info/seed"] == 7


def test_episodes_without_rows_are_left_out_with_a_word(tmp_path: Path, old_root: Path) -> None:
    lines = (old_root / "meta/episodes.jsonl").read_text()
    (old_root / "meta/episodes.jsonl").write_text(
        lines + json.dumps({"episode_index": 4, "tasks": [], "length": 0}) + "\n"
    )
    written = write_episodes([Dataset(old_root)], tmp_path / "out")
    assert (written.episodes, written.rows) == (4, 22) and "episodes without rows are left out: 4" in str(written.notes)
    assert len(Dataset(tmp_path / "out").episodes) == 4
    with pytest.raises(UserError, match="old: no episode 4; it has episodes 0:4"):
        Dataset(old_root, [4])
