"""Somebody else's model: found by its name, behind gymnasium, or behind a socket, the gate sees the same frames."""

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.simulator.gate.squares import Listens, recording, write_squares

from presage.errors import UserError
from presage.serving.dreams import RemoteDreamer, serve_dreams
from presage.simulator.gate.clips import Clips, cut
from presage.simulator.gate.others import Dreamer, FromGymnasium, load, one_by_one


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    root = write_squares(tmp_path_factory.mktemp("data") / "squares", episodes=3, rows=9, cameras=("front", "top"))
    return cut(recording(root, chunk=2), past=1, steps=3)


class Env:
    """The listening model with gymnasium's reset and step."""

    def __init__(self, one: bool = False) -> None:
        self.model, self.one, self.steps = Listens(), one, 0

    def reset(self, *, options: dict[str, Any]) -> tuple[Any, dict]:
        self.model.start(options["frames"], options["instruction"])
        return {}, {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict]:
        self.steps += 1
        seen = self.model.step(action.reshape(-1, 2))
        named = {"image.front": seen["front"], "above": seen.get("top")}
        return seen["front"] if self.one else named, 0.0, False, False, {}


def test_gymnasium_models_are_asked_action_by_action_or_chunk_by_chunk(clips: Clips) -> None:
    expected = one_by_one(Listens())(clips.shown, clips.actions)
    assert expected.shape == clips.truth.shape
    env = Env()
    found = one_by_one(FromGymnasium(env, {"top": "above"}))(clips.shown, clips.actions)
    assert np.array_equal(found, expected) and env.steps == clips.actions[..., 0].size
    found = one_by_one(FromGymnasium(Env(), {"top": "above"}, chunks=True))(clips.shown, clips.actions)
    assert np.array_equal(found, expected)
    model = FromGymnasium(Env(one=True))
    model.start({"front": clips.shown.frames[0, :, 0]}, "move")
    assert np.array_equal(model.step(clips.actions[0, 0])["front"], expected[0, 0, 0])


def test_a_model_behind_a_socket_is_the_same_model(clips: Clips) -> None:
    with serve_dreams(Listens, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        model = RemoteDreamer(f"ws://127.0.0.1:{server.socket.getsockname()[1]}")
        found = one_by_one(model)(clips.shown, clips.actions)
        with pytest.raises(UserError, match="AttributeError"):
            fresh = RemoteDreamer(model.url)
            fresh.step(clips.actions[0, 0])  # before it was started
        fresh.close()
        model.close()
        server.shutdown()
        thread.join(10)
    assert np.array_equal(found, one_by_one(Listens())(clips.shown, clips.actions))
    with pytest.raises(UserError, match="no model answers"):
        RemoteDreamer("ws://127.0.0.1:1").start({}, "")


MODULE = """
import numpy as np
class Mine:
    def start(self, frames, instruction): self.now = {c: x[-1] for c, x in frames.items()}
    def step(self, actions): return self.now
ready = Mine()
def needy(path): return Mine()
number = 3
class Half:
    def start(self, frames, instruction): pass
"""


def test_a_model_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_model.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("Mine", "ready"):
        model = load(f"their_model:{name}")
        model.start({"front": np.zeros((1, 4, 4, 3), np.uint8)}, "")
        assert model.step(np.zeros((1, 2), np.float32))["front"].shape == (4, 4, 3)
    for name, message in (
        ("their_model", "write module:object"),
        (".their_model:Mine", "write module:object"),
        ("no_model:Mine", "no module 'no_model'"),
        ("their_model:Yours", "their_model has no 'Yours'"),
        ("their_model:needy", "it is called without arguments, and missing a required argument: 'path'"),
        ("their_model:number", "it needs start"),
        ("their_model:Half", "it needs start"),
    ):
        with pytest.raises(UserError, match=message):
            load(name)
    sys.modules.pop("their_model")


LATE = """
import sys
sys.path.insert(0, "elsewhere")
class Late:
    def __init__(self):
        from late_part import shown
        self.shown = shown
    def start(self, frames, instruction): pass
    def step(self, actions):
        import late_step
        return late_step.frames
"""


def test_a_model_finds_its_own_files_whenever_it_imports_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("late_model", LATE), ("late_part", "shown = 3"), ("late_step", "frames = {}")):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    model: Any = load("late_model:Late")
    assert model.shown == 3 and model.step(np.zeros((1, 2), np.float32)) == {}
    assert sys.path[:2] == ["elsewhere", str(tmp_path)]  # what the model put there stays where it was put


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({"front": np.zeros((32, 32, 3), np.uint8)}, "returns front: it is to return front, top -> frame"),
        (None, "returns NoneType"),
        (dict.fromkeys(("front", "top"), np.zeros((32, 32, 3))), r"of 'front' is float64 \(32, 32, 3\)"),
    ],
)
def test_frames_that_are_none_are_refused(frames: Any, message: str, clips: Clips) -> None:
    class Wrong(Listens):
        def step(self, actions: np.ndarray) -> Any:
            return frames

    model: Dreamer = Wrong()
    with pytest.raises(UserError, match=message):
        one_by_one(model)(clips.shown, clips.actions)


@pytest.mark.parametrize(("small_at", "first"), [(0, "front"), (1, "front"), (0, "top")])
def test_frames_of_another_size_are_refused_whenever_they_come(small_at: int, first: str, clips: Clips) -> None:
    """From the first step on or later, of all cameras or of one."""

    class Shrinks(Listens):
        steps = 0

        def step(self, actions: np.ndarray) -> dict[str, np.ndarray]:
            cut, self.steps = self.steps >= small_at, self.steps + 1
            return {c: x[:16, :24] if cut and c >= first else x for c, x in super().step(actions).items()}

    says = rf"frame of '{first}' is 16 x 24 \(height x width\), it was shown 32 x 32: return that size, or .* --size"
    with pytest.raises(UserError, match=says):
        one_by_one(Shrinks())(clips.shown, clips.actions)
