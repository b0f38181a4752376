"""The page of `presage play` in a real browser: driven by keys, taken over, rewound, recorded, trained on."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.tiny import tiny_model

from presage.benchmarks import play
from presage.benchmarks.common import BenchArgs
from presage.episodes.dataset import Dataset
from presage.errors import UserError
from presage.training.checkpoint import save_model

DRIVE = 60.0
"""Seconds of driving; `presage bench play` drives for ten minutes."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_model(tiny_model(size=64), tmp_path_factory.mktemp("play") / "model", "a random model")


@pytest.fixture(scope="module", autouse=True)
def browser() -> str:
    try:
        return play.find_browser()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    arguments = BenchArgs(checkpoint, 0, None, torch.device("cpu"), quick=True)
    with play.playing(arguments, tmp_path_factory.mktemp("played")) as server:
        yield server


def text(page, selector: str) -> str:
    return page.locator(selector).inner_text()


def now(page) -> int:
    return page.evaluate("window.presage.strip.nodes.get(window.presage.strip.now).depth")


def test_a_person_drives_takes_over_rewinds_records_and_trains(server, tmp_path) -> None:
    with play.opened(server.url) as page:
        play.set_rate(page, 10)
        page.keyboard.press("KeyC")
        play.wait(page, "window.presage.state.recording !== null")
        play.press_keys(page, DRIVE, seed=0)
        driven = now(page)
        assert driven > DRIVE and page.evaluate("window.presage.measure.heard") > 10
        assert page.evaluate("window.presage.state.driver") == "person"

        page.keyboard.press("KeyO")
        play.wait(page, "window.presage.state.driver === 'policy'")
        play.wait(page, f"window.presage.strip.nodes.get(window.presage.strip.now).depth > {driven + 3}")
        page.keyboard.down("ArrowLeft")  # whoever touches the controls takes over
        play.wait(page, "window.presage.state.driver === 'person'")
        page.keyboard.up("ArrowLeft")

        before = now(page)
        page.keyboard.press("Backspace")
        play.wait(page, "!window.presage.state.running")
        page.wait_for_timeout(300)
        assert now(page) < before
        page.keyboard.press("Space")  # the gripper, and with it a branch
        play.wait(page, "window.presage.strip.tips().length === 2")
        page.locator("#tips button").first.click()
        page.wait_for_timeout(500)
        assert "branch A" in text(page, "#branch")

        page.keyboard.press("KeyC")
        play.wait(page, "document.getElementById('recorded').textContent.startsWith('Saved')")
        folder = Path(text(page, "#recorded").removeprefix("Saved ").partition(":")[0])
    assert Dataset(folder).num_rows > DRIVE
    train = [
        sys.executable,
        "-m",
        "presage.interface.cli",
        "train",
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(
        [*train, "--recipe", "debug", "--steps", "1", "--codec-steps", "1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_a_reload_goes_on_with_the_same_dream(server) -> None:
    with play.opened(server.url) as page:
        page.keyboard.press("KeyW")
        play.wait(page, "window.presage.measure.frames > 3")
        assert play.resumes(page)


def test_the_object_is_knocked_and_the_dream_grounded(server) -> None:
    with play.opened(server.url) as page:
        page.keyboard.press("KeyD")
        play.wait(page, "window.presage.measure.frames > 3")
        page.keyboard.press("KeyP")
        play.wait(page, "!window.presage.state.running")
        page.keyboard.press("KeyK")
        page.wait_for_timeout(500)
        assert text(page, "#closeness").endswith("dB")
        page.keyboard.press("KeyG")
        play.wait(page, "document.getElementById('closeness').textContent === 'dream equals real'")
        page.locator("#task").select_option("reach-v3")
        page.locator("#reset-form button").click()
        play.wait(page, "window.presage.state.task === 'reach-v3'")
        page.locator("#instruction").fill("go up")
        page.locator("#instruction-form button").click()
        play.wait(page, "window.presage.state.instruction === 'go up'")


def test_a_drag_a_stick_and_a_button_of_the_page_drive(server) -> None:
    with play.opened(server.url) as page:
        asked = "window.presage.controls.action().slice(0, 3)"
        picture = page.locator("#views canvas").last.bounding_box()
        x, y = picture["x"] + picture["width"] / 2, picture["y"] + picture["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + picture["width"], y)
        assert max(map(abs, page.evaluate(asked))) == 1
        page.mouse.up()
        assert page.evaluate(asked) == [0, 0, 0]
        rise = page.locator("[data-hold=rise]").bounding_box()
        page.mouse.move(rise["x"] + 10, rise["y"] + 10)
        page.mouse.down()
        assert page.evaluate(asked) == [0, 0, 1]
        page.mouse.up()
        page.evaluate(
            "navigator.getGamepads = () => [{ id: 'a pad', axes: [0, 0, 0, 0.5], buttons: [{ pressed: true }] }]; 0"
        )
        play.wait(page, "window.presage.controls.action()[2] === -0.5 && window.presage.controls.closed")
        assert "a pad" in text(page, "#pad-name")
        play.wait(page, "window.presage.state.running")


def test_typing_does_not_drive(server) -> None:
    with play.opened(server.url) as page:
        page.locator("#instruction").click()
        page.keyboard.type("was did")
        time.sleep(0.5)
        assert not page.evaluate("window.presage.state.running") and now(page) == 0
        page.locator("#run").focus()
        page.keyboard.press("Space")  # a button reached by keyboard is pressed, and the gripper left alone
        play.wait(page, "window.presage.state.running")
        assert page.locator("#gripper").get_attribute("aria-pressed") == "false"


NAMELESS = """[...document.querySelectorAll('button, input, select, canvas')]
    .filter(e => e.offsetParent && !e.textContent.trim() && !e.ariaLabel && !e.labels?.length).map(e => e.outerHTML)"""


def test_nothing_overflows_and_everything_has_a_name(server) -> None:
    with play.opened(server.url) as page:
        page.locator("#show-difference").check()
        page.locator("#show-spread").check()
        for width in (360, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_timeout(200)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(NAMELESS) == []
        elsewhere = page.evaluate("performance.getEntriesByType('resource').map(e => new URL(e.name).origin)")
        assert set(elsewhere) == {server.url.rstrip("/")}
        papers = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert papers == ["rgb(255, 255, 255)", "rgb(20, 23, 26)"]
