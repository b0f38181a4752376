"""How a frame is composed: copied, warped, recalled or painted, pixel by pixel."""

import pytest
import torch
from torch import Tensor

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.compositing import Change, Composite, warped

SIZE, PATCH, CAMERAS = 8, 2, 2
PLACE = 3 * PATCH**2
NEWEST, OLDEST, PAINT, WARP = range(4)


def frames(seed: int) -> Tensor:
    """(1, V * C, G, G) as a U-Net holds the tokens of two cameras."""
    images = torch.randint(0, 256, (CAMERAS, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(seed))
    tokens = PixelCodec(PixelCodecConfig(SIZE, PATCH)).encode(images)
    return tokens.transpose(1, 2).reshape(1, CAMERAS * PLACE, SIZE // PATCH, SIZE // PATCH)


def answer(head: Composite, choose: int, paint: Tensor | None = None, flow: tuple[float, float] = (0, 0)) -> Tensor:
    """The output that takes every pixel from one source."""
    grid = SIZE // PATCH
    blank = torch.zeros(CAMERAS, PLACE, grid, grid)
    logits = torch.zeros(CAMERAS, PATCH**2, head.sources, grid, grid)
    logits[:, :, choose] = 50.0
    shifts = torch.tensor(flow).view(1, 2, 1, 1).expand(CAMERAS, 2, grid, grid)
    colours = blank if paint is None else paint.view(CAMERAS, PLACE, grid, grid)
    return torch.cat([colours, logits.flatten(1, 2), shifts[:, : 2 * head.warps]], 1).flatten(0, 1)[None]


@pytest.mark.parametrize(("choose", "seed"), [(NEWEST, 1), (OLDEST, 2), (PAINT, 3)])
def test_every_pixel_comes_from_the_source_that_is_chosen(choose: int, seed: int) -> None:
    head, newest, oldest, paint = Composite(CAMERAS * PLACE, CAMERAS), frames(1), frames(2), frames(3)
    out = head(answer(head, choose, paint), newest, oldest)
    torch.testing.assert_close(out, {1: newest, 2: oldest, 3: paint}[seed])


def test_a_warp_moves_the_newest_frame_by_pixels() -> None:
    head, newest = Composite(CAMERAS * PLACE, CAMERAS, warps=1), frames(1)
    one_right = float(torch.atanh(torch.tensor(1 / 8.0)))  # of at most eight pixels
    out = head(answer(head, WARP, flow=(one_right, 0.0)), newest, frames(2))
    before, after = head._pixels(newest), head._pixels(out)
    torch.testing.assert_close(after[..., :-1], before[..., 1:], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(after[..., -1], before[..., -1], atol=1e-5, rtol=1e-4)  # nothing is beyond the border


def test_at_first_nearly_all_stays_as_it_is() -> None:
    head, newest = Composite(CAMERAS * PLACE, CAMERAS), frames(1)
    out = head(torch.zeros(1, head.channels, SIZE // PATCH, SIZE // PATCH), newest, frames(2))
    assert (out - newest).abs().mean() < 0.15 * newest.abs().mean()


def test_a_change_keeps_what_it_is_not_sure_of() -> None:
    head, newest, paint = Change(CAMERAS * PLACE, CAMERAS), frames(1), frames(3)
    kept = head(torch.cat([paint, torch.full_like(paint, -50.0)], 1), newest, newest)
    painted = head(torch.cat([paint, torch.full_like(paint, 50.0)], 1), newest, newest)
    torch.testing.assert_close(kept, newest)
    torch.testing.assert_close(painted, paint)


def test_without_a_flow_there_is_no_warp() -> None:
    assert warped(torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 0, SIZE, SIZE)) == []


def test_a_place_must_hold_a_square_of_coloured_pixels() -> None:
    with pytest.raises(ValueError, match="a place of 10 numbers is no square of coloured pixels"):
        Composite(20, 2)
