"""`presage label` over real sockets: what is asked and shown, what is kept, and who may come in."""

import io
import json
import os
import signal
import subprocess
import sys
import urllib.error
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.browser import open_page, serious_findings
from tests.episodes.robots import write_numbers
from tests.servers import get, serving
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from presage.episodes.dataset import Dataset
from presage.episodes.labels import beside, read_labels
from presage.interface.cli import main
from presage.interface.label.answers import Answers, agreement
from presage.interface.label.server import LabelServer


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """Four episodes of which one was recorded as a success; episode e looks as grey as 10 * e."""

    def columns(episode: int) -> dict[str, np.ndarray]:
        return {"action": np.arange(24, dtype=np.float32).reshape(12, 2) + episode}

    return write_numbers(tmp_path / "arm", columns, 4, facts=lambda e: {"success": True} if e == 3 else {})


class Person:
    """Who answers, without a browser."""

    def __init__(self, address: str, **options: Any) -> None:
        self.socket = connect(f"ws://{address}/label", compression=None, **options).__enter__()

    def hear(self) -> dict[str, Any]:
        """The next message; with what is asked comes its clip."""
        message: dict[str, Any] = json.loads(self.socket.recv(20))
        if message["type"] == "show" and message["episode"] is not None:
            clip = self.socket.recv(20)
            assert isinstance(clip, bytes)
            message["frames"] = [f.to_ndarray(format="rgb24") for f in av.open(io.BytesIO(clip)).decode(video=0)]
        return message

    def say(self, **message: Any) -> dict[str, Any]:
        self.socket.send(json.dumps(message))
        return self.hear()

    def answer(self, episode: int, success: bool | None) -> dict[str, Any]:
        return self.say(type="answer", episode=episode, success=success)


@contextmanager
def labelling(root: Path, asked: list[int], **options: Any) -> Any:
    """(answers, host:port) of a running server."""
    answers = Answers(Dataset(root), beside(root), asked)
    with serving(lambda: LabelServer(Dataset(root), answers, **options)) as (_, address):
        yield answers, address


def test_every_answer_is_kept_before_the_next_question(arm: Path) -> None:
    with labelling(arm, [2, 0, 1]) as (answers, address):
        person = Person(address)
        first = person.hear()
        assert (first["episode"], first["answered"], first["asked"], first["said"]) == (2, 0, 3, None)
        assert first["instruction"] == "lift the cube" and first["seconds"] == 1.2 and first["damaged"] is None
        second = person.answer(2, True)
        assert second["episode"] == 0 and read_labels(beside(arm)).told() == {2: True}
        third = person.answer(0, None)
        assert (third["episode"], third["successes"], third["failures"], third["skipped"]) == (1, 1, 0, 1)
        done = person.answer(1, False)
        assert done["episode"] is None and done["answered"] == 3 and done["file"] == str(beside(arm))
    assert answers.counts() == {"asked": 3, "answered": 3, "successes": 1, "failures": 1, "skipped": 1}


def test_a_clip_shows_the_whole_episode_and_rests_at_its_end(arm: Path) -> None:
    with labelling(arm, [2]) as (_, address):
        frames = Person(address).hear()["frames"]
    assert len(frames) == 12 + 10 and frames[0].shape == (256, 256, 3)  # ten a second
    assert abs(float(np.mean(frames)) - 20) < 3


def test_back_asks_again_and_then_goes_on(arm: Path) -> None:
    with labelling(arm, [0, 1, 2]) as (answers, address):
        person = Person(address)
        assert person.hear()["episode"] == 0 and person.say(type="back")["episode"] == 0
        person.answer(0, True)
        person.answer(1, True)
        assert person.say(type="back")["episode"] == 1
        again = person.say(type="back")
        assert again["episode"] == 0 and again["said"] == {"success": True}
        assert person.answer(0, False)["episode"] == 2
        assert answers.labels.told() == {0: False, 1: True}


def test_a_new_start_goes_on_where_it_stopped(arm: Path) -> None:
    with labelling(arm, [2, 0, 1]) as (_, address):
        person = Person(address)
        person.hear()
        person.answer(2, False)
        person.answer(0, None)
    with labelling(arm, [2, 0, 1]) as (_, address):
        person = Person(address)
        assert person.hear()["episode"] == 1
        assert person.say(type="back")["said"] == {"success": None}  # what was skipped is not asked again by itself


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("", "not JSON"),
        ("[1]", "whose type is answer or back"),
        ('{"type": "stop"}', "whose type is answer or back"),
        ('{"type": "answer", "episode": 0}', "success as true, false or null"),
        ('{"type": "answer", "episode": "0", "success": true}', "the number of an episode"),
        ('{"type": "answer", "episode": false, "success": true}', "the number of an episode"),
        ('{"type": "answer", "episode": 1, "success": true}', "episode 1 is not asked now"),
    ],
)
def test_a_bad_message_is_one_line_and_answers_nothing(arm: Path, message: str, text: str) -> None:
    with labelling(arm, [0, 1]) as (_, address):
        person = Person(address)
        person.hear()
        person.socket.send(message)
        said = person.hear()
        assert said["type"] == "error" and text in said["text"] and "\n" not in said["text"]
        assert person.hear()["episode"] == 0 and not beside(arm).exists()


