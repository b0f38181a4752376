"""Play from recordings: a dream begins in a recorded frame, beside what was recorded, and no simulator is there."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.browser import open_page
from tests.episodes.robots import write_robot
from tests.players import Client
from tests.servers import serving
from tests.tiny import tiny_model

from presage.codecs.scalars import ScalarCodec
from presage.episodes.dataset import Dataset
from presage.episodes.marks import all_marks
from presage.episodes.robot import Robot
from presage.episodes.slots import Slots
from presage.errors import UserError
from presage.interface.cli import main
from presage.interface.play.dream import Dream
from presage.interface.play.recorded import RecordedStudio, action_names
from presage.interface.play.server import PlayServer
from presage.networks.composed import Shape
from presage.simulator.recordings import open_held_out, recording_for, sight_of
from presage.systems.checkpoint import system_of
from presage.training.checkpoint import save_model
from presage.worlds.recording import Recording

NAMES = ["lift", "turn", "bend", "grip"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five episodes of an arm, six model steps each, and a model that was trained on the first two of them."""
    folder = tmp_path_factory.mktemp("recorded")
    arm = write_robot(folder / "arm", ("front", "top"), joints=4, length=21, fps=20, episodes=5)
    info = json.loads((arm / "meta/info.json").read_text())
    info["features"]["action"]["names"] = NAMES
    (arm / "meta/info.json").write_text(json.dumps(info))
    robot = Robot.from_dataset(Dataset(arm))
    facts = {"robots": [robot.to_config()], "slots": asdict(Slots.of([robot]))}
    save_model(tiny_model(), folder / "run", "# card", facts | {"trained_on": all_marks([Dataset(arm, [0, 1])])})
    return folder


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    return open_held_out(sight_of(folder / "run"), folder / "arm")


@pytest.fixture
def studio(recording: Recording) -> RecordedStudio:
    return RecordedStudio(tiny_model(), recording, NAMES, players=2)


def test_the_recorded_continuation_is_shown_beside_the_dream(studio: RecordedStudio, recording: Recording) -> None:
    dream = Dream(studio, 0)
    row = dream.begin()
    assert row.real is not None and np.array_equal(row.imagined["image.top"][0], recording.frames(0)[0, 1])
    assert dream.settings.instruction == "lift the cube" and (dream.task, dream.scene) == ("lift the cube", 2)
    for step in range(1, 6):
        row = dream.follow()
        assert row.driver == "recording" and np.array_equal(row.chunk, recording.actions(0)[step - 1])
        assert row.real is not None and np.array_equal(row.real["image.front"][0], recording.frames(0)[step, 0])
        np.testing.assert_array_equal(row.real["state"][0], recording.state[recording.row(0, step)])
    assert row.success  # the episode was recorded as one
    with pytest.raises(UserError, match="episode 2: no action was recorded after row 5"):
        dream.follow()
    after = dream.step(np.zeros(4, np.float32))  # the dream goes on alone
    assert after.real is None and not np.array_equal(after.imagined["image.front"], row.imagined["image.front"])
    for ask in (dream.follow, dream.ground):
        with pytest.raises(UserError, match="has ended"):
            ask()


def test_the_recording_stays_as_it_was_whatever_is_done_in_the_dream(studio: RecordedStudio) -> None:
    dream = Dream(studio, 0)
    dream.start(4, 1)
    followed = dream.follow()
    dream.rewind(0)
    driven = dream.step(np.ones(4, np.float32))
    assert followed.real is not None and driven.real is not None
    assert np.array_equal(followed.real["image.top"], driven.real["image.top"])
    assert not np.array_equal(followed.imagined["image.top"], driven.imagined["image.top"])
    dream.rewind(0)
    again = dream.follow()  # from the row of that moment, and to the same future
    assert np.array_equal(again.imagined["image.top"], followed.imagined["image.top"])
    grounded = dream.ground()
    assert np.array_equal(grounded.imagined["image.top"], followed.real["image.top"])


def test_sliders_reach_what_was_recorded_and_stand_where_the_recorded_action_is(studio: RecordedStudio) -> None:
    greeting = studio.greeting(None)
    assert [slider[0] for slider in greeting["sliders"]] == NAMES
    assert greeting["episodes"] == [(2, 6), (3, 6), (4, 6)] and greeting["beside"] == "recording"
    low, high = studio.recording.action_range()
    np.testing.assert_allclose(studio.held(np.full(4, -1.0))[0], low.min(0), atol=1e-5)
    np.testing.assert_allclose(studio.held(np.full(4, 1.0))[3], high.max(0), atol=1e-5)
    studio.start(1, 3, 2)
    where = studio.where(1)
    done = studio.recording.action[studio.recording.row(1, 2)][0]
    assert (where["episode"], where["row"]) == (3, 2)
    np.testing.assert_allclose(studio.held(np.array(where["rest"]))[0], done, atol=0.01)


def test_players_stand_apart(studio: RecordedStudio) -> None:
    one, other = Dream(studio, 0), Dream(studio, 1, seed=1)
    one.begin()
    other.begin()
    one.follow()
    assert studio.where(0)["row"] == 1 and (studio.where(1)["episode"], studio.where(1)["row"]) == (3, 0)


