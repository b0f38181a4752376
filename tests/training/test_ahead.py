"""Pictures some rows later as targets: of the same episode, and of patches whose brightness does not count."""

import numpy as np
import torch

from presage.training.ahead import foreseen, normalised_patches, numbers, rows_ahead
from tests.recorded import moving_square


def test_a_row_ahead_is_of_the_same_episode() -> None:
    assert rows_ahead(np.array([3, 2]), 2).tolist() == [2, 2, 2, 4, 4]


def test_a_patch_keeps_its_shape_and_loses_its_brightness() -> None:
    images = torch.randint(0, 100, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = normalised_patches(images, 4)
    assert x.shape == (2, 16, numbers(16, 4))
    torch.testing.assert_close(x, normalised_patches(images + 100, 4), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(x.mean(-1), torch.zeros(2, 16), atol=1e-4, rtol=0)


def test_the_target_of_a_row_is_what_a_later_row_shows() -> None:
    recorded = moving_square(episodes=2, rows=8)
    data = {"labelled": recorded, "free": recorded.without_labels(range(2))}
    made = foreseen({"future.front": "image.front"}, 4, 3, ("labelled", "free", "elsewhere"))(None, data)
    assert len(made.length) == 4 and made.labelled.sum() == 16
    later = normalised_patches(torch.from_numpy(recorded.frames["image.front"][[3, 7]]), 4).half().numpy()
    np.testing.assert_array_equal(made.latents["future.front"][[0, 6]], later)


def test_shuffled_video_has_the_same_pictures_in_each_episode_in_another_order() -> None:
    recorded = moving_square(episodes=2, rows=8)
    mixed = recorded.shuffled()
    for rows in (slice(0, 8), slice(8, 16)):
        assert sorted(map(tuple, mixed.state[rows])) == sorted(map(tuple, recorded.state[rows]))
        assert mixed.state[rows].tolist() != recorded.state[rows].tolist()
