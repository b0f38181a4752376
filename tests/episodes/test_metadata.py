"""Meta as others write it: what the episodes can be read without never stops reading, and is told."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.edited import DATA, EPISODES, change_info
from tests.interface.commands.test_data_commands import done
from tests.interface.test_cli import refused

from presage.episodes.dataset import Dataset
from presage.episodes.survey import survey
from presage.errors import UserError

Change = Callable[[Path], object]


def rewrite(path: Path, change: Callable[[str], str]) -> None:
    path.write_bytes(change(path.read_text()).encode())


def lines(change: Callable[[list[dict]], object]) -> Change:
    """A change to the objects of meta/episodes.jsonl."""

    def apply(root: Path) -> None:
        path = root / "meta/episodes.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        change(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    return apply


def chunks(root: Path) -> list[Path]:
    """Files of the second folder."""
    return [
        path for place in ("data", "videos") for path in (root / place / "chunk-001").rglob("*.*") if path.is_file()
    ]


def set_tasks(texts: Callable[[str], object]) -> Change:
    return lines(lambda rows: [row.update(tasks=texts(row["tasks"][0])) for row in rows])


OLD: dict[str, Change] = {
    "tasks as text": set_tasks(lambda text: text),
    "several tasks": set_tasks(lambda text: [text, "another"]),
    "tasks as numbers": set_tasks(lambda text: [1 if "push" in text else 0]),
    "unsorted": lines(lambda rows: rows.reverse()),
    "twice": lines(lambda rows: rows.append(dict(rows[1]))),
    "blank lines": lambda root: rewrite(root / "meta/episodes.jsonl", lambda text: text.replace("\n", "\n\n")),
    "of Windows": lambda root: [
        rewrite(root / "meta" / name, lambda text: "\ufeff" + text.replace("\n", "\r\n"))
        for name in ("episodes.jsonl", "tasks.jsonl", "episodes_stats.jsonl", "info.json")
    ],
    "line separators in a text": lines(lambda rows: rows[0].update(note="a\u2028b\u0085c")),
    "rate as text": lambda root: change_info(root, lambda info: info.update(fps="5")),
    "size of folders null": lambda root: [
        change_info(root, lambda info: info.update(chunks_size=None)),
        *(
            (path.rename(root / path.relative_to(root).as_posix().replace("chunk-001", "chunk-000")))
            for path in chunks(root)
        ),
    ],
    "statistics cut": lambda root: rewrite(root / "meta/episodes_stats.jsonl", lambda text: text[:-40]),
    "version without v": lambda root: change_info(root, lambda info: info.update(codebase_version=2.1)),
    "no paths": lambda root: change_info(root, lambda info: [info.pop("data_path"), info.update(video_path=None)]),
    "names null": lambda root: change_info(
        root, lambda info: [f.update(names=None) for f in info["features"].values()]
    ),
    "no totals": lambda root: change_info(
        root, lambda info: [info.pop("total_frames"), info.update(total_episodes="4")]
    ),
    "no statistics": lambda root: (root / "meta/episodes_stats.jsonl").unlink(),
    "empty statistics": lambda root: (root / "meta/episodes_stats.jsonl").write_text(
        '{"episode_index": 0, "stats": null}'
    ),
    "hidden files": lambda root: [
        place.write_bytes(b"\0\5\x16\7")
        for place in (root / "meta/.DS_Store", root / "data/chunk-000/._episode_000000.parquet")
    ],
}


@pytest.mark.parametrize("name", OLD)
def test_forms_of_v21(old_root: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(old_root, tmp_path / "copy"))
    OLD[name](copy)
    same(Dataset(copy), Dataset(old_root))
    assert survey(copy).damage == []


def same(data: Dataset, whole: Dataset) -> None:
    assert data.fps == whole.fps and data.lengths.tolist() == whole.lengths.tolist()
    assert [e.instruction for e in data.episodes] == [e.instruction for e in whole.episodes]
    for name in ("action", "observation.state", "next.success", "index"):
        np.testing.assert_array_equal(data.column(name), whole.column(name))
    np.testing.assert_array_equal(data.frames(1, "top"), whole.frames(1, "top"))


def put(file: str, name: str, values: Callable[[list], object]) -> Change:
    """A change to a column of a parquet file."""

    def apply(root: Path) -> None:
        table = pq.read_table(root / file)
        column = pa.array(values(table[name].to_pylist()))
        pq.write_table(table.set_column(table.column_names.index(name), name, column), root / file)

    return apply


def split_meta(root: Path) -> None:
    """meta/episodes over two chunk folders, the later episodes first, with a hidden file beside."""
    table = pq.read_table(root / EPISODES)
    other = root / "meta/episodes/chunk-001/file-000.parquet"
    other.parent.mkdir()
    pq.write_table(table.slice(0, 2), other)
    pq.write_table(table.slice(2), root / EPISODES)
    other.with_name("._file-000.parquet").write_bytes(b"\0\5\x16\7")


TASKS = "meta/tasks.parquet"
NEW: dict[str, Change] = {
    "tasks missing": lambda root: (root / TASKS).unlink(),
    "tasks in a plain column": lambda root: pq.write_table(
        pa.table({"task_index": [1, 0], "task": ["push the puck", "open the drawer"]}), root / TASKS
    ),
    "tasks as dictionary": put(EPISODES, "tasks", lambda tasks: pa.array([t[0] for t in tasks]).dictionary_encode()),
    "meta in folders": split_meta,
    "statistics null": lambda root: (root / "meta/stats.json").write_text('{"action": {"mean": null, "std": [NaN]}}'),
    "no statistics": lambda root: (root / "meta/stats.json").unlink(),
    "totals": lambda root: change_info(root, lambda info: info.update(total_frames=900, total_episodes=40)),
}


@pytest.mark.parametrize("name", NEW)
def test_forms_of_v30(root: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    NEW[name](copy)
    same(Dataset(copy), Dataset(root))
    assert survey(copy).damage == []


def test_what_was_repaired_is_told_and_mended_by_filter(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    NEW["totals"](root)
    NEW["statistics null"](root)
    NEW["tasks in a plain column"](root)
    notes = survey(root).notes
    assert len(notes) == 4
    for part in (
        "total_episodes is 40, .* 4;",
        "total_frames is 900, .* 22;",
        "stats.json: null",
        "not the pandas index",
    ):
        assert any(part.split(", .* ")[0] in note for note in notes), part
    done("inspect", root, "--out", tmp_path / "page.html")
    assert (
        "total_frames is 900" in capsys.readouterr().out
        and "total_frames is 900" in (tmp_path / "page.html").read_text()
    )
    done("dataset", "filter", root, "--out", tmp_path / "out", "--min-length", "1")
    mended = Dataset(tmp_path / "out")
    assert mended.notes == [] and "q99" in mended.stats["action"]
    info = json.loads((tmp_path / "out/meta/info.json").read_text())
    assert (info["total_episodes"], info["total_frames"]) == (4, 22)


def test_nothing_recorded_yet(root: Path, old_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    aborted = Path(shutil.copytree(root, tmp_path / "aborted"))
    for folder in ("data", "videos", "meta/episodes"):
        shutil.rmtree(aborted / folder)
    (aborted / TASKS).unlink()
    change_info(aborted, lambda info: info.update(total_episodes=0, total_frames=0))
    pq.write_table(pq.read_table(root / EPISODES).slice(0, 0), root / EPISODES)
    (old_root / "meta/episodes.jsonl").write_text("")
    for folder in (aborted, root, old_root):
        for command in (
            ("inspect",),
            ("dataset", "filter", "--out", tmp_path / "out"),
            ("train", "--out", tmp_path / "run", "--data"),
        ):
            assert f"{folder}: no episode has been recorded in it yet; record one first" in refused(
                capfd, *command, folder
            )


def test_episodes_without_rows_are_passed_over(old_root: Path) -> None:
    lines(lambda rows: rows.append({"episode_index": 4, "length": 0, "tasks": []}))(old_root)
    data = Dataset(old_root)
    assert [e.index for e in data.episodes] == [0, 1, 2, 3] and "without rows are left out: 4" in data.notes[-1]


def renumbered(root: Path, numbers: dict[int, int]) -> None:
    """Give episodes of v2.1 other numbers, in meta and in the names of files."""
    lines(lambda rows: [row.update(episode_index=numbers[row["episode_index"]]) for row in rows])(root)
    for path in sorted(root.rglob("episode_*"), reverse=True):
        number = numbers[int(path.stem.removeprefix("episode_"))]
        folder = path.parents[0 if path.suffix == ".parquet" else 1].parent / f"chunk-{number // 3:03d}"
        target = folder / (path.name if path.suffix == ".parquet" else f"{path.parent.name}/{path.name}")
        target = target.with_name(f"episode_{number:06d}{path.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)


def test_episodes_go_by_their_number(old_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    whole = Dataset(old_root)
    last = whole.frames(3, "front"), whole.column("action")[-7:]
    renumbered(old_root, {0: 0, 1: 2, 2: 5, 3: 9})
    data = Dataset(old_root, [9])
    assert data.episodes[0].index == 9 and data.num_rows == 7
    np.testing.assert_array_equal(data.frames(0, "front"), last[0])
    np.testing.assert_array_equal(data.column("action"), last[1])
    assert [e.index for e in Dataset(old_root, range(1, 6)).episodes] == [2, 5]
    for command in (
        ("inspect",),
        ("dataset", "filter", "--out", tmp_path / "out"),
        ("train", "--out", tmp_path / "run", "--data"),
    ):
        said = refused(capfd, *command, old_root, "--episodes", "3")
        assert "no episode 3; it has episodes 0,2,5,9" in said


def test_one_cut_file_of_meta(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """The episodes of the other files can still be saved."""
    whole = Dataset(root)
    expected = whole.column("action")[:9]
    table = pq.read_table(root / EPISODES)
    cut = (root / EPISODES).with_name("file-001.parquet")
    pq.write_table(table.slice(2), cut)
    pq.write_table(table.slice(0, 2), root / EPISODES)
    cut.write_bytes(cut.read_bytes()[:-60])
    found = survey(root)
    assert len(found.dataset.episodes) == 2 and "file-001.parquet: cannot be read" in found.damage[0]
    with pytest.raises(UserError, match="file-001.parquet: cannot be read .*--episodes 0:2"):
        Dataset(root)
    assert "file-001.parquet" in refused(capfd, "dataset", "filter", root, "--out", tmp_path / "out")
    done("dataset", "filter", root, "--out", tmp_path / "out", "--episodes", "0:2")
    np.testing.assert_array_equal(Dataset(tmp_path / "out").column("action"), expected)


REFUSED: dict[str, tuple[Callable[[dict], object], str]] = {
    "rate 0": (lambda info: info.update(fps=0), "fps is 0; write how many rows a second"),
    "rate null": (lambda info: info.update(fps=None), "fps is None; write"),
    "rate in words": (lambda info: info.update(fps="fast"), "fps is 'fast'; write"),
    "features as list": (lambda info: info.update(features=[]), "features is not an object"),
    "no type": (lambda info: info["features"]["action"].pop("dtype"), "feature 'action' has dtype None; write float32"),
    "no shape": (
        lambda info: info["features"]["action"].pop("shape"),
        "feature 'action' has shape None; write its sides",
    ),
    "huge shape": (lambda info: info["features"]["action"].update(shape=[10**15]), "feature 'action' has shape"),
    "placeholder": (
        lambda info: info.update(data_path="data/{episode}.parquet"),
        "which cannot be filled in; the usual",
    ),
    "outside": (lambda info: info.update(data_path="../data/{episode_index}.parquet"), "outside the dataset"),
    "one video for all": (lambda info: info.update(video_path="videos/{episode_index}.mp4"), "put {video_key} into it"),
    "chunks": (lambda info: info.update(chunks_size=0), "chunks_size is 0; write how many episodes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fields_without_which_nothing_can_be_read(old_root: Path, tmp_path: Path, capfd, name: str) -> None:
    change, says = REFUSED[name]
    change_info(old_root, change)
    said = refused(capfd, "inspect", old_root, "--out", tmp_path / "page.html")
    assert "meta/info.json: " in said and says in said


def cut_rows(root: Path, rows: int) -> tuple[pa.Table, Path]:
    """The data file in two at a row; meta still names the first for all."""
    table, other = pq.read_table(root / DATA), (root / DATA).with_name("file-001.parquet")
    pq.write_table(table.slice(rows), other)
    pq.write_table(table.slice(0, rows), root / DATA)
    return table, other


def test_rows_are_found_by_number_where_meta_names_another_file(root: Path, tmp_path: Path) -> None:
    expected = Dataset(root).column("action")
    cut_rows(root, 9)
    data = Dataset(root)
    np.testing.assert_array_equal(data.column("action"), expected)
    assert [(e.data_file[-8:-8] or e.data_file[-16:], e.data_row) for e in data.episodes] == [
        ("file-000.parquet", 0),
        ("file-000.parquet", 4),
        ("file-001.parquet", 0),
        ("file-001.parquet", 6),
    ]
    assert "rows of 2 episodes are not where it says (episode 2 is in data/chunk-000/file-001.parquet)" in data.notes[0]
    np.testing.assert_array_equal(Dataset(root, [3]).column("action"), expected[-7:])
    done("dataset", "filter", root, "--out", tmp_path / "out")
    assert Dataset(tmp_path / "out").notes == []


def test_episodes_that_changed_places_inside_a_file(root: Path) -> None:
    expected, table = Dataset(root).column("action"), pq.read_table(root / DATA)
    pq.write_table(pa.concat_tables([table.slice(4), table.slice(0, 4)]), root / DATA, row_group_size=4)
    np.testing.assert_array_equal(Dataset(root).column("action"), expected)


def test_rows_that_cannot_be_told_apart_are_refused(root: Path) -> None:
    """Two copies of an episode's rows, neither where meta says: no guess is made."""
    table, other = cut_rows(root, 15)
    pq.write_table(table.slice(15), other.with_name("file-002.parquet"))
    with pytest.raises(UserError, match="rows of episode 3 do not lie together|episode 3 has 14 of 7 rows"):
        Dataset(root)
    assert Dataset(root, [0, 1, 2]).num_rows == 15
    assert len(survey(root).dataset.episodes) == 3


