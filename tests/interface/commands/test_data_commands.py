"""`presage inspect`, `dataset` and `train` on recordings of any robot: what they write, and what they refuse."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.episodes.edited import DATA, EPISODES
from tests.episodes.robots import forget_codec, put_nan, write_numbers, write_robot
from tests.episodes.test_damage import truncate
from tests.interface.test_cli import refused

from presage.episodes.dataset import Dataset
from presage.interface.cli import main

VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"


def done(*arguments: object) -> None:
    assert main([str(a) for a in arguments]) == 0


def test_inspect_writes_one_page_with_everything_inside(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_robot(tmp_path / "arm", ("front", "wrist"), instruction="lift <the> cube")
    done("inspect", "arm", "--json", "figures.json")
    page = (tmp_path / "runs/inspect/arm.html").read_text()
    assert page.count("data:video/mp4;base64,") == 1 and "http:" not in page and "https:" not in page
    assert "lift &lt;the&gt; cube" in page and "action[6]" in page and str(tmp_path) not in page
    said = capsys.readouterr().out
    assert "2 cameras" in said and "6 actions of 7 numbers" in said and "runs/inspect/arm.html" in said
    assert json.loads(Path("figures.json").read_text())["figures"]["rows"] == 62


def test_inspect_lists_damage_and_refuses_only_what_cannot_be_read(tmp_path: Path, capfd) -> None:
    root = write_robot(tmp_path / "arm")
    (root / VIDEO).unlink()
    (root / "meta/tasks.parquet").unlink()
    done("inspect", root, "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "the video is missing" in page and "tasks.parquet: the file is missing" in page
    truncate(root / "meta/info.json")
    assert "info.json" in refused(capfd, "inspect", root, "--out", tmp_path / "other.html")
    assert "nowhere" in refused(capfd, "inspect", "nowhere")
    assert not (tmp_path / "other.html").exists()


def test_inspect_says_what_train_would(tmp_path: Path, capsys) -> None:
    rng = np.random.default_rng(0)

    def columns(episode: int) -> dict[str, np.ndarray]:
        action = rng.normal(size=(90, 3)).astype(np.float32)
        action[:, 1], action[:, 2] = np.arange(90) > 60, 0.25
        return {"action": action, "observation.state": action, "quality": np.full(90, "good")}

    done("inspect", write_numbers(tmp_path / "arm", columns), "--out", tmp_path / "page.html")
    said = capsys.readouterr().out
    assert re.search(r"gripper-like +action\[1\]\n", said)
    assert "'action[2]' of 'action' never moves from 0.25" in said and "'quality' is not used: it holds string" in said
    assert "is not used: it holds string" in (tmp_path / "page.html").read_text()
    named = write_numbers(tmp_path / "named", lambda e: {"actions": columns(e)["action"]})
    done("inspect", named, "--out", tmp_path / "page.html")
    assert "cannot use it as it is" in (said := capsys.readouterr().out) and "give --action actions" in said
    done("inspect", write_robot(tmp_path / "short", length=1), "--out", tmp_path / "page.html")
    assert "every episode has one row" in capsys.readouterr().out


def test_filter_reads_success_however_it_was_written(tmp_path: Path, capfd) -> None:
    def write(name: str, values: list, column: str | None = None) -> Path:
        def columns(e: int) -> dict[str, np.ndarray]:
            return {"action": np.zeros((4, 2), np.float32)} | ({column: np.full(4, values[e])} if column else {})

        return write_numbers(tmp_path / name, columns, facts=lambda e: {} if column else {"success": values[e]})

    for i, (values, column) in enumerate(
        [(["no", "yes"], None), ([0, 1], None), (["failure", "success"], "next.success")]
    ):
        done("dataset", "filter", write(f"in{i}", values, column), "--out", tmp_path / f"out{i}", "--success", "yes")
        assert "1 of 2 episodes" in capfd.readouterr().out
    strange = write("strange", ["good", "bad"])
    assert "'good' says neither" in refused(
        capfd, "dataset", "filter", strange, "--out", tmp_path / "out", "--success", "yes"
    )


def test_filter_keeps_dreams_whose_labels_explain_them(tmp_path: Path, capfd) -> None:
    shares = [0.2, 0.5, 1.3, None]
    facts = [{} if share is None else {"unexplained": share} for share in shares]
    robot = write_numbers(
        tmp_path / "dreams", lambda e: {"action": np.zeros((4, 2), np.float32)}, 4, facts=lambda e: facts[e]
    )
    done("dataset", "filter", robot, "--out", tmp_path / "good", "--max-unexplained", "0.5")
    assert "2 of 4 episodes" in capfd.readouterr().out
    assert [e.info["unexplained"] for e in Dataset(tmp_path / "good").episodes] == [0.2, 0.5]


def test_the_tools_in_a_row(tmp_path: Path, capsys) -> None:
    a, b = write_robot(tmp_path / "a", episodes=3), write_robot(tmp_path / "b", instruction="open the door")
    done("dataset", "merge", a, b, "--out", tmp_path / "both", "--json", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["figures"]["both"]["episodes"] == 5
    done("dataset", "filter", tmp_path / "both", "--out", tmp_path / "doors", "--contains", "door", "--success", "yes")
    assert [e.instruction for e in Dataset(tmp_path / "doors").episodes] == ["open the door"]
    done("dataset", "append", tmp_path / "doors", a)
    assert len(Dataset(tmp_path / "doors").episodes) == 4
    done("dataset", "split", tmp_path / "both", "--out", tmp_path / "parts", "--shares", "3", "2", "--names", "x", "y")
    parts = [Dataset(tmp_path / "parts" / name) for name in ("x", "y")]
    assert [len(part.episodes) for part in parts] == [3, 2]
    done("dataset", "reencode", a, "--out", tmp_path / "small", "--size", "32", "--crf", "30")
    assert Dataset(tmp_path / "small").features["observation.images.front"]["shape"] == [32, 42, 3]
    left = {p.name for p in tmp_path.iterdir()}
    assert left == {"a", "b", "both", "doors", "parts", "small", "figures.json"}
    assert "compressed again" not in capsys.readouterr().out


def test_the_tools_refuse_in_one_line(tmp_path: Path, capfd) -> None:
    root, out = write_robot(tmp_path / "a"), tmp_path / "out"
    fast = write_robot(tmp_path / "fast", fps=50)
    assert "at least 2" in refused(capfd, "dataset", "merge", root, "--out", out)
    assert "rows a second" in refused(capfd, "dataset", "merge", root, fast, "--out", out)
    assert "loosen" in refused(capfd, "dataset", "filter", root, "--out", out, "--contains", "fly")
    assert "episodes '9-'" in refused(capfd, "dataset", "filter", root, "--out", out, "--episodes", "9-")
    assert "larger share" in refused(capfd, "dataset", "split", root, "--out", out, "--shares", "100", "1")
    assert "--shares" in refused(capfd, "dataset", "split", root, "--out", out, "--shares", "1")
    assert "--crf" in refused(capfd, "dataset", "reencode", root, "--out", out, "--crf", "99")
    for size in ("15", "-64", "99999999"):
        assert "at least 16 and at most 4096" in refused(
            capfd, "dataset", "reencode", root, "--out", out, "--size", size
        )
    assert "exists" in refused(capfd, "dataset", "reencode", root, "--out", root)
    assert "nowhere" in refused(capfd, "dataset", "append", "nowhere", root)
    assert "shuffle" in refused(capfd, "dataset", "shuffle", root)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "fast"]


def test_appending_from_inside_and_to_itself(tmp_path: Path, capfd, monkeypatch) -> None:
    root, other = write_robot(tmp_path / "a"), write_robot(tmp_path / "b")
    (root / "README.md").write_text("mine")
    monkeypatch.chdir(root)
    done("dataset", "append", ".", "../b")
    done("dataset", "append", "../a/", other)
    done("inspect", ".", "--out", tmp_path / "page.html")  # the folder is still the one that the shell stands in
    assert len(Dataset(root).episodes) == 6 and (root / "README.md").read_text() == "mine"
    monkeypatch.chdir(root / "meta")
    done("dataset", "append", "..", other)
    assert "is the dataset itself" in refused(capfd, "dataset", "append", root, other, root)
    assert "a file: name a folder" in refused(capfd, "dataset", "append", root / "README.md", other)
    assert len(Dataset(root).episodes) == 8
    assert sorted(p.name for p in root.iterdir()) == ["README.md", "data", "meta", "videos"]


def test_episodes_are_chosen_by_number_where_numbers_have_gaps(tmp_path: Path) -> None:
    root = write_robot(tmp_path / "arm", episodes=3)
    for file, numbers in ((EPISODES, [0, 2, 5]), (DATA, np.repeat([0, 2, 5], 31))):
        table = pq.read_table(root / file)
        place = table.column_names.index("episode_index")
        pq.write_table(table.set_column(place, "episode_index", pa.array(numbers, pa.int64())), root / file)
    done("dataset", "filter", root, "--out", tmp_path / "out", "--episodes", "1:3,5")
    np.testing.assert_array_equal(Dataset(tmp_path / "out").column("action"), Dataset(root).column("action")[31:])
    done("dataset", "split", root, "--out", tmp_path / "parts", "--shares", "2", "1")
    firsts = [Dataset(tmp_path / "parts" / name).column("action")[:, 0] for name in ("train", "test")]
    assert sorted(np.floor(np.concatenate(firsts) + 1e-3)) == [0] * 31 + [1] * 31 + [2] * 31


def test_what_is_not_carried_over_is_said(tmp_path: Path, capsys) -> None:
    a, b = write_robot(tmp_path / "a"), write_robot(tmp_path / "b")
    (a / "README.md").write_text("of a")
    done("dataset", "merge", a, b, "--out", tmp_path / "both")
    assert f"not carried over: {a}/README.md" in capsys.readouterr().out
    done("dataset", "filter", a, "--out", tmp_path / "one", "--episodes", "1")
    assert (tmp_path / "one/README.md").read_text() == "of a" and "not carried" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seed", "-1"], "--seed"),
        (["--shares", "nan", "1"], "--shares nan: give a number, above 0"),
        (["--shares", "inf", "1"], "give a number, above 0"),
        (["--shares", "0", "1"], "give a number, above 0"),
        (["--names", "..", "b"], "--names ..: give the name of a folder"),
        (["--names", "a/b", "c"], "give the name of a folder"),
        (["--names", "a", "a"], "--names a: given twice"),
    ],
)
def test_splits_that_cannot_be(tmp_path: Path, capfd, options: list[str], says: str) -> None:
    root = write_robot(tmp_path / "a")
    assert says in refused(capfd, "dataset", "split", root, "--out", tmp_path / "parts", *options)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def widen(root: Path) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    info["features"]["action"]["shape"] = [9]
    (root / "meta/info.json").write_text(json.dumps(info))


DAMAGES = {
    "missing video": (lambda root: (root / VIDEO).unlink(), "file-000.mp4: is missing; restore"),
    "unknown codec": (
        lambda root: forget_codec(root / VIDEO),
        "file-000.mp4: the video's codec is unknown here; convert",
    ),
    "truncated parquet": (lambda root: truncate(root / DATA), "file-000.parquet: cannot be read"),
    "wrong shape": (widen, "column 'action' does not have shape [9] in every row; correct"),
    "NaN action": (lambda root: put_nan(root / DATA, 3), "column 'action' is NaN or infinite in row 3 of episode 0"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_data_stops_training_with_one_line(tmp_path: Path, capfd, name: str) -> None:
    root = write_robot(tmp_path / "arm")
    damage, says = DAMAGES[name]
    damage(root)
    shape = ("--recipe", "debug", "--codec-steps", "1", "--steps", "1")
    assert says in refused(capfd, "train", "--data", root, "--out", tmp_path / "run", *shape)
    assert not (tmp_path / "run/model").exists()


def test_a_dataset_larger_than_the_free_disk(tmp_path: Path, capfd, monkeypatch) -> None:
    class Full:
        free = 1000

    root = write_robot(tmp_path / "arm")
    monkeypatch.setattr("shutil.disk_usage", lambda path: Full)
    said = refused(capfd, "train", "--data", root, "--out", tmp_path / "run", "--recipe", "debug")
    assert "the cache frames-64-front" in said and "needs 762 kB" in said and "free space" in said
    assert "free space" in refused(capfd, "dataset", "filter", root, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cameras", "side"], "no camera 'side'; it has front"),
        (["--action", "action:elbow"], "no column 'elbow'"),
        (["--chunk", "0"], "--chunk"),
        (["--fps", "-1"], "--fps"),
        (["--episodes", "0:99"], "no episode 2"),
        (["--relative", "7"], "no column '7'"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, capfd, options: list[str], says: str) -> None:
    root = write_robot(tmp_path / "arm")
    assert says in refused(capfd, "train", "--data", root, "--out", tmp_path / "run", "--recipe", "debug", *options)
    assert not (tmp_path / "run").exists()


def test_robots_that_cannot_share_a_model(tmp_path: Path, capfd) -> None:
    one, two = write_robot(tmp_path / "one"), write_robot(tmp_path / "two", ("side",), joints=3)
    said = refused(capfd, "train", "--data", one, two, "--out", tmp_path / "run", "--recipe", "debug")
    assert "differ in cameras (['front'], ['side'])" in said
