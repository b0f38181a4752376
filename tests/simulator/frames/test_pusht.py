"""Push-T is measured as Meta-World is: scenes, a reader of its own, and the same figures."""

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import tiny_pusht

from presage.errors import UserError
from presage.simulator.frames.fit_readers import errors
from presage.simulator.frames.imagine import as_shipped, copies, session_imagines
from presage.simulator.frames.measure import dream, measure
from presage.simulator.frames.placed import EMPTY, FULL, SIZE, Placed, placed
from presage.simulator.frames.pusht_scenes import KINDS
from presage.simulator.frames.readers import NONE, ONE, PUSHT, Reader, read, reader_of
from presage.simulator.frames.scenes import Scenes, scenes
from presage.simulator.frames.staging import setting_of
from presage.worlds.world import OBJECT, ROBOT


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scenes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return {k: scenes(k, 3, tuning=True, steps=8, workers=0, world="pusht") for k in KINDS}


@pytest.fixture(scope="module")
def pusht_reader() -> Reader:
    return reader_of("pusht")


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    """Moments on seeds that no reader was trained on."""
    return placed(["pusht"], 0, 20, tmp_path_factory.mktemp("placed"), workers=0)


def truth_of(given: Scenes):
    """A model that knows what happens."""
    return lambda shown, actions: given.frames[[_same(given, a) for a in actions], given.past :][:, : actions.shape[1]]


def _same(given: Scenes, actions: np.ndarray) -> int:
    return int(np.abs(given.actions[:, given.past - 1 :][:, : len(actions)] - actions).sum((1, 2, 3)).argmin())


def test_scenes_have_the_arrays_of_any_world(recorded: dict[str, Scenes]) -> None:
    for each in recorded.values():
        e, rows = each.frames.shape[:2]
        assert rows == each.past + each.steps and each.frames.shape[2:] == (1, SIZE, SIZE, 3)
        assert each.actions.shape == (e, rows - 1, 4, 2) and each.end is not None
        assert {ROBOT, OBJECT} <= set(np.unique(each.segments)) and each.setting.robot == "pusht"


def test_moments_are_recorded_again_by_other_packages_and_another_edition(tmp_path: Path, monkeypatch) -> None:
    def files() -> int:
        placed(["pusht"], 0, 1, tmp_path, workers=0)
        return len(list(tmp_path.glob("*.safetensors")))

    assert [files(), files()] == [1, 1]
    monkeypatch.setattr("presage.simulator.frames.placed.EDITION", 2)
    assert files() == 2
    monkeypatch.setattr("presage.simulator.frames.staging.version", lambda package: "0")
    assert files() == 3


def test_agent_and_block_are_where_they_are_seen(recorded: dict[str, Scenes]) -> None:
    given = recorded["knock"]
    for points, label in ((given.hand, ROBOT), (given.object, OBJECT)):
        columns, rows = given.at(points, 0)[:, 0].astype(int).T
        assert (given.at(given.segments, 0)[np.arange(len(given)), 0, rows, columns] == label).all()


def test_a_knock_moves_the_block_and_a_miss_solves_nothing(recorded: dict[str, Scenes]) -> None:
    knock = recorded["knock"]
    assert knock.moved(knock.steps).all() and not knock.moved(0).any()
    assert not recorded["miss"].success.any()


def test_the_block_is_put_elsewhere_before_the_dream_begins(recorded: dict[str, Scenes]) -> None:
    moved = recorded["moved"]
    far = np.linalg.norm(np.diff(moved.object[:, : moved.past, 0], axis=1), axis=-1)
    assert (far[:, 1] > 60 / 8 - 1).all() and (far[:, 1] == far.max(1)).all()


def test_branches_begin_alike_and_end_apart(recorded: dict[str, Scenes]) -> None:
    branch = recorded["branch"]
    first = branch.group == 0
    shown = branch.frames[first, : branch.past]
    assert first.sum() == 5 and (shown == shown[:1]).all()
    assert branch.at(branch.place, branch.steps)[first].std(0).max() > 5


def test_agent_and_block_are_read_to_a_pixel(pusht_reader: Reader, anywhere: Placed) -> None:
    found = errors(pusht_reader, anywhere)
    assert found["hand_px"] < 0.5 and found["object_px/pusht"] < 0.5 and found["object_px/pusht, turned"] < 0.7
    assert found["called_gone"] < 0.05 and found["called_there"] < 0.05


def test_a_block_that_is_gone_is_noticed(pusht_reader: Reader, anywhere: Placed) -> None:
    tasks = ["pusht"] * len(anywhere)
    assert (read(pusht_reader, anywhere.images[:, FULL], tasks).count == ONE).mean() > 0.9
    assert (read(pusht_reader, anywhere.images[:, EMPTY], tasks).count == NONE).mean() > 0.9


def test_the_true_video_is_perfect_and_the_copied_frame_fails(
    recorded: dict[str, Scenes], pusht_reader: Reader
) -> None:
    for kind in ("expert", "knock", "branch"):
        given = recorded[kind]
        true, copied = (measure(model, [given], pusht_reader) for model in (truth_of(given), copies))
        if kind == "expert":
            assert true["object_px_8"] < 1 and true["hand_px_8"] < 1 and true["object_degrees_8"] < 5
            assert copied["hand_px_8"] > 3 and copied["object_degrees_8"] > true["object_degrees_8"]
            assert "copy_object_moved_psnr_8" in true
        elif kind == "knock":
            assert (true["knock_within_3px"], copied["knock_within_3px"], true["knock_gone"]) == (1, 0, 0)
        else:
            assert true["counterfactual_r_hand"] > 0.98 and true["counterfactual_r_object"] > 0.95
            assert copied["counterfactual_r_object"] == 0


def test_a_model_of_push_t_dreams_scenes_of_one_camera(recorded: dict[str, Scenes]) -> None:
    given = recorded["branch"]
    frames = dream(session_imagines(tiny_pusht(size=SIZE), as_shipped(1)), given, 2)
    assert frames.shape == (len(given), 2, 1, SIZE, SIZE, 3)


def test_the_reader_is_small_and_other_worlds_are_refused(tmp_path: Path) -> None:
    assert PUSHT.stat().st_size < 300_000
    with pytest.raises(UserError, match="there are no scenes of fetch"):
        setting_of("fetch")