def test_rows_of_another_episode_are_never_taken(root: Path) -> None:
    """Files that say nothing of the numbers in them are checked when they are read."""
    table = pq.read_table(root / DATA)
    numbers = table["episode_index"].to_numpy().copy()
    numbers[[3, 4]] = numbers[[4, 3]]
    table = table.set_column(table.column_names.index("episode_index"), "episode_index", pa.array(numbers))
    pq.write_table(table, root / DATA, write_statistics=False)
    with pytest.raises(UserError, match="3 of 4 rows of episode 0 are where meta/episodes says; leave it out"):
        Dataset(root).column("action")


def test_a_list_of_episodes_that_is_cut_off(old_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """The recorder was killed at the last line: the others can be looked at, chosen and saved."""
    rewrite(old_root / "meta/episodes.jsonl", lambda text: text[:-12])
    with pytest.raises(
        UserError, match=r"cannot be read in line 4 .*; or read the other episodes alone \(--episodes 0:3\)"
    ):
        Dataset(old_root)
    found = survey(old_root)
    assert [e.index for e in found.dataset.episodes] == [0, 1, 2] and "cannot be read in line 4" in found.damage[0]
    done("dataset", "filter", old_root, "--out", tmp_path / "out", "--episodes", "0:3")
    assert Dataset(tmp_path / "out").lengths.tolist() == [4, 5, 6]


def test_cut_statistics_do_not_stop_filter(old_root: Path, tmp_path: Path) -> None:
    OLD["statistics cut"](old_root)
    done("dataset", "filter", old_root, "--out", tmp_path / "out", "--min-length", "5")
    assert "action" in Dataset(tmp_path / "out").stats


def test_episodes_of_other_files_are_passed_over(root: Path, old_root: Path) -> None:
    """A dataset of many files would be walked through once for each of them."""
    walks = []

    class Walked(list):
        def __iter__(self) -> Iterator:
            walks.append(1)
            return super().__iter__()

        def __contains__(self, number: object) -> bool:
            raise AssertionError("looked for one by one")

    for folder in (root, old_root):
        data = Dataset(folder, Walked([0, 1]))
        data.episodes = Walked(data.episodes)
        walks.clear()
        data.column("action")
        assert len(walks) == 1