@pytest.mark.parametrize(
    ("episode", "row", "message"),
    [
        (0, 0, "episode 0: the held-out episodes are 2, 3, 4; --episode also takes another"),
        (3, 6, "row 6: episode 3 has rows 0 to 5 of model steps"),
    ],
)
def test_a_frame_that_is_not_there_is_refused(
    studio: RecordedStudio, recording: Recording, episode: int, row: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Dream(studio, 0).start(episode, row)
    with pytest.raises(UserError, match=message):
        RecordedStudio(tiny_model(), recording, NAMES, episode=episode, row=row)


def test_a_model_that_judges_nothing_is_played_all_the_same(recording: Recording) -> None:
    scales = ScalarCodec([0.0] * 16, [4.0] * 16), ScalarCodec([1.0] * 4, [2.0] * 4)
    shape = Shape(("front", "top"), 32, 4, 4, 4, *scales, fps=5)
    model = system_of("reference", shape, "debug").build(shape).eval()
    dream = Dream(RecordedStudio(model, recording, NAMES), 0)
    dream.begin()
    row = dream.follow()
    assert np.isnan(row.value) and not row.reached and row.imagined["image.top"].shape == (1, 32, 32, 3)


def test_names_of_actions_are_those_of_the_dataset(folder: Path, recording: Recording) -> None:
    sight = sight_of(folder / "run")
    assert action_names(sight, recording) == NAMES
    (robot,) = sight.robots
    action = [replace(part, names=["a", "b", "c", "d"]) for part in robot.action]
    wide = replace(robot, recorded={camera: [9, 99] for camera in robot.recorded}, action=action)
    both = replace(sight, robots=(wide, robot))  # of one name: their pictures tell them apart
    assert action_names(both, recording_for(both, Dataset(folder / "arm"))) == NAMES


# -- over a socket ----------------------------------------------------------------------------------------------------


def test_a_browser_follows_takes_over_starts_elsewhere_and_records(studio: RecordedStudio, tmp_path: Path) -> None:
    with serving(lambda: PlayServer(studio, "tiny", tmp_path / "played")) as (_, address):
        client = Client(address)
        assert client.hello["beside"] == "recording" and client.hello["state"]["driver"] == "recording"
        header, pixels = client.frame()
        shown = pixels.reshape(4, -1)
        assert [plane[:2] for plane in header["planes"]][0] == ["imagined", "front"]
        assert np.array_equal(shown[:2], shown[2:])  # both cameras, imagined and recorded
        client.say("settings", steps=0, rate=20, seed=0, spread=False)
        client.say("run", on=True)
        assert client.until(2)[0]["driver"] == "recording"
        assert "no action was recorded after row 5" in client.text("error")["text"]
        client.say("start", episode=3, frame=2)
        state = client.text("state")["state"]
        assert (state["episode"], state["row"], state["scene"]) == (3, 2, 3)
        client.say("record", on=True, frames="real", good=True)
        assert "was recorded already" in client.text("error")["text"]
        client.say("record", on=True, frames="imagined", good=False)
        client.say("drive", by="person")
        client.say("controls", action=[0.5, 0, 0, -1], stamp=1.0)
        client.say("run", on=True)
        client.until(2)
        client.say("record", on=False, frames="imagined", good=False)
        client.text("saved")
    played = Dataset(tmp_path / "played" / "0001")
    assert played.robot_type == "arm_steps" and played.features["action"]["shape"] == [16]
    assert played.episodes[0].info["begun_in"] == 3 and played.episodes[0].info["driver"] == "person"
    expected = studio.low + np.array([0.75, 0.5, 0.5, 0]) * (studio.high - studio.low)
    np.testing.assert_allclose(played.column("action")[0][:4], expected, 1e-4)


def test_the_page_shows_what_was_recorded_and_sliders_take_over(studio: RecordedStudio, tmp_path: Path) -> None:
    with serving(lambda: PlayServer(studio, "tiny", tmp_path)) as (_, address):
        with open_page(f"http://{address}/") as (page, asked):
            page.wait_for_function("window.presage.state !== undefined")
            assert page.locator("figure.real figcaption").first.inner_text() == "recorded front"
            page.keyboard.press("KeyT")
            page.wait_for_function("window.presage.state.row === 5 && !window.presage.state.running")  # to its end
            page.locator("#sliders input").nth(1).fill("0.5")
            page.wait_for_function("window.presage.state.driver === 'person' && window.presage.state.running")
            assert page.locator("#sliders label").count() == 4 and not page.locator("#pad").is_visible()
            page.keyboard.press("Escape")  # the slider lets go of the keys
            page.keyboard.press("KeyP")  # else the dream runs on, and a slow browser sees no row below 3
            page.wait_for_function("!window.presage.state.running")
            page.keyboard.press("KeyN")
            page.wait_for_function("window.presage.state.row < 3")
            for width in (360, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                page.wait_for_timeout(100)
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [each for each in asked if "error" in each] == []


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_needs_no_simulator(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "presage.interface.cli", "play", "--data", "arm", "--checkpoint", "run"]
    options = ["--episode", "0", "--row", "3", "--port", "0", "--out", str(tmp_path / "played")]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, *options], cwd=folder, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        client = Client(process.stdout.readline().split("http://")[1].split("/")[0])
        state = client.hello["state"]
        assert (state["episode"], state["row"]) == (0, 3)  # asked for by name, though the model was trained on it
        assert [number for number, _ in client.hello["episodes"]] == [0, 2, 3, 4]
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "no success threshold of this checkpoint was calibrated on lift the cube" in process.stderr.read()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "arm", "--task", "push-v3"], "--task names a task of a simulator and does not apply to --data"),
        (["--episode", "3"], "--episode is of recordings and does not apply without --data"),
        (["--data", "arm", "--row", "3"], "--row 3: say of which --episode"),
        (["--data", "arm", "--episode", "9"], "no episode 9; it has episodes 0:5"),
        (["--data", "arm", "--episode", "3", "--row", "6"], "row 6: episode 3 has rows 0 to 5 of model steps"),
        (["--data", "nowhere"], "dataset nowhere does not exist"),
    ],
)
def test_bad_options_are_one_line(
    folder: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["play", "--checkpoint", "run", *arguments]) == 2
    said = capfd.readouterr().err
    assert message in said and said.count("\n") == 1
