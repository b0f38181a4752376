"""Readers find hand and object in real frames, follow them by known pixels, and miss an object that is gone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from presage.errors import UserError
from presage.simulator.frames.fit_readers import cells, errors, examples, fit, spoil
from presage.simulator.frames.placed import EMPTY, FULL, OTHER, SEEN, SIZE, Placed
from presage.simulator.frames.readers import MORE, NONE, ONE, SHIPPED, Reader, load_reader, place, read
from presage.training.part import PartTraining


def seen(data: Placed) -> np.ndarray:
    """(N, C) whether a moment shows its object well inside the picture."""
    inside = ((data.objects[:, 0] > 4) & (data.objects[:, 0] < SIZE - 4)).all(-1)
    return inside & (data.masks[:, 0].sum((-2, -1)) > 2 * SEEN)


def test_hand_and_puck_are_read_to_a_pixel(reader: Reader, pushed: Placed) -> None:
    found = read(reader, pushed.images[:, FULL], ["push-v3"] * len(pushed))
    thing = np.linalg.norm(found.object - pushed.objects[:, 0], axis=-1)[seen(pushed)]
    hand = np.linalg.norm(found.hand - pushed.hands, axis=-1)
    assert np.median(thing) < 0.7 and np.median(hand) < 0.7
    assert (found.count[seen(pushed)] == ONE).mean() > 0.9


def test_a_vanished_puck_is_gone_and_a_second_one_is_noticed(reader: Reader, pushed: Placed) -> None:
    tasks = ["push-v3"] * len(pushed)
    assert (read(reader, pushed.images[:, EMPTY], tasks).count == NONE).mean() > 0.9
    both = (pushed.masks.sum((-2, -1)) > 2 * SEEN).all(1) & (
        np.linalg.norm(pushed.objects[:, 0] - pushed.objects[:, 1], axis=-1) > 10
    )
    twins = np.where(pushed.masks[:, 1, ..., None], pushed.images[:, OTHER], pushed.images[:, FULL])
    assert (read(reader, twins, tasks).count[both] == MORE).mean() > 0.7


def test_a_blurred_puck_is_still_there(reader: Reader, pushed: Placed) -> None:
    whole = torch.from_numpy(pushed.images[:, FULL]).flatten(0, 1).float()
    blurred = spoil(whole, torch.Generator().manual_seed(0)).view(pushed.images[:, FULL].shape)
    found = read(reader, blurred.numpy().astype(np.uint8), ["push-v3"] * len(pushed))
    thing = np.linalg.norm(found.object - pushed.objects[:, 0], axis=-1)
    assert np.median(thing[seen(pushed)]) < 1.2
    assert (found.count[seen(pushed)] == NONE).mean() < 0.2


def test_the_puck_moved_by_known_pixels_is_read_there(reader: Reader, pushed: Placed) -> None:
    """Its pixels, cut out and put elsewhere on the empty table."""
    moment, camera = next(
        (i, c) for i in range(len(pushed)) for c in range(2)
        if seen(pushed)[i, c] and (np.abs(pushed.objects[i, 0, c] - pushed.hands[i, c]) > 16).any()
        and (np.abs(pushed.objects[i, 0, c] - 32) < 20).all()
    )  # fmt: skip
    full, empty = (pushed.images[moment, kind].copy() for kind in (FULL, EMPTY))
    mask = np.roll(pushed.masks[moment, 0, camera], (-3, 5), (0, 1))
    empty[camera] = np.where(mask[..., None], np.roll(full[camera], (-3, 5), (0, 1)), empty[camera])
    found = read(reader, np.stack([full, empty]), ["push-v3"] * 2).object[:, camera]
    assert found[1] - found[0] == pytest.approx([5, -3], abs=1)


def test_a_place_is_told_apart_within_a_cell() -> None:
    at = torch.tensor([[20.3, 41.7], [5.0, 60.0]])
    shares, inside = cells(at, SIZE // 2)
    assert inside.all() and shares.sum((1, 2)) == pytest.approx([1, 1])
    assert place(shares.clamp(min=1e-9).log()).numpy() == pytest.approx(at.numpy(), abs=0.01)
    assert cells(torch.tensor([[70.0, 20.0]]), SIZE // 2)[1].tolist() == [False]


def test_what_fades_is_gone_and_what_is_half_here_half_there_is_two(pushed: Placed) -> None:
    shown = examples(pushed, np.arange(len(pushed)).repeat(20), np.random.default_rng(0))
    assert set(shown.count.tolist()) == {-1, NONE, ONE, MORE}
    assert shown.images.shape[1:] == (SIZE, SIZE, 3) and shown.images.min() >= 0 and shown.images.max() < 255.1


def test_training_lowers_the_errors(pushed: Placed, tmp_path: Path) -> None:
    fitted = fit(pushed, tmp_path / "fit", PartTraining(steps=12, batch=8, lr=3e-3, warmup=3), quiet=True)
    assert errors(fitted, pushed)["hand_px"] < errors(Reader().eval(), pushed)["hand_px"]


def test_the_shipped_readers_are_small() -> None:
    assert SHIPPED.stat().st_size < 1_000_000


def test_what_cannot_be_read_is_refused(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="64 pixels"):
        read(reader, np.zeros((1, 2, 32, 32, 3), np.uint8), ["push-v3"])
    with pytest.raises(UserError, match="no reader knows the object of soccer-v3"):
        read(reader, np.zeros((1, 2, 64, 64, 3), np.uint8), ["soccer-v3"])
    with pytest.raises(UserError, match="presage bench readers"):
        load_reader(tmp_path / "none.safetensors")