def test_an_answer_that_cannot_be_written_does_not_count(arm: Path) -> None:
    with labelling(arm, [0, 1]) as (answers, address):
        person = Person(address)
        person.hear()
        beside(arm).with_name("arm.labels.json.partial").mkdir()  # as if the disk refused
        said = person.answer(0, True)
        assert said["type"] == "error" and "cannot write" in said["text"]
        assert person.hear()["episode"] == 0 and answers.labels.answers == {}


def test_an_episode_that_cannot_be_shown_is_said_and_can_be_skipped(arm: Path) -> None:
    answers = Answers(Dataset(arm), beside(arm), [0])
    next((arm / "videos").rglob("*.mp4")).write_bytes(b"nothing")
    with serving(lambda: LabelServer(Dataset(arm), answers)) as (_, address):
        with connect(f"ws://{address}/label") as socket:
            assert "mp4" in json.loads(socket.recv(20))["damaged"]
            socket.send(json.dumps({"type": "answer", "episode": 0, "success": None}))
            assert json.loads(socket.recv(20))["episode"] is None


def test_another_tab_goes_on_with_the_same_questions(arm: Path) -> None:
    with labelling(arm, [0, 1]) as (_, address):
        first = Person(address)
        first.hear()
        first.answer(0, True)
        assert Person(address).hear()["episode"] == 1
        with pytest.raises(ConnectionClosed, match="4001"):
            first.hear()


def test_strangers_stay_outside(arm: Path) -> None:
    with labelling(arm, [0], token="s3cret") as (_, address):
        assert get(address, "/").startswith("<!doctype html>")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            get(address, "/ready?token=wrong")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(address, "/", {"Origin": "http://evil.example"})
        with pytest.raises(InvalidStatus, match="401"):
            Person(address)
        with connect(f"ws://{address}/label?token=s3cret") as socket:
            assert json.loads(socket.recv(20))["episode"] == 0


def test_the_summary_says_how_far_labels_agree_with_recordings(arm: Path) -> None:
    answers = Answers(Dataset(arm), beside(arm), [3, 0])
    answers.say(3, False)
    answers.say(0, True)
    assert agreement(Dataset(arm), answers.labels) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "dataset nowhere does not exist"),
        (["arm", "--episodes", "3"], "the outcome of all of its 1 episodes was recorded, so it needs no label"),
        (["arm", "--episodes", "x"], "--episodes x"),
        (["arm", "--most", "0"], "--most 0"),
        (["arm", "--host", "0.0.0.0"], "lets other machines in"),
        (["arm", "--out", "other.json"], "other.json labels episode 7, which it does not have in arm"),
        (["arm", "--out", "junk.json"], "junk.json holds no labels of presage label"),
    ],
)
def test_bad_input_is_one_line(
    arm: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(arm.parent)
    monkeypatch.delenv("PRESAGE_API_KEY", raising=False)
    answers = {"7": {"success": True, "rows": 12, "mark": ""}}
    Path("other.json").write_text(json.dumps({"format": "presage labels 1", "dataset": "leg", "episodes": answers}))
    Path("junk.json").write_text("[]")
    assert main(["label", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_the_command_asks_for_what_is_unknown_and_says_what_is_next(arm: Path) -> None:
    command = [sys.executable, "-m", "presage.interface.cli", "label", "arm", "--port", "0", "--json", "figures.json"]
    with subprocess.Popen(command, cwd=arm.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("3 of 4 episodes are asked: ")
        person = Person(process.stdout.readline().split("http://")[1].split("/")[0])
        asked = person.hear()["episode"]
        assert asked in (0, 1, 2)
        person.answer(asked, True)
        os.kill(process.pid, signal.SIGINT)
        said = process.stdout.read()
        assert process.wait(30) == 0
    assert "successes  1" in said and "Next: presage evaluate --data arm " in said
    figures = json.loads((arm.parent / "figures.json").read_text())["figures"]
    assert figures["answered"] == 1 and figures["recorded"] == 0
    assert read_labels(arm.parent / "arm.labels.json").told() == {asked: True}


def test_keys_and_buttons_of_the_page_answer(arm: Path) -> None:
    with labelling(arm, [2, 0, 1]) as (answers, address), open_page(f"http://{address}/") as (page, asked):
        shows = "window.presage.question && window.presage.question.episode === {}"
        page.wait_for_function(shows.format(2))
        page.wait_for_function("document.getElementById('clip').videoWidth === 256")
        assert page.locator("#instruction").inner_text() == "“lift the cube”"
        assert serious_findings(page) == []
        page.keyboard.press("1")
        page.wait_for_function(shows.format(0))
        page.keyboard.press("Backspace")
        page.wait_for_function(shows.format(2))
        assert page.locator("#success").get_attribute("aria-pressed") == "true"
        page.keyboard.press("0")
        page.wait_for_function(shows.format(0))
        page.keyboard.press("Space")
        page.wait_for_function(shows.format(1))
        page.locator("#failure").click()
        page.wait_for_function(shows.format("null"))
        assert page.locator("#progress").inner_text() == "3 of 3: 0 successes, 2 failures, 1 skipped"
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [each for each in asked if f"//{address}/" not in each and not each.startswith("blob:")] == []
    assert answers.labels.told() == {2: False, 1: False}
