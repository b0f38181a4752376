"""What the bench on recordings says follows from episodes in both worlds, and from splits of what was measured."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.episodes.robots import write_robot
from tests.simulator.fake_world import FakeWorld
from tests.simulator.gate.squares import recording, write_squares
from tests.tiny import tiny_model

from presage.benchmarks import recordings
from presage.benchmarks.common import BenchArgs
from presage.benchmarks.ranked import Ranked
from presage.benchmarks.recorded_here import check_places, read_back, record
from presage.benchmarks.recordings import ranking_figures, shuffled_checkpoint
from presage.benchmarks.synthesis import as_video
from presage.episodes.dataset import Dataset
from presage.episodes.robot import Robot
from presage.errors import UserError
from presage.simulator.certainty import Answers
from presage.simulator.evaluation import Judged
from presage.simulator.frames.imagine import Shown, copies
from presage.simulator.gate.clips import cut
from presage.simulator.gate.measure import measure
from presage.simulator.ranking import Evidence, Imagined
from presage.simulator.recordings import recording_of_robot
from presage.training.checkpoint import save_model
from presage.worlds import ExpertPolicy, RolloutResult, rollout
from presage.worlds.recording import RecordedWorld


def episodes(success: list[int]) -> list[RolloutResult]:
    return [RolloutResult("a", i, bool(s), 3) for i, s in enumerate(success)]


def policies(
    truth: dict[str, list[int]], called: dict[str, list[int]], sure: dict[str, list[int]]
) -> tuple[dict[str, Judged], dict[str, Imagined]]:
    nothing = Evidence(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros((1, 0)))
    judged = {name: Judged(episodes(truth[name]), episodes(called[name])) for name in truth}
    found = {}
    for name, says in called.items():
        confidence = np.where(np.array(sure[name], bool), 0.9, 0.55)
        found[name] = Imagined(
            [], Answers(np.array(says, bool), confidence, np.array(says, float)), nothing, np.zeros(0)
        )
    return judged, found


def test_what_it_is_not_sure_of_is_not_held_against_it() -> None:
    good, bad, middle = [1] * 20, [0] * 20, [1, 0] * 10
    truth = {"good": good, "bad": bad, "middle": middle}
    wrong = [1] * 5 + [0] * 15  # five hallucinations, of which it says that it is not sure
    said = ranking_figures(
        *policies(truth, truth | {"bad": wrong}, {"good": good, "bad": [0] * 5 + [1] * 15, "middle": good})
    )
    assert said["hallucinated"] == pytest.approx(5 / 30) and said["hallucinated_sure"] == 0
    assert said["missed"] == said["missed_sure"] == 0 and said["answered"] == pytest.approx(55 / 60)
    assert said["pearson_sure"] == pytest.approx(1) and said["kappa_sure"] == 1 and said["mmrv_sure"] == 0
    assert said["pairs_told"] == 1 and said["pairs_wrong"] == 0
    assert said["abstention_accuracy/90"] == 1 and said["abstention_accuracy/100"] == pytest.approx(55 / 60)


def test_pairs_that_are_told_apart_the_wrong_way_round_are_counted() -> None:
    good, bad = [1] * 20, [0] * 20
    said = ranking_figures(*policies({"a": good, "b": bad}, {"a": bad, "b": good}, {"a": good, "b": good}))
    assert said["pairs_told"] == 1 and said["pairs_wrong"] == 1 and said["hallucinated_sure"] == 1
    silent = ranking_figures(*policies({"a": good, "b": bad}, {"a": bad, "b": good}, {"a": bad, "b": bad}))
    assert silent["pairs_told"] == silent["pairs_wrong"] == 0 and "hallucinated_sure" not in silent


def test_a_split_has_the_clips_of_its_episodes_alone(tmp_path: Path) -> None:
    clips = cut(recording(write_squares(tmp_path / "squares", 10)), 1, 4)
    found, _ = measure(copies, clips)
    some = found.of(np.array([2, 7]))
    assert set(some.episode.tolist()) == {2, 7} and 0 < len(some.episode) < len(found.episode)
    rows = np.isin(found.episode, [2, 7])
    assert np.array_equal(some.error["zero"]["moving"], found.error["zero"]["moving"][rows])


def test_the_gate_is_right_about_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.simulator.gate.squares import SPEED, picture

    def listens(shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
        assert shown.states is not None
        place = shown.states[:, -1:] + np.cumsum(SPEED * actions[:, :, 0], 1)
        return np.array([[[picture(p)] for p in film] for film in place])

    monkeypatch.setattr(recordings, "imagines_of", lambda folder, seed: listens)
    monkeypatch.setattr(recordings, "session_imagines", lambda *_: copies)
    args = BenchArgs(
        save_model(tiny_model(), tmp_path / "model", "a random model"), 0, 1, torch.device("cpu"), quick=False
    )
    told = recording(write_squares(tmp_path / "squares", 16))
    right = recordings.gate_figures(args, tiny_model(), told)
    assert right["gate_wrong"] == 0 and right["gate_right/model"] == right["gate_right/copy"] == 1
    assert right["gate_right/three_episodes"] == 1 and right["gate_splits"] == 20
    monkeypatch.setattr(recordings, "imagines_of", lambda folder, seed: copies)
    assert recordings.gate_figures(args, tiny_model(), told)["gate_wrong"] == 20  # a model that is deaf


def test_a_seed_names_the_episode_that_was_recorded_with_it(tmp_path: Path) -> None:
    world, folder = FakeWorld(2), save_model(tiny_model(), tmp_path / "model", "a random model")
    tasks, seeds = ["a", "b"] * 3, [7, 7, 8, 8, 9, 9]
    made = rollout(ExpertPolicy(world), world, tasks, seeds, 9, record=True)
    starts = record(tmp_path / "starts", made, world, 5.0, folder)
    check_places(RecordedWorld(starts, 2), tasks, seeds)
    back = {(each.task, each.seed): each for each in read_back(starts)}
    for each in made:
        same = back[each.task, each.seed]
        assert same.success == each.success and same.steps == each.steps and each.actions is not None
        np.testing.assert_array_equal(same.actions, each.actions)
        assert same.frames["top"].shape == each.frames["top"].shape
    with pytest.raises(UserError, match="seed 10 of a names an episode of seed 7"):
        check_places(RecordedWorld(starts, 2), ["a"], [10])


@pytest.mark.parametrize("length", [12, 13])
def test_what_leads_to_no_picture_is_left_out(tmp_path: Path, length: int) -> None:
    """Others record an action with the last frame as well."""
    root = write_robot(tmp_path / "arm", joints=4, length=length, fps=20)
    recording = recording_of_robot(Robot.from_dataset(Dataset(root)), Dataset(root), 32)
    for number, episode in enumerate(recording.steps.episodes):
        episode.info["seed"] = number
    frames = -(-length // 4)
    for each in read_back(recording):
        assert each.actions is not None and len(each.actions) == each.steps == frames - 1
        assert len(each.frames["front"]) == as_video(each).steps + 1 == frames


def test_what_was_done_is_done_again_in_every_dream_of_a_batch() -> None:
    real = [RolloutResult("a", i, True, 1, actions=np.full((1, 4, 4), i, np.float32)) for i in range(3)]
    policy = Ranked(ExpertPolicy(FakeWorld(2)), blind=True).in_dreams(real, batch=2, dreams=2)
    played = []
    for _ in range(4):  # two batches, two dreams of each
        policy.reset(["", ""])
        played.append(policy.act({"state": np.zeros((2, 1))})[:, 0, 0].tolist())
    assert played == [[0, 1], [0, 1], [2, 2], [2, 2]]


def test_a_checkpoint_of_shuffled_actions_is_found_beside_the_model(tmp_path: Path) -> None:
    args = BenchArgs(tmp_path / "run" / "model", 0, 1, torch.device("cpu"), quick=True)
    assert shuffled_checkpoint(args) is None
    folder = save_model(tiny_model(), tmp_path / "run" / "shuffled" / "model", "a random model")
    assert shuffled_checkpoint(args) == folder
