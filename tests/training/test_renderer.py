"""What the robot looks like is trained alone; a frame is carried to another state, and keeps what is not the
robot's."""

from pathlib import Path

import numpy as np
import torch

from presage.networks.base import step
from presage.networks.names import STATE
from presage.networks.world_model import WorldModel
from presage.timeline.levels import Schedule
from presage.timeline.session import Session
from presage.training.data import Rows
from presage.training.renderer import RendererTraining, renderer_loss, sequences, train_renderer
from tests.tiny import tiny_chunk, tiny_model, tiny_observation
from tests.training.test_dreams import small_rows

CONFIG = RendererTraining(steps=300, batch=64, save_every=100)


def seen_rows(model: WorldModel) -> Rows:
    """Frames that show the first number of the state in every latent number of the first camera, turned round in half
    of the episodes, which a mark in the second camera tells; and something that stays as it is."""
    rows = small_rows(model, [20] * 20)
    rng = np.random.default_rng(1)
    rows.state[:] = rng.uniform(-1, 1, rows.state.shape)
    for i, start in enumerate(rows.start):
        episode, sign = slice(start, start + 20), 1 if i % 2 else -1
        rows.latents[episode] = rng.standard_normal(rows.latents.shape[1:])
        rows.latents[episode, 0] += sign * rows.state[episode, :1, None].astype(np.float16)
        rows.latents[episode, 1, 0] = sign
    return rows


def test_it_learns_what_a_state_looks_like_in_a_frame_that_it_reads(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = tiny_model()
    rows = seen_rows(model)
    train_renderer(model, [(rows, 1.0)], CONFIG, tmp_path, {})
    assert model.renderer is not None
    then, now = rows.start, rows.start + 7
    frame, text = torch.from_numpy(rows.latents).float().flatten(1), torch.from_numpy(rows.text[rows.instruction])
    state = torch.from_numpy(rows.state)
    carried = model.renderer.carry(frame[then], state[then], state[now], text[then])
    still, left = ((x - frame[now]).square().mean() for x in (frame[then], carried))
    assert left < 0.2 * still


def test_windows_are_rows_at_equal_distances_of_one_episode() -> None:
    model = tiny_model()
    rows = small_rows(model, [16])
    index = np.minimum(np.arange(13) + np.array([[0], [5]]), 15)
    drawn = (np.zeros(2, int), index, np.array([[False] * 13, [False] * 11 + [True] * 2]))
    batch = sequences([rows], drawn, np.array([1, 4]))
    np.testing.assert_array_equal(batch.state.numpy(), rows.state[[[0, 1, 2, 3], [5, 9, 13, 15]]])
    assert batch.valid.tolist() == [[True] * 4, [True, True, True, False]]


def test_padding_teaches_nothing() -> None:
    model = tiny_model()
    assert model.renderer is not None
    batch = sequences(
        [small_rows(model, [16])], (np.zeros(1, int), np.zeros((1, 13), int), np.ones((1, 13), bool)), np.ones(1, int)
    )
    assert renderer_loss(model.renderer, batch) == 0


def test_a_robot_that_stays_where_it_is_changes_nothing() -> None:
    model = tiny_model()
    session = Session(model, ["push"] * 2)
    newest = {name: x[:, None] for name, x in session.observe(tiny_observation(2)).values.items()}
    stayed = model.carry(newest, newest[STATE], session.condition.text)
    away = model.carry(newest, torch.randn(2, 1, 1, 4), session.condition.text)
    assert set(away) == {"video.front", "video.top"}
    for name, x in stayed.items():
        torch.testing.assert_close(x, newest[name])
        assert not torch.allclose(away[name], newest[name])


def test_a_network_that_says_nothing_shows_the_robot_where_the_given_action_leads_or_that_of_the_base_policy() -> None:
    model = tiny_model()
    for output in model.network.outputs.values():
        torch.nn.init.zeros_(output.weight)
        torch.nn.init.zeros_(output.bias)
    session = Session(model, ["push"])
    newest = {name: x[:, None] for name, x in session.observe(tiny_observation(1)).values.items()}
    led_to = model.base.reach(session.last.carried, model.encode_action(tiny_chunk(1)))
    assert led_to is not None
    carried = model.carry(newest, led_to[:, None], session.condition.text)
    rolled = step(session.fork(1), tiny_chunk(1)).values
    torch.testing.assert_close(rolled["video.front"], carried["video.front"][:, 0].clamp(-6, 6), atol=1e-4, rtol=0)
    chunk = model.base_policy(newest, session.condition.text)
    assert chunk is not None
    meant = model.base.reach(session.last.carried, chunk[:, 0])
    assert meant is not None
    planned = session.imagine(Schedule.video(1)).values
    carried = model.carry(newest, meant[:, None], session.condition.text)
    torch.testing.assert_close(planned["video.front"], carried["video.front"][:, 0].clamp(-6, 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(planned[STATE], meant)


def test_a_model_without_one_is_left_alone(tmp_path: Path) -> None:
    model = tiny_model()
    model.renderer = None
    train_renderer(model, [], CONFIG, tmp_path / "none", {})
    assert not (tmp_path / "none").exists() and model.carry({}, torch.zeros(1, 1, 1, 4), torch.zeros(1, 256)) == {}
