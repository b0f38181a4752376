"""What the robot looks like is taught alone; a frame is carried to another state, and keeps what is not the robot's."""

from pathlib import Path

import numpy as np
import torch

from presage.networks.world_model import WorldModel
from presage.timeline.levels import Plan
from presage.timeline.session import Session
from presage.timeline.streams import STATE
from presage.training.data import Rows
from presage.training.renderer import RendererTraining, train_renderer
from tests.tiny import tiny_chunk, tiny_model, tiny_observation
from tests.training.test_dreams import small_rows

CONFIG = RendererTraining(steps=300, batch=64, save_every=100)


def seen_rows(model: WorldModel) -> Rows:
    """Frames that show the first number of the state in every latent number of the first camera, and noise."""
    rows = small_rows(model, [20] * 20)
    rng = np.random.default_rng(1)
    rows.state[:] = rng.uniform(-1, 1, rows.state.shape)
    rows.latents[:] = 0.1 * rng.standard_normal(rows.latents.shape)
    rows.latents[:, 0] += rows.state[:, :1, None].astype(np.float16)
    return rows


def test_it_learns_what_a_state_looks_like(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = tiny_model()
    rows = seen_rows(model)
    train_renderer(model, [(rows, 1.0)], CONFIG, tmp_path)
    assert model.renderer is not None
    state, text = torch.from_numpy(rows.state), torch.from_numpy(rows.text[rows.instruction])
    front, top = model.renderer(state, text).chunk(2, 1)
    assert (front - state[:, :1]).abs().mean() < 0.15 and top.abs().mean() < 0.15


def test_a_frame_that_is_carried_away_and_back_is_the_same() -> None:
    model = tiny_model()
    session = Session(model, ["push"] * 2)
    newest = {name: x[:, None] for name, x in session.observe(tiny_observation(2)).values.items()}
    there = torch.randn(2, 1, 1, 4)
    away = model.carry(newest, there, session.text)
    assert set(away) == {"video.front", "video.top"} and not torch.allclose(away["video.top"], newest["video.top"])
    back = model.carry({**away, STATE: there}, newest[STATE], session.text)
    for name, x in back.items():
        torch.testing.assert_close(x, newest[name], atol=1e-4, rtol=0)


def test_a_network_that_says_nothing_shows_the_robot_carried_to_where_the_action_leads_given_or_proposed() -> None:
    model = tiny_model()
    for output in model.network.outputs.values():
        torch.nn.init.zeros_(output.weight)
        torch.nn.init.zeros_(output.bias)
    session = Session(model, ["push"])
    newest = {name: x[:, None] for name, x in session.observe(tiny_observation(1)).values.items()}
    led_to = session.moved(model.encode_action(tiny_chunk(1)))
    assert led_to is not None
    carried = model.carry(newest, led_to[:, None], session.text)
    rolled = session.fork(1).roll(tiny_chunk(1)).values
    torch.testing.assert_close(rolled["video.front"], carried["video.front"][:, 0].clamp(-6, 6), atol=1e-4, rtol=0)
    proposed = model.propose(newest, session.text)
    assert proposed is not None
    meant = session.moved(proposed[:, 0])
    assert meant is not None
    planned = session.imagine(Plan.video_only(1)).values
    carried = model.carry(newest, meant[:, None], session.text)
    torch.testing.assert_close(planned["video.front"], carried["video.front"][:, 0].clamp(-6, 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(planned[STATE], meant)


def test_a_model_without_one_is_left_alone(tmp_path: Path) -> None:
    model = tiny_model()
    model.renderer = None
    train_renderer(model, [], CONFIG, tmp_path / "none")
    assert not (tmp_path / "none").exists() and model.carry({}, torch.zeros(1, 1, 1, 4), torch.zeros(1, 256)) == {}
