"""How a frame is composed: copied with a change, recalled or painted, pixel by pixel."""

import pytest
import torch
from torch import Tensor

from presage.codecs.pixels import PixelCodec, PixelCodecConfig
from presage.networks.compositing import Change, Composite

SIZE, PATCH, CAMERAS = 8, 2, 2
PLACE = 3 * PATCH**2
NEWEST, OLDEST, PAINT = range(3)


def frames(seed: int) -> Tensor:
    """(1, V * C, G, G) as a U-Net holds the tokens of two cameras."""
    images = torch.randint(0, 256, (CAMERAS, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(seed))
    tokens = PixelCodec(PixelCodecConfig(SIZE, PATCH)).encode(images)
    return tokens.transpose(1, 2).reshape(1, CAMERAS * PLACE, SIZE // PATCH, SIZE // PATCH)


def answer(choose: int, paint: Tensor | None = None, change: float = 0.0) -> Tensor:
    """The output that takes every pixel from one source."""
    grid = SIZE // PATCH
    blank = torch.zeros(CAMERAS, PLACE, grid, grid)
    logits = torch.zeros(CAMERAS, PATCH**2, Composite.SOURCES, grid, grid)
    logits[:, :, choose] = 50.0
    colours = blank if paint is None else paint.view(CAMERAS, PLACE, grid, grid)
    return torch.cat([colours, logits.flatten(1, 2), blank + change], 1).flatten(0, 1)[None]


@pytest.mark.parametrize(("choose", "seed"), [(NEWEST, 1), (OLDEST, 2), (PAINT, 3)])
def test_every_pixel_comes_from_the_source_that_is_chosen(choose: int, seed: int) -> None:
    head, newest, oldest, paint = Composite(CAMERAS * PLACE, CAMERAS), frames(1), frames(2), frames(3)
    out = head(answer(choose, paint), newest, oldest)
    torch.testing.assert_close(out, {1: newest, 2: oldest, 3: paint}[seed])


@pytest.mark.parametrize(("choose", "by"), [(NEWEST, 0.25), (OLDEST, 0.0), (PAINT, 0.0)])
def test_a_change_is_one_of_the_newest_frame_alone(choose: int, by: float) -> None:
    head, newest, oldest, paint = Composite(CAMERAS * PLACE, CAMERAS), frames(1), frames(2), frames(3)
    plain, changed = (head(answer(choose, paint, change), newest, oldest) for change in (0.0, 0.25))
    torch.testing.assert_close(changed, plain + by)


def test_odds_of_the_oldest_frame_are_those_it_is_mixed_in_with() -> None:
    head, newest, oldest = Composite(CAMERAS * PLACE, CAMERAS), frames(1), frames(2)
    said = torch.randn(1, head.channels, SIZE // PATCH, SIZE // PATCH, generator=torch.Generator().manual_seed(0)) / 4
    share = head.recalled(said).sigmoid()
    brighter = head(said, newest, oldest + 1) - head(said, newest, oldest)
    torch.testing.assert_close(share, brighter)
    assert 0 < float(share.min()) < float(share.max()) < 1


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


def test_a_place_must_hold_a_square_of_coloured_pixels() -> None:
    with pytest.raises(ValueError, match="a place of 10 numbers is no square of coloured pixels"):
        Composite(20, 2)
