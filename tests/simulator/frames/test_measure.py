"""The true video is measured as perfect, the copied frame fails every figure, and nothing but frames counts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.tiny import tiny_model

from presage.simulator.frames.imagine import (
    Shown,
    as_shipped,
    codec_floor,
    copies,
    session_imagines,
    shuffled_weights,
    with_random_network,
)
from presage.simulator.frames.measure import averaged, by_task, dream, measure, regions, shared, shown_of, twins
from presage.simulator.frames.readers import MORE, ONE, Reader, Reading
from presage.simulator.frames.scenes import Scenes


def truth_of(recorded: dict[str, Scenes]):
    """A model that knows the simulator: it finds what happens with these actions after these frames."""

    def imagine(shown: Shown, actions: np.ndarray) -> np.ndarray:
        for each in recorded.values():
            known = each.actions[:, each.past - 1 :][:, : actions.shape[1]]
            if known.shape == actions.shape and (each.frames[:, : each.past] == shown.frames).all():
                rows = [int(np.abs(known - a).sum((1, 2, 3)).argmin()) for a in actions]
                return each.frames[rows, each.past :][:, : actions.shape[1]]
        raise AssertionError("nothing like it was recorded")

    return imagine


@pytest.fixture(scope="module")
def true(recorded: dict[str, Scenes], reader: Reader) -> dict[str, float]:
    return measure(truth_of(recorded), recorded.values(), reader)


@pytest.fixture(scope="module")
def copied(recorded: dict[str, Scenes], reader: Reader) -> dict[str, float]:
    return measure(copies, recorded.values(), reader)


def test_the_true_video_is_perfect(true: dict[str, float]) -> None:
    for region in ("all", "robot", "background"):
        assert true[f"{region}_psnr_8"] == math.inf
    assert true["sharpness_8"] == 1 and true["frozen"] == 0 and true["knock_gone"] == 0
    assert true["hand_px_8"] < 1 and true["any_object_px_8"] < 2
    assert true["knock_within_3px"] == 1 and true["removed_stays_gone"] == 1 and true["knock_twins"] == 0
    assert true["counterfactual_r_hand"] > 0.98 and true["counterfactual_r_object"] > 0.85
    assert true["shuffle_ratio"] > 2


def test_the_copied_frame_fails(copied: dict[str, float]) -> None:
    assert copied["robot_psnr_8"] == pytest.approx(copied["copy_robot_psnr_8"]) and copied["robot_psnr_8"] < 20
    assert copied["hand_px_8"] > 3 and copied["knock_within_3px"] == 0
    assert copied["counterfactual_r_hand"] == 0 and copied["counterfactual_r_object"] == 0
    assert copied["shuffle_ratio"] == 1 and copied["frozen"] == 1


def test_tasks_whose_objects_are_small_count_as_much_as_others(recorded: dict[str, Scenes]) -> None:
    given = recorded["knock"]
    two = replace(given, task=["small", *["large"] * (len(given) - 1)])
    truth, mask = given.at(given.frames, 8), regions(given, 8)["object_moved"]
    wrong = truth.copy()
    wrong[0] ^= 64
    alone = by_task(two, wrong, truth, mask)
    assert alone["small"] < 15 and alone["large"] == math.inf


def test_a_second_object_is_a_twin_and_not_the_first_one(recorded: dict[str, Scenes]) -> None:
    given = recorded["knock"]
    hand, where = given.at(given.hand, 1), given.at(given.object, 1)
    once, twice = (Reading(hand, where, np.full(hand.shape[:2], count)) for count in (ONE, MORE))
    assert not twins(given, 1, once).any() and twins(given, 1, twice).any()


def test_shares_and_means_say_of_how_many() -> None:
    half = shared("close", np.array([True, False, True, False]))
    assert half["close"] == 0.5 and half["close_episodes"] == 4 and half["close_low"] < 0.2 < 0.8 < half["close_high"]
    assert averaged("px", np.array([1.0, 3.0]))["px"] == 2 and averaged("px", np.zeros(0))["px_episodes"] == 0


def test_regions_share_the_picture_among_them(recorded: dict[str, Scenes]) -> None:
    parts = regions(recorded["knock"], 8)
    total = sum(parts[name].astype(int) for name in ("robot", "object_moved", "object_still", "background"))
    assert (total == 1).all() and parts["object_moved"].any() and not parts["object_still"].any()


def test_a_model_is_shown_frames_actions_and_maybe_states(recorded: dict[str, Scenes]) -> None:
    given = recorded["expert"]
    shown = shown_of(given, states=False)
    assert shown.states is None and shown.frames.shape[1] == given.past == shown.actions.shape[1] + 1
    assert (shown.frames[:, -1] == given.at(given.frames, 0)).all() and "state" not in shown.observation(0)
    assert (shown_of(given).observation(1)["state"] == given.states[:, 1]).all()


def test_any_session_model_can_be_measured(recorded: dict[str, Scenes]) -> None:
    model, given = tiny_model(size=64), recorded["wander"]
    frames = dream(session_imagines(model, as_shipped(1)), given, 3)
    assert frames.shape == (len(given), 3, *given.frames.shape[2:]) and frames.dtype == np.uint8
    assert codec_floor(model)(given.at(given.frames, 1)).shape == given.at(given.frames, 1).shape


def test_the_control_changes_the_video_model_alone(recorded: dict[str, Scenes]) -> None:
    model, given = tiny_model(size=64), recorded["wander"]
    control = with_random_network(model, 0)
    frames = given.at(given.frames, 0)
    assert (codec_floor(control)(frames) == codec_floor(model)(frames)).all()
    mine, theirs = (dream(session_imagines(m, as_shipped(1)), given, 1) for m in (model, control))
    assert (mine != theirs).any()
    for one, other in zip(model.network.parameters(), shuffled_weights(model.network, 0).parameters(), strict=True):
        assert np.allclose(np.sort(one.detach().ravel()), np.sort(other.detach().ravel()))
