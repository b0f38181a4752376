"""Laws draw noise levels, plans walk them down, and the sampler undoes the corruption."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from presage.timeline.levels import Law, Plan, draw, unless_given
from presage.timeline.sampler import corrupt, euler_step


@given(seed=st.integers(0, 1000))
def test_levels_lie_in_the_unit_interval(seed: int) -> None:
    video, action = draw(Law(), 64, torch.Generator().manual_seed(seed))
    assert ((video >= 0) & (video <= 1) & (action >= 0) & (action <= 1)).all()


@pytest.mark.parametrize(
    ("law", "given_stream"),
    [(Law(joint=0, independent=0, forward=1, inverse=0, video=0), 1), (Law(0, 0, 0, 1, 0), 0)],
    ids=["forward dynamics: the action is given", "inverse dynamics: the video is given"],
)
def test_a_pure_law_gives_its_stream(law: Law, given_stream: int) -> None:
    levels = draw(law, 256, torch.Generator().manual_seed(0))
    assert (levels[given_stream] == 0).all()
    assert (levels[1 - given_stream] > 0).float().mean() > 0.9


def test_joint_shares_one_level() -> None:
    video, action = draw(Law(1, 0, 0, 0, 0), 64, torch.Generator().manual_seed(0))
    assert torch.equal(video, action)


@given(steps=st.integers(1, 10))
def test_plans_end_where_the_use_needs(steps: int) -> None:
    assert Schedule.joint(steps).video[-1] == Schedule.joint(steps).action[-1] == 0
    assert Schedule.policy(steps).video is None
    assert set(Schedule.forward(steps).action) == {0.0} and Schedule.forward(steps).video[-1] == 0
    assert set(Schedule.inverse(steps).video) == {0.0} and Schedule.inverse(steps).action[-1] == 0
    assert set(Schedule.video(steps).action) == {1.0}
    assert all(p.steps == steps for p in (Schedule.joint(steps), Schedule.policy(steps), Schedule.forward(steps)))


def test_a_plan_takes_video_and_action_down_in_equally_many_steps() -> None:
    with pytest.raises(ValueError, match="3 levels of the video for 2 of the action"):
        Plan((1.0, 0.5, 0.0), (1.0, 0.0))


@given(level=st.floats(0.1, 1.0), share=st.floats(0.0, 1.0))
def test_an_exact_prediction_walks_down_exactly(level: float, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 5, generator=generator), torch.randn(2, 5, generator=generator)
    to = level * share
    x = corrupt(clean, noise, torch.tensor(level))
    expected = corrupt(clean, noise, torch.tensor(to))
    torch.testing.assert_close(euler_step(x, clean, level, to), expected, atol=1e-5, rtol=1e-4)


def test_where_the_video_is_given_no_action_is_proposed() -> None:
    proposal = torch.ones(2, 3, 1, 16)
    left = unless_given(proposal, torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]]))
    assert left[:, :, 0, 0].tolist() == [[0, 1, 1], [1, 0, 0]]
