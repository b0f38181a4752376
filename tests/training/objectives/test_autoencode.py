"""A codec is trained as a stage: on pictures alone, its latents of about unit variance."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from presage.systems.parts import codec_stage
from presage.systems.system import DEBUG
from presage.systems.uwm import uwm
from presage.training.batch import Batch
from presage.training.loop import Optimiser
from presage.training.objectives.autoencode import Autoencode
from presage.training.recorded import encoded, shape_of
from presage.training.stage import Stage, train_stages
from tests.recorded import batch_of, moving_square


def test_a_codec_learns_pictures_and_the_scale_of_its_latents(tmp_path: Path) -> None:
    recorded = moving_square(episodes=10)
    torch.manual_seed(0)
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    network = {name: x.clone() for name, x in model.network.state_dict().items()}
    frames = recorded.frames["image.front"]

    def error() -> float:
        shown = model.decode_images({"image.front": model.encode_pictures("image.front", frames)})["image.front"]
        return float(((shown.astype(float) - frames) ** 2).mean())

    fresh = error()
    optimiser = Optimiser(steps=50, batch=8, lr=5e-3, warmup=5, ema=0.9)
    stage = Stage("codec", Autoencode(follow=0.1), ("codecs",), window=1, optimiser=optimiser, raw=True)
    train_stages(model, [stage], {"labelled": recorded}, tmp_path, {}, quiet=True)

    assert error() < 0.2 * fresh
    latents = encoded(model, recorded).latents["image.front"].astype(float)
    assert abs(latents.mean()) < 0.3 and 0.5 < latents.std() < 1.5
    assert all(torch.equal(x, network[name]) for name, x in model.network.state_dict().items())


def test_latents_that_are_there_stay() -> None:
    recorded = moving_square()
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    once = encoded(model, recorded)
    torch.nn.init.zeros_(next(model.codecs.parameters()))
    assert encoded(model, once).latents["image.front"] is once.latents["image.front"]


def test_its_stage_asks_for_pictures() -> None:
    assert codec_stage(DEBUG, {"free": 1.0}).raw and codec_stage(DEBUG, {"free": 1.0}).modules == ("codecs",)


def test_pixels_weigh_by_how_far_they_are_from_the_mean_picture_of_their_instruction() -> None:
    """Two rows a window: every picture is compared with the four of its instruction, and with no other."""
    recorded = moving_square(episodes=4)
    said = replace(recorded, text=np.eye(2, recorded.text.shape[1], dtype=np.float32)[[0, 0, 1, 1]],
                   instruction=np.repeat(np.arange(4), recorded.length))  # fmt: skip
    model = uwm(shape_of(recorded), DEBUG).build(shape_of(recorded))
    index = np.arange(2) + np.cumsum([0, *recorded.length[:-1]])[:, None]
    batch = batch_of(model, [said], (np.zeros(4, int), index, np.zeros((4, 2), bool)), pictures=True)

    def errors(batch: Batch) -> torch.Tensor:
        """Beside that of the first picture: all are divided by the mean weight of the batch."""
        (term,) = Autoencode(noise=0.0)(model, batch, torch.Generator().manual_seed(0)).values()
        assert term.error.shape == (4, 2) and term.weight.all()
        return term.error.detach() / term.error[0, 0].item()

    dark = batch.pictures["image.front"].clone()
    dark[3] = 0
    before, after = errors(batch), errors(replace(batch, pictures={"image.front": dark}))
    torch.testing.assert_close(after[:2], before[:2], rtol=1e-3, atol=0)
    assert ((after[2] / before[2] - 1).abs() > 0.05).all()
