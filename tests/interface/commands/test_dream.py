"""`presage dream` on recordings: both kinds of checkpoints and somebody else's model, its page, and what it refuses."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from tests.browser import open_page, serious_findings
from tests.episodes.robots import write_robot
from tests.episodes.samples import make_episode
from tests.interface.test_cli import dataset, refused
from tests.simulator.gate.squares import write_squares
from tests.tiny import tiny_model

from presage.episodes.dataset import Dataset
from presage.episodes.edit import write_episodes
from presage.episodes.marks import all_marks
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.episodes.spool import spool_episode
from presage.episodes.writer import write_dataset
from presage.interface.cli import main
from presage.training.checkpoint import save_model

MODEL = """
from tests.simulator.gate.squares import Copies, Listens
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares, an arm of two cameras, and their models."""
    folder = tmp_path_factory.mktemp("dream")
    write_squares(folder / "squares", episodes=10, rows=10, cameras=("front", "top"))
    (folder / "theirs.py").write_text(MODEL)
    arm = write_robot(folder / "arm", ("front", "top"), joints=4, length=41, fps=20, episodes=4)
    robot = Robot.from_dataset(Dataset(arm), relative=["all"])
    write_episodes([Dataset(arm, [0, 2])], folder / "seen")
    extra = {"robots": [robot.to_config()], "slots": asdict(Slots.of([robot]))}
    extra["trained_on"] = all_marks([Dataset(folder / "seen")])
    save_model(tiny_model(), folder / "run/model", "# card", extra)
    return folder


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("theirs", None)


def test_somebody_elses_model_is_told_to_listen_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--size", "32", "--chunk", "1", "--steps", "4"]
    assert main(["dream", "squares", "--model", "theirs:Listens", *how, "--films", "2", "--json", "listens.json"]) == 0
    said = capsys.readouterr().out
    assert "theirs:Listens on squares: listens" in said and "front, after so many steps" in said
    assert "Page" in said or "page " in said
    figures = json.loads(Path("listens.json").read_text())["figures"]
    assert figures["verdict"] == "listens" and figures["error_with_other_episode_over_true_low"] > 1.1
    page = Path("runs/dream/squares.html").read_text()
    assert page.count("data:video/mp4;base64,") == 2 * 6 and "http:" not in page and "https:" not in page
    assert "Camera top" in page and '<p class="verdict">listens</p>' in page
    assert main(["dream", "squares", "--model", "theirs:Copies", *how, "--films", "0", "--cameras", "top"]) == 0
    said = capsys.readouterr().out
    assert "does not listen" in said and "front" not in said


def test_the_page_fetches_nothing_and_one_scrubber_moves_all_films() -> None:
    main(["dream", "squares", "--model", "theirs:Listens", "--size", "32", "--films", "1", "--out", "page.html"])
    with open_page(Path("page.html"), viewport={"width": 390, "height": 844}) as (page, asked):
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert serious_findings(page) == []
        films = page.locator(".player video")
        ready = "[...document.querySelectorAll('video')].every(f => f.readyState >= 2 && !f.seeking)"
        page.wait_for_function(ready)
        page.locator(".player input").fill("2")
        page.wait_for_function(ready)
        times = [films.nth(i).evaluate("film => film.currentTime") for i in range(films.count())]
        assert len(times) == 6 and times == pytest.approx([2.5 / 5] * 6, abs=0.05)
    assert asked == []


def test_a_world_model_is_asked_about_episodes_it_was_not_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    how = ["dream", "arm", "--checkpoint", "run/model", "--films", "1", "--steps", "3", "--json", "arm.json"]
    assert main([*how, "--past", "2"]) == 0
    assert "cannot tell" in capsys.readouterr().out
    figures = json.loads(Path("arm.json").read_text())["figures"]
    assert figures["episodes"] == 2 and "2 episodes, at least 8 are needed" in figures["reason"]
    assert main([*how, "--episodes", "0:4"]) == 0
    assert "the model was trained on 2 of these 4 episodes" in capsys.readouterr().out
    assert json.loads(Path("arm.json").read_text())["figures"]["episodes"] == 4


def test_a_system_is_asked_through_its_checkpoint(capfd: pytest.CaptureFixture[str]) -> None:
    train = ["--size", "debug", "--data", "arm", "--episodes", "0:2"]
    for name in ("uwm", "unipi"):
        assert main(["train", "--system", name, "--out", name, *train]) == 0
    how = ["dream", "arm", "--steps", "2", "--denoising", "1", "--films", "0"]
    assert main([*how, "--checkpoint", "uwm/model"]) == 0
    said = capfd.readouterr().out
    assert "uwm on arm: cannot tell" in said and " of 2 episodes, 2 steps each" in said  # not those of the training
    said = refused(capfd, *how, "--checkpoint", "unipi/model")
    assert "unipi/model: unipi makes no pictures of what given actions lead to" in said


def test_rows_that_hold_chunks_are_replayed_as_they_are(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dataset(folder / "rows")
    how = ["dream", "rows", "--model", "theirs:Copies", "--films", "0"]
    assert main([*how, "--steps", "4"]) == 0
    said = capfd.readouterr().out
    assert "3 clips of 3 episodes, 4 steps each" in said and "theirs:Copies on rows: cannot tell" in said
    assert "its rows hold a chunk each" in refused(capfd, *how, "--chunk", "2")


def test_rows_that_hold_chunks_need_no_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        episode = make_episode(i)
        columns = {name: x for name, x in episode.columns.items() if name != "observation.state"}
        spool_episode(folder / "blind.partial", f"{i}", replace(episode, columns=columns), 5)
    write_dataset(folder / "blind.partial", folder / "blind", fps=5, robot_type="sawyer")
    assert main(["dream", "blind", "--model", "theirs:Copies", "--films", "0", "--steps", "4"]) == 0
    assert "theirs:Copies on blind: cannot tell" in capsys.readouterr().out


def test_bad_input_is_one_line_and_nothing_is_written(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_robot(folder / "film", length=21, action=False)
    write_robot(folder / "other", ("wrist",), joints=4, length=41, fps=20)
    write_squares(folder / "one", episodes=1)
    mine, theirs = ["--checkpoint", "run/model"], ["--model", "theirs:Listens", "--size", "32"]
    for arguments, message in (
        (["nowhere", *mine], "nowhere does not exist"),
        (["film", *theirs], "film: no column 'action' to replay; name it with --action"),
        (["film", *mine], "no camera 'top'; it has front"),
        (["other", *mine], "; it has wrist"),
        (["seen", *mine], "the model was trained on all of its 2 episodes; give others, or --episodes"),
        (["one", *theirs], "one episode alone"),
        (["squares", *theirs, *mine], "--checkpoint does not apply to --model"),
        (["arm", *mine, "--size", "32"], "--size goes with --model alone"),
        (["squares", "--model", "theirs"], "write module:object"),
        (["squares", *theirs, "--past", "30"], "longest episode has 10 model steps"),
        (["squares", *theirs, "--cameras", "wrist"], "no camera 'wrist'"),
        (["squares", "--model", "theirs:Listens", "--size", "16"], "it was shown 16 x 16: return that size"),
        (["squares", "--model", "ws://127.0.0.1:1"], "no model answers"),
    ):
        assert message in refused(capfd, "dream", *arguments, "--out", "bad.html"), arguments
    assert not Path("bad.html").exists()


def test_it_needs_no_simulator_installed() -> None:
    bare = "import sys; sys.modules |= dict.fromkeys(('mujoco', 'metaworld', 'pymunk'))"
    needs = "import presage.simulator.gate.measure, presage.simulator.gate.others"
    done = subprocess.run([sys.executable, "-c", f"{bare}; {needs}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
