"""Roles draw noise levels in training, schedules walk them down in a session: the modes are levels."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from presage.timeline.corruption import Regress
from presage.timeline.levels import GIVEN, UNKNOWN, Beta, Levels, Role, Schedule, Uniform, down, flat
from presage.timeline.streams import Stream

DONE, LEFT, RIGHT, ARM = (
    Stream("done", 1, 4, acts=True),
    Stream("eye.left", 2, 8),
    Stream("eye.right", 2, 8),
    Stream("arm", 1, 2),
)
ASKED = Stream("asked", 1, 1, Regress(), seen=False)
STREAMS = [DONE, LEFT, RIGHT, ARM, ASKED]
K, OTHER = Uniform(0.3), Uniform(0.3, "other")


def draw(*roles: Role, batch: int = 64, steps: int = 4, seed: int = 0, **options: Any) -> dict[str, torch.Tensor]:
    return Levels(roles, **options).draw(STREAMS, batch, steps, torch.Generator().manual_seed(seed))


# -- roles ------------------------------------------------------------------------------------------------------------


def test_a_question_holds_the_streams_that_its_roles_name() -> None:
    assert set(draw(Role(K, None))) == {"eye.left", "eye.right", "arm", "asked"}
    assert set(draw(Role(None, K, {"arm": GIVEN}))) == {"done", "arm"}
    with pytest.raises(ValueError, match="done: held by some roles"):
        draw(Role(K, K), Role(K, None))


@given(seed=st.integers(0, 1000))
def test_levels_lie_in_the_unit_interval_and_follow_the_seed(seed: int) -> None:
    roles = Role(K, OTHER), Role(Beta(2, 1), GIVEN, {"arm": UNKNOWN}), Role(GIVEN, K)
    levels, again = draw(*roles, seed=seed), draw(*roles, seed=seed)
    assert all(x.shape == (64, 4) and (x >= 0).all() and (x <= 1).all() for x in levels.values())
    assert all(torch.equal(again[name], x) for name, x in levels.items())


@pytest.mark.parametrize(
    ("role", "told", "asked"),
    [(Role(K, GIVEN), "done", "eye.left"), (Role(GIVEN, K), "eye.left", "done")],
    ids=["forward dynamics: what is done is given", "inverse dynamics: what is seen is given"],
)
def test_a_role_gives_its_streams(role: Role, told: str, asked: str) -> None:
    levels = draw(role)
    assert (levels[told] == 0).all() and (levels[asked] > 0).float().mean() > 0.9


def test_streams_of_one_draw_share_their_level_and_those_of_another_do_not() -> None:
    levels = draw(Role(K, OTHER))
    assert torch.equal(levels["eye.left"], levels["eye.right"])
    assert not torch.equal(levels["eye.left"], levels["done"])
    shared = draw(Role(K, K))
    assert all(torch.equal(x, shared["done"]) for x in shared.values())


def test_the_first_pattern_that_matches_says_more_than_a_streams_nature() -> None:
    levels = draw(Role(K, K, {"eye.left": GIVEN, "eye.*": UNKNOWN}))
    assert (levels["eye.left"] == 0).all() and (levels["eye.right"] == 1).all()
    assert torch.equal(levels["arm"], levels["done"])


def test_each_step_of_each_row_has_a_role_and_levels_of_its_own_unless_steps_share_them() -> None:
    roles = Role(K, GIVEN), Role(GIVEN, K)
    own, shared = draw(*roles)["done"], draw(*roles, per_step=False)["done"]
    assert not torch.equal(own, own[:, :1].expand_as(own)) and len(own.unique(dim=0)) > 32
    assert torch.equal(shared, shared[:, :1].expand_as(shared)) and len(shared.unique()) > 8


@given(seed=st.integers(0, 100))
def test_roles_are_drawn_by_weight(seed: int) -> None:
    done = draw(
        Role(K, GIVEN, weight=3.0), Role(K, UNKNOWN, weight=1.0), Role(K, 0.5, weight=0.0), batch=500, seed=seed
    )["done"]
    assert done.mean().item() == pytest.approx(0.25, abs=0.05) and not (done == 0.5).any()


def test_full_noise_is_exactly_one() -> None:
    """There every sampler starts, and a uniform level would never be there."""
    always, some = draw(Role(Uniform(1.0), K), batch=500), draw(Role(Uniform(0.3), K), batch=500)
    assert (always["arm"] == 1).all()
    assert (some["arm"] == 1).float().mean().item() == pytest.approx(0.3, abs=0.05)


def test_beta_levels_have_their_mean() -> None:
    assert draw(Role(Beta(3, 1), K), batch=500)["arm"].mean().item() == pytest.approx(0.75, abs=0.03)


# -- schedules --------------------------------------------------------------------------------------------------------


@given(steps=st.integers(1, 10))
def test_schedules_begin_and_end_where_the_use_needs(steps: int) -> None:
    joint, policy, forward = Schedule.joint(steps), Schedule.policy(steps), Schedule.forward(steps)
    inverse, video = Schedule.inverse(steps), Schedule.video(steps)
    assert joint.sees[0] == joint.acts[0] == 1 and joint.sees[-1] == joint.acts[-1] == 0
    assert policy.sees is None and policy.acts == joint.acts
    assert forward.sees == joint.sees and set(forward.acts) == {GIVEN}
    assert set(inverse.sees) == {GIVEN} and inverse.acts == joint.acts
    assert video.sees == joint.sees and set(video.acts) == {UNKNOWN}
    assert all(s.steps == steps for s in (joint, policy, forward, inverse, video))


@given(steps=st.integers(1, 10), stop=st.floats(0.0, 0.9))
def test_levels_go_down_in_equal_steps_as_far_as_they_are_to(steps: int, stop: float) -> None:
    walk = torch.tensor(down(steps, stop))
    assert walk[0] == 1 and walk[-1].item() == pytest.approx(stop)
    torch.testing.assert_close(walk.diff(), torch.full((steps,), -(1 - stop) / steps))


@given(sees=st.integers(1, 5), acts=st.integers(1, 5), stop=st.floats(0.0, 0.9))
def test_in_turn_sees_first_and_acts_on_what_is_seen(sees: int, acts: int, stop: float) -> None:
    schedule = Schedule.in_turn(sees, acts, stop)
    assert schedule.steps == sees + acts
    assert schedule.sees[: sees + 1] == down(sees, stop) and schedule.acts[: sees + 1] == flat(UNKNOWN, sees)
    assert schedule.acts[sees:] == down(acts) and schedule.sees[sees + 1 :] == (stop,) * acts


@given(steps=st.integers(1, 5), length=st.integers(1, 4), lag=st.integers(0, 3))
def test_a_pyramid_denoises_each_step_of_a_clip_behind_the_one_before_it(steps: int, length: int, lag: int) -> None:
    schedule = Schedule.pyramid(steps, length, lag)
    levels = torch.tensor(schedule.sees)  # denoising step, step of the clip
    assert schedule.acts == schedule.sees and schedule.steps == steps + lag * (length - 1)
    assert (levels[0] == 1).all() and (levels[-1] == 0).all()
    for n in range(length):
        begin = lag * n
        torch.testing.assert_close(levels[begin : begin + steps + 1, n], torch.tensor(down(steps)))
        assert (levels[:begin, n] == 1).all() and (levels[begin + steps :, n] == 0).all()


def test_a_question_holds_what_the_schedule_names_and_nothing_that_is_asked_at_every_step() -> None:
    schedule = Schedule(down(2), None, {"eye.right": flat(GIVEN, 2), "arm": None})
    assert schedule.walks(STREAMS) == {"eye.left": down(2), "eye.right": flat(GIVEN, 2)}
    assert schedule.steps == 2


def test_all_streams_are_walked_down_in_equally_many_steps() -> None:
    with pytest.raises(ValueError, match="of 2, 1 steps"):
        Schedule((1.0, 0.5, 0.0), (1.0, 0.0))
    with pytest.raises(ValueError, match="of 1, 1, 3 steps"):
        Schedule(down(1), down(1), {"arm": down(3)})


@pytest.mark.parametrize("level", [-0.1, 1.1, float("nan")])
def test_there_is_nothing_beyond_clean_and_unknown(level: float) -> None:
    with pytest.raises(ValueError, match="levels are 0"):
        Schedule((1.0, level), (1.0, 0.0))
    with pytest.raises(ValueError, match="levels are 0"):
        Schedule(None, (1.0, 0.0), {"arm": ((1.0, 1.0), (0.0, level))})
