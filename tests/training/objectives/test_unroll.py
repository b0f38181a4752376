"""Unrolled training: a step's past is what the model said, and the loss is what a dreaming session's error is."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.device import FP32_VARIABLE
from presage.networks.composed import Composed
from presage.networks.unet import UNet, UNetConfig
from presage.timeline.corruption import Regress
from presage.timeline.levels import GIVEN, UNKNOWN, Levels, Role, Schedule, Uniform
from presage.timeline.session import Session
from presage.timeline.streams import Stream
from presage.training.batch import Batch
from presage.training.objectives.denoise import Denoise
from presage.training.objectives.unroll import Unroll
from presage.training.recorded import shape_of
from tests.recorded import ACTIONS, CHUNK, SIZE, batch_of, moving_square

RECORDED = moving_square(4, rows=8)
PAST, ROWS = 2, 6
R = "recalled.seen"
FORWARD = Denoise(Levels((Role(UNKNOWN, GIVEN),)))
UNROLL = Unroll(FORWARD, past=PAST, own=1.0, short=0.0)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FP32_VARIABLE, "1")


def model_of() -> Composed:
    torch.manual_seed(0)
    codec = PixelCodec(PixelCodecConfig(SIZE, 2))
    streams = [
        Stream("done", 1, CHUNK * ACTIONS, acts=True, source="action"),
        Stream("seen", codec.config.tokens, codec.config.token_dim, Regress("l1", limit=1.0), source="image.front"),
        Stream("felt", 1, 2, Regress("l1"), source="state"),
    ]
    config = UNetConfig(("seen",), (8, 16), 16, 1, 2, past=PAST, head="composite")
    network = UNet(streams, config)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.06)  # so small that nothing leaves the range of pictures
    return Composed(streams, {"image.front": codec}, network, shape_of(RECORDED), context=ROWS).eval()


def windows(model: Composed) -> Batch:
    """The beginnings of the first two episodes."""
    index = np.array([np.arange(ROWS), np.arange(ROWS) + 8])
    return batch_of(model, [RECORDED], (np.zeros(2, int), index, np.zeros((2, ROWS), bool)))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def errors(model: Composed, dreaming: bool) -> list[float]:
    """L1 of each step after the first three rows, in a session that dreams on, or sees the truth after each."""
    session = Session(model, torch.from_numpy(RECORDED.text[[0, 0]]))
    out = []
    for i in range(ROWS):
        rows = [i, 8 + i]
        truth = {"image.front": RECORDED.frames["image.front"][rows], "state": RECORDED.state[rows]}
        if i <= PAST:
            session.observe(truth)
            continue
        done = RECORDED.action[[i - 1, 7 + i]]
        values = session.imagine(Schedule.forward(1), {"done": model.encode_action(done)}).values
        out.append(float((values["seen"] - model.encode(truth)["seen"]).abs().mean()))
        if dreaming:
            session.append(values, imagined=True)
        else:
            session.observe(truth, done)
    return out


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_the_loss_is_the_error_of_a_session_that_dreams_or_is_shown_the_truth(own: float) -> None:
    model = model_of()
    term = replace(UNROLL, own=own)(model, windows(model), generator())["seen"]
    np.testing.assert_allclose(term.error.mean(0).detach(), errors(model, own == 1.0), rtol=1e-4)
    other = errors(model, own != 1.0)
    assert abs(float(term.error[:, -1].detach().mean()) - other[-1]) > 1e-4  # the two are not the same


def test_a_dream_goes_on_from_the_truth_where_nobody_recorded_the_action() -> None:
    model, batch = model_of(), windows(model_of())
    unknown = replace(batch, present={"done": torch.zeros(2, ROWS, dtype=torch.bool)})
    dreaming, shown = (replace(UNROLL, own=own)(model, unknown, generator())["seen"] for own in (1.0, 0.0))
    torch.testing.assert_close(dreaming.error, shown.error)


def test_a_dream_is_asked_at_full_noise_whatever_other_windows_are() -> None:
    model = model_of()
    easier = replace(UNROLL, ask=Denoise(Levels((Role(0.0, 0.5),))))
    said = easier(model, windows(model), generator())["seen"]
    dreamed = UNROLL(model, windows(model), generator())["seen"]
    torch.testing.assert_close(said.error, dreamed.error)
    assert said.weight.all()
    shown = replace(easier, own=1e-9)(model, windows(model), generator())
    assert "seen" not in shown or not shown["seen"].weight.any()


def test_a_hidden_stream_is_unknown_in_half_of_the_windows() -> None:
    model, batch = model_of(), windows(model_of())
    other = replace(batch, values=batch.values | {"felt": batch.values["felt"] + 1})
    hidden = replace(UNROLL, hidden=("felt",))
    changed = []
    for seed in range(20):
        a, b = (hidden(model, x, torch.Generator().manual_seed(seed))["seen"].error[:, 0] for x in (batch, other))
        changed += (a != b).tolist()
    assert 0.25 < np.mean(changed) < 0.75


def test_some_batches_begin_like_a_session_with_little_past() -> None:
    model, batch = model_of(), windows(model_of())
    early = batch.values["seen"].clone()
    early[:, 0] += 1  # the first row of the window alone
    other = replace(batch, values=batch.values | {"seen": early})
    seen = []
    for seed in range(30):
        some = replace(UNROLL, short=0.5)
        a, b = (some(model, x, torch.Generator().manual_seed(seed))["seen"].error for x in (batch, other))
        seen.append(bool((a != b).any()))
    assert 0 < sum(seen) < 30


def test_actions_are_asked_for_beside_the_dream() -> None:
    model = model_of()
    asking = replace(UNROLL, alone=Uniform(1.0))
    terms = asking(model, windows(model), generator())
    assert set(terms) == {"done.alone", "seen", "felt"}
    assert terms["done.alone"].error.shape == (2, 1) and terms["seen"].error.shape == (2, ROWS - 1 - PAST)


def test_who_sees_the_newest_frame_alone_is_asked_what_to_do_at_every_row_that_is_known() -> None:
    model, batch = model_of(), windows(model_of())
    blind = replace(UNROLL, ask=replace(FORWARD, memoryless=1.0), alone=Uniform(1.0))
    for own, rows in ((1.0, PAST), (0.0, ROWS - 2)):  # in a dream, those before it; else all after the second
        term = replace(blind, own=own)(model, batch, generator())["done.alone"]
        assert term.error.shape == (2, rows) and term.weight.all()


def test_what_was_chosen_by_nobody_able_is_not_learned() -> None:
    model, batch = model_of(), windows(model_of())
    assert batch.quality is not None
    quality = batch.quality.clone()
    quality[0], quality[1] = 0.0, float("nan")
    asking = replace(UNROLL, alone=Uniform(1.0))
    term = asking(model, replace(batch, quality=quality), generator())["done.alone"]
    assert term.weight.tolist() == [[0.0], [1.0]]


def test_windows_that_end_before_the_first_question_are_refused() -> None:
    model = model_of()
    with pytest.raises(ValueError, match="a window of 6 rows has none to ask for after 6"):
        replace(UNROLL, past=5)(model, windows(model), torch.Generator())


ANCHORED = replace(UNROLL, anchored=True)


@pytest.mark.parametrize("own", [0.0, 1.0])
def test_what_the_oldest_picture_still_shows_is_to_be_taken_from_it(own: float) -> None:
    model, batch = model_of().train(), windows(model_of())
    still, other = batch.values["seen"].clone(), batch.values["seen"].clone()
    still[:] = still[:, :1]
    other[:] = torch.where(other[:, :1] > 0, other[:, :1] - 0.5, other[:, :1] + 0.5)
    other[:, 0] = batch.values["seen"][:, 0]
    terms = [
        replace(ANCHORED, own=own)(model, replace(batch, values=batch.values | {"seen": x}), generator())
        for x in (still, other)
    ]
    for right, which in zip(terms, (-1, 1)):
        # Where all pixels are the same the error is -log p of the oldest, where none is, -log (1 - p) of it.
        right[R].error.sum().backward()
        gradient = model.network.paint.bias.grad
        assert gradient is not None
        model.network.zero_grad()
        choice = gradient.view(-1)[12:24].view(-1, 3)  # logits of newest, oldest and paint, pixel by pixel
        assert (choice[:, 1] * which > 0).all() and (choice[:, 0] * which < 0).all()


def test_a_pixel_that_is_the_same_within_the_compression_of_films_is_the_same() -> None:
    model, batch = model_of().train(), windows(model_of())
    still = batch.values["seen"][:, :1].expand_as(batch.values["seen"]).clamp(-0.5, 0.5)

    def error(levels: float) -> float:
        moved = still.clone()
        moved[:, 1:] += levels * 2 / 255
        values = batch.values | {"seen": moved}
        term = replace(ANCHORED, own=0.0)(model, replace(batch, values=values), generator())[R]
        return float(term.error.detach().mean())

    assert error(7.0) == pytest.approx(error(1.0), rel=0.05)
    assert abs(error(9.0) - error(7.0)) > 0.1


def test_what_counts_as_the_oldest_is_what_a_session_saw_first() -> None:
    model, batch = model_of().train(), windows(model_of())
    early = batch.values["seen"].clone()
    early[:, 0] = -early[:, 0]  # the first row of the window alone
    differ = []
    for seed in range(20):
        some = replace(ANCHORED, short=0.5)
        a, b = (
            some(model, replace(batch, values=batch.values | {"seen": x}), torch.Generator().manual_seed(seed))
            for x in (batch.values["seen"], early)
        )
        differ.append((bool((a["seen"].error != b["seen"].error).any()), bool((a[R].error != b[R].error).any())))
    assert all(shown == asked for shown, asked in differ) and 0 < sum(asked for _, asked in differ) < 20


def test_a_place_counts_by_what_was_seen_there_first_too() -> None:
    """Else a small thing that has left may come back: wood where it lay is as common as anywhere."""
    model, batch = model_of().train(), windows(model_of())
    emphasis = torch.ones_like(batch.values["seen"])
    emphasis[:, 0, 5] = 1e6
    wrong = batch.values["seen"].clone()
    wrong[:, 1:, 5] += 1.0  # at that place alone
    batch = replace(batch, emphasis={"seen": emphasis})
    anchored, plain = (
        [
            unroll(model, replace(batch, values=batch.values | {"seen": x}), generator())["seen"].error.detach().mean()
            for x in (batch.values["seen"], wrong)
        ]
        for unroll in (replace(ANCHORED, own=0.0), replace(UNROLL, own=0.0))
    )
    assert abs(anchored[1] - anchored[0]) > 10 * abs(plain[1] - plain[0])


def test_where_pictures_are_given_nothing_is_asked_of_them() -> None:
    model, given = model_of().train(), Denoise(Levels((Role(GIVEN, UNKNOWN),)))
    terms = replace(ANCHORED, ask=given, own=0.0)(model, windows(model), generator())
    assert "done" in terms and R not in terms and "seen" not in terms


def test_no_network_that_is_used_says_where_its_pixels_are_from() -> None:
    model = model_of()
    assert not any(name.startswith("recalled") for name in ANCHORED(model, windows(model), generator()))
