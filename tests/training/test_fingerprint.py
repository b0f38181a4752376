"""A run goes on with exactly what it was made from; for anything else it is refused in one line that says what
differs."""

import inspect
import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
from presage.episodes.layout import tasks_table
from presage.interface.cli import main
from presage.policy.dreamt import dreams, once
from presage.policy.translators import ClipPlan
from presage.training.fingerprint import described, entry, hash_of, of_dataset, of_parts, require_same, settings
from presage.training.loop import lengthened
from presage.training.objectives.denoise import Denoise
from presage.training.pictures import Pictures
from presage.training.reference import TrainConfig
from presage.training.resume import STATE
from tests.episodes.robots import write_robot
from tests.episodes.test_foreign import compress
from tests.recorded import moving_square
from tests.tiny import tiny_model

SHAPE = {"--recipe": "debug", "--codec-steps": "1", "--part-steps": "1", "--fps": "10", "--chunk": "2"}
DATA = "data/chunk-000/file-000.parquet"


def edit(column: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def apply(data: Path) -> None:
        table = pq.read_table(data / DATA)
        values = change(np.array(table[column].to_pylist(), np.float32))
        place, kind = table.column_names.index(column), table.schema.field(column)
        pq.write_table(table.set_column(place, kind, pa.array(values.tolist(), kind.type)), data / DATA)

    return apply


def other_pictures(data: Path) -> None:
    videos = sorted(data.rglob("*.mp4"))
    shutil.copyfile(videos[1], videos[0])


def other_instruction(data: Path) -> None:
    pq.write_table(tasks_table(["push the cube"]), data / "meta/tasks.parquet")
    records = data / "meta/episodes/chunk-000/file-000.parquet"
    episodes = pq.read_table(records)
    tasks = pa.array([["push the cube"]] * len(episodes), episodes.schema.field("tasks").type)
    pq.write_table(episodes.set_column(episodes.column_names.index("tasks"), "tasks", tasks), records)


def other_success(data: Path) -> None:
    records = data / "meta/episodes/chunk-000/file-000.parquet"
    episodes = pq.read_table(records)
    flipped = pa.array([not x for x in episodes["info/success"].to_pylist()])
    pq.write_table(episodes.set_column(episodes.column_names.index("info/success"), "info/success", flipped), records)


def one_byte_of_a_video(data: Path) -> None:
    video = sorted(data.rglob("*.mp4"))[0]
    entry, content = video.stat(), bytearray(video.read_bytes())
    content[-3] ^= 1
    video.write_bytes(content)
    os.utime(video, ns=(entry.st_atime_ns, entry.st_mtime_ns))  # its size and time say nothing


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with `data` and the `run` trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    write_robot(folder / "data", cameras=("front", "wrist"), length=15, fps=10)
    assert train(folder) == 0
    return folder


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def train(folder: Path, *options: str, steps: int = 2) -> int:
    shape = {**SHAPE, "--steps": str(steps)}
    kept = [text for pair in shape.items() if pair[0] not in options for text in pair]
    return main(["train", "--data", str(folder / "data"), "--out", str(folder / "run"), *kept, *options])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "run/model/model.safetensors")


