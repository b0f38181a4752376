"""The loss trains what a cached session computes, and nothing that was not recorded."""

from dataclasses import replace

import pytest
import torch
from presage.training.losses import Batch, LossConfig, absolute_error, timeline_loss

from presage.codecs.image import ImageCodecConfig
from presage.codecs.scalars import ScalarCodec
from presage.networks.world_model import WorldModel
from presage.timeline.levels import Law
from presage.training.recipes import behaviour_cloning
from tests.tiny import tiny_model

INVERSE = LossConfig(law=Law(0, 0, 0, 1, 0), context_noise=0.0, drop_actions=0.0)
FORWARD = LossConfig(law=Law(0, 0, 1, 0, 0), context_noise=0.0, drop_actions=0.0)


@pytest.fixture
def model() -> WorldModel:
    return tiny_model()


def random_batch(model: WorldModel, b: int = 3, n: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(1)
    values = {s.name: torch.randn(b, n, s.tokens, s.dim, generator=generator) for s in model.streams}
    yes = torch.ones(b, n, dtype=torch.bool)
    return Batch(values, torch.randn(b, 256, generator=generator), yes, yes, torch.ones(b, n), yes, ~yes)


def terms(model: WorldModel, batch: Batch, config: LossConfig) -> dict[str, float]:
    _, parts = timeline_loss(model, batch, config, torch.Generator().manual_seed(0))
    return {k: v.item() for k, v in parts.items()}


def test_given_streams_cost_nothing(model: WorldModel) -> None:
    batch = random_batch(model)
    assert terms(model, batch, INVERSE)["video.front"] == 0 and terms(model, batch, INVERSE)["action"] > 0
    assert terms(model, batch, FORWARD)["action"] == 0 and terms(model, batch, FORWARD)["video.front"] > 0


def test_a_state_costs_nothing_where_the_action_that_leads_to_it_is_given(model: WorldModel) -> None:
    batch = random_batch(model)
    assert terms(model, batch, FORWARD)["state"] == 0
    assert terms(model, batch, LossConfig(law=Law(0, 0, 0, 0, 1)))["state"] > 0


def test_an_action_that_was_not_recorded_is_masked_whatever_its_value(model: WorldModel) -> None:
    batch = random_batch(model)
    nothing = replace(batch, action_valid=torch.zeros_like(batch.action_valid))
    other = replace(nothing, values={**batch.values, "action": torch.full_like(batch.values["action"], 7.0)})
    a, b = terms(model, nothing, LossConfig()), terms(model, other, LossConfig())
    assert a["policy"] == a["action"] == 0
    assert a == pytest.approx(b)


def test_padding_frames_do_not_count(model: WorldModel) -> None:
    batch = random_batch(model)
    frame_valid = batch.frame_valid.clone()
    frame_valid[:, -1] = False
    padded = replace(batch, frame_valid=frame_valid, progress_valid=frame_valid)
    values = {k: v.clone() for k, v in batch.values.items()}
    values["progress"][:, -1] = 100.0
    changed = replace(padded, values=values)
    assert terms(model, padded, FORWARD)["progress"] == pytest.approx(terms(model, changed, FORWARD)["progress"])


def test_behaviour_cloning_ignores_chunks_that_are_not_the_experts(model: WorldModel) -> None:
    config = LossConfig(noisy_blocks=0, poor_policy_weight=0.0)
    batch = replace(random_batch(model), quality=torch.zeros(3, 4))
    loss = terms(model, batch, config)
    assert loss["policy"] == 0 and "action" not in loss


def test_the_model_of_behaviour_cloning_carries_nothing() -> None:
    config = replace(behaviour_cloning().model, codec=ImageCodecConfig(size=32, width=8, blocks=1, latent_channels=4))
    model = WorldModel(config, ScalarCodec([0.0] * 16, [1.0] * 16), ScalarCodec([0.0] * 4, [1.0] * 4))
    assert model.kinematics is None and model.renderer is None
    loss = terms(model, random_batch(model), LossConfig(noisy_blocks=0))
    assert loss["policy"] > 0


def test_one_batch_can_be_overfitted() -> None:
    model = tiny_model(layers=2)
    batch, config = (
        random_batch(model, b=2),
        LossConfig(law=Law(0, 0, 1, 1, 0), context_noise=0, drop_actions=0, memoryless=0),
    )
    optimizer = torch.optim.Adam(model.network.parameters(), lr=3e-3)
    history = []
    for step in range(300):
        loss, _ = timeline_loss(model, batch, config, torch.Generator().manual_seed(step))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        history.append(loss.item())
    assert sum(history[-10:]) < 0.6 * sum(history[:10])


def test_a_dream_is_shown_in_the_place_of_the_frame_where_there_is_one_and_the_truth_stays_the_goal(
    model: WorldModel,
) -> None:
    batch = random_batch(model)
    perfect = {name: batch.values[name] for name in ("video.front", "video.top")}
    wrong = {name: x + 5 for name, x in perfect.items()}
    known = torch.ones_like(batch.dream_known)
    always = replace(FORWARD, dreamed=1.0)
    plain = terms(model, replace(batch, dreamed=wrong), always)  # nothing of it is known
    asleep = terms(model, replace(batch, dreamed=wrong, dream_known=known), always)
    assert terms(model, replace(batch, dreamed=perfect, dream_known=known), always) == pytest.approx(plain)
    assert asleep["video.front"] > plain["video.front"] and asleep["progress"] != plain["progress"]


def test_numbers_that_a_robot_has_not_cost_nothing_whatever_their_value(model: WorldModel) -> None:
    batch = random_batch(model)
    has = torch.arange(16) < 10
    masked = replace(batch, has={"action": has.expand(3, 1, 1, -1)})
    predicted, target = torch.randn(3, 4, 1, 16), batch.values["action"]
    error = absolute_error(predicted, target, 0.1, masked.has["action"])
    torch.testing.assert_close(
        error, absolute_error(predicted, torch.where(has, target, 7.0), 0.1, masked.has["action"])
    )
    torch.testing.assert_close(error, absolute_error(predicted[..., :10], target[..., :10], 0.1, None))
    assert terms(model, masked, INVERSE)["action"] != terms(model, batch, INVERSE)["action"]