OPTIONS = {
    "relative actions": (["--relative", "all"], "--relative"),
    "other columns of the action": (["--action", "action:0-3"], "--action"),
    "no state": (["--state", "none"], "--state"),
    "one camera": (["--cameras", "front"], "--cameras"),
    "cameras in another order": (["--cameras", "wrist", "front"], "--cameras"),
    "letterbox": (["--fit", "letterbox"], "--fit"),
    "another chunk": (["--chunk", "3"], "--chunk"),
    "another rate": (["--fps", "5"], "--fps"),
    "fewer episodes": (["--episodes", "0"], "episodes of"),
    "another seed": (["--seed", "1"], "--seed 0, now 1"),
    "another codec": (["--codec-steps", "2"], "steps 1, now 2"),
    "longer parts": (["--part-steps", "2"], "steps 1, now 2"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_other_options_are_refused_by_name(case: str, copy: Path, capsys) -> None:
    options, words = OPTIONS[case]
    before = weights(copy)
    assert train(copy, *options) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("presage: error:")]
    assert len(error) == 1 and words in error[0] and "another --out" in error[0]
    assert all(torch.equal(before[name], x) for name, x in weights(copy).items())


EDITS = {
    "actions turned round": (edit("action", np.negative), "other actions of"),
    "one state": (edit("observation.state", lambda x: x + (np.arange(len(x)) == 3)[:, None]), "other states of"),
    "pictures": (other_pictures, "other pictures of"),
    "one byte of a video": (one_byte_of_a_video, "other pictures of"),
    "which episodes failed": (other_success, "other quality of"),
    "instructions": (other_instruction, "other instructions of"),
}


@pytest.mark.parametrize("case", EDITS)
def test_data_that_were_edited_in_their_files_are_refused(case: str, copy: Path, capsys) -> None:
    change, words = EDITS[case]
    change(copy / "data")
    assert train(copy) == 2
    assert words in capsys.readouterr().err


def test_the_same_command_repeats_and_data_may_be_moved(copy: Path) -> None:
    before = weights(copy)
    (copy / "data").rename(copy / "moved")
    (copy / "data").symlink_to(copy / "moved")
    assert train(copy) == 0
    assert all(torch.equal(before[name], x) for name, x in weights(copy).items())


def test_a_run_that_goes_on_from_other_weights_is_refused(trained: Path, copy: Path, capsys) -> None:
    start = Path(shutil.copytree(trained / "run/model", copy / "start"))
    options = ["--recipe", "finetune", "--steps", "2", "--start-from", str(start)]
    command = ["train", "--data", str(copy / "data"), "--out", str(copy / "more"), *options]
    assert main(command) == 0 and main(command) == 0
    tensors = load_file(start / "model.safetensors")
    save_file({name: -x for name, x in tensors.items()}, start / "model.safetensors")
    assert main(command) == 2
    assert "other weights of --start-from" in capsys.readouterr().err


def test_the_codec_of_another_checkpoint_is_refused(trained: Path, copy: Path, capsys) -> None:
    start = Path(shutil.copytree(trained / "run/model", copy / "start"))
    shape = [text for name, value in SHAPE.items() if name != "--codec-steps" for text in (name, value)]
    command = ["train", "--data", str(copy / "data"), "--out", str(copy / "more"), "--steps", "1", *shape]
    assert main([*command, "--codec-from", str(start)]) == 0
    assert main(command) == 2
    assert "--codec-from given, now none" in capsys.readouterr().err
    tensors = load_file(start / "model.safetensors")
    save_file({name: -x for name, x in tensors.items()}, start / "model.safetensors")
    assert main([*command, "--codec-from", str(start)]) == 2
    assert "other weights of the image codec" in capsys.readouterr().err


def test_datasets_in_another_order_or_of_another_weight_are_refused(tmp_path: Path, capsys) -> None:
    data = [write_robot(tmp_path / name, length=length, fps=10) for name, length in (("a", 12), ("b", 15))]
    shape = [text for pair in SHAPE.items() for text in pair]

    def mixed(folders: list[Path], *weights: str) -> int:
        options = ["--data", *map(str, folders), "--weights", *weights, "--steps", "1", *shape]
        return main(["train", "--out", str(tmp_path / "run"), *options])

    assert mixed(data, "1", "2") == 0 and mixed(data, "1", "2") == 0
    capsys.readouterr()
    for folders, weights, words in (
        (data, ("1", "3"), "--weights [1.0, 2.0], now [1.0, 3.0]"),
        (data[::-1], ("1", "2"), "other episodes of"),
        (data[:1], ("1",), "number of datasets 2, now 1"),
    ):
        assert mixed(folders, *weights) == 2
        assert words in capsys.readouterr().err


def test_a_state_of_an_older_presage_is_refused(copy: Path, capsys) -> None:
    state = copy / "run/state" / STATE
    save_file(load_file(state), state, metadata={"run": json.dumps({"step": 2, "seconds": 0.0})})
    assert train(copy) == 2
    assert "does not say what it was made from" in capsys.readouterr().err


def test_fewer_steps_than_were_done_are_refused(copy: Path, capsys) -> None:
    assert train(copy, steps=1) == 2
    assert "2 of 2 steps are done" in capsys.readouterr().err


def test_a_training_may_be_lengthened_and_says_where_it_differs_from_a_straight_one(tmp_path: Path, capsys) -> None:
    config = TrainConfig(steps=200, warmup=2, cooldown=0.5)
    at_full_rate = {"steps": [100], "step": 40}  # rates fall from step 50 on: until now both are the same
    assert lengthened(at_full_rate, config, tmp_path) == [200] and capsys.readouterr().err == ""
    assert lengthened({"steps": [100], "step": 60}, config, tmp_path) == [100, 200]
    assert "by other rates than a straight run" in capsys.readouterr().err


def test_hashes_follow_every_number_and_its_type() -> None:
    x = np.arange(6, dtype=np.float32)
    values = [x, x.reshape(2, 3), x.astype(np.float64), -x, torch.arange(6.0), {"a": x}, {"b": x}, [1, 2], "text", None]
    hashes = [hash_of(value) for value in values]
    assert len(set(hashes)) == len(values)
    assert hash_of(x.copy()) == hashes[0] and hash_of({"a": x, "c": 1}) == hash_of({"c": 1, "a": x})


@pytest.mark.parametrize("beside", [False, True])
def test_pictures_in_data_files_or_beside_them_count_by_their_bytes(tmp_path: Path, beside: bool) -> None:
    root = write_robot(tmp_path / "data", episodes=1, length=4)
    grey = [compress(np.full((16, 16, 3), level, np.uint8), "png", "rgb24") for level in (0, 50, 100, 150, 200)]
    table, info = pq.read_table(root / DATA), json.loads((root / "meta/info.json").read_text())
    info["features"]["eye"] = {"dtype": "image", "shape": [16, 16, 3], "names": None}
    (root / "meta/info.json").write_text(json.dumps(info))

    def put(pictures: list[bytes]) -> None:
        cells: list[dict[str, object]] = [{"bytes": picture, "path": None} for picture in pictures]
        for i, picture in enumerate(pictures if beside else []):
            (root / f"{i}.png").write_bytes(picture)
            cells[i] = {"bytes": None, "path": f"{i}.png"}
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        pq.write_table(table.append_column("eye", pa.array(cells, kind)), root / DATA)

    def shown() -> tuple[str, int]:
        dataset = Dataset(root)
        made = of_dataset(0, root, dataset, None, ["eye"])
        return made["0.pictures"].value, int(frame_cache(dataset, ["eye"], 16)[3].mean())

    put(grey[:4])
    before, level = shown()
    assert shown() == (before, 150) and level == 150
    put([*grey[:3], grey[4]])
    after, level = shown()
    assert after != before and level == 200


def test_pictures_count_by_what_they_show_wherever_they_lie() -> None:
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert hash_of(Pictures([x[:1], x[1:]])) == hash_of(x)
    with pytest.raises(TypeError, match="what tells"):
        hash_of([object()])


def adding(n: int) -> Callable[[int], int]:
    return lambda x: x + n


def test_functions_of_one_factory_are_told_apart_by_what_they_close_over() -> None:
    said = [described(f) for f in (adding(1), adding(2), partial(max, 1), partial(max, 2), adding)]
    assert len(set(said)) == len(said) and described(adding(1)) == said[0]
    with pytest.raises(TypeError, match="what tells"):
        described([object()])


def test_a_function_with_a_memory_is_known_by_what_it_makes() -> None:
    make = dreams(ClipPlan(("image.front",), length=2), 4)
    kept = once(make)
    before = described(kept)
    inspect.getclosurevars(kept).nonlocals["made"].append(moving_square(episodes=1))
    assert described(kept) == before == described(make)


def test_settings_that_change_no_number_do_not_matter(tmp_path: Path) -> None:
    one = settings(TrainConfig(save_every=1, log_every=1))
    require_same(one, settings(TrainConfig(save_every=9, log_every=9)), tmp_path)
    assert "lr" in one and one["objective"] != settings(TrainConfig(objective=Denoise()))["objective"]


def test_the_line_names_at_most_three_values_and_no_hash(tmp_path: Path) -> None:
    long = {name: entry(f"--{name}", list(range(40))) for name in "ab"}
    with pytest.raises(Exception, match="was made from other --a: give the run another --out") as refused:
        require_same(long, {name: entry(f"--{name}", list(range(41))) for name in "ab"}, tmp_path)
    assert "#" not in str(refused.value)
    for made, now in ((long, {"a": entry("--a", 1)}), ({"a": entry("--a", 1)}, long)):  # one of them a hash
        with pytest.raises(Exception, match="was made from other --") as refused:
            require_same(made, now, tmp_path)
        assert "#" not in str(refused.value)


def test_what_follows_from_a_part_that_was_trained_just_now_follows_from_its_weights() -> None:
    model = tiny_model()
    assert of_parts(model, []) == {} and model.renderer is not None
    before = of_parts(model, ["renderer", "critic"])
    assert list(before) == ["part.renderer"] and before["part.renderer"].words == "weights of the renderer"
    torch.nn.init.zeros_(next(model.renderer.parameters()))
    assert of_parts(model, ["renderer"])["part.renderer"].value != before["part.renderer"].value
    model.renderer = None
    assert list(of_parts(model, ["renderer", "reader"])) == ["part.reader"]
    model.streams = [s for s in model.streams if s.derive is None]  # nothing reads the scene
    assert of_parts(model, ["renderer", "reader"]) == {}
