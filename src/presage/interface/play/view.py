"""What of a moment is sent to be drawn."""

import numpy as np

from presage.interface.play.dream import Moment

WIDEST = 16.0
"""Grey levels of disagreement that are drawn brightest."""


def planes(moment: Moment) -> list[tuple[str, str, np.ndarray]]:
    """(what, camera, picture): `imagined` and `real` (S, S, 3) uint8, `spread` (S, S) uint8, 255 for `WIDEST`."""
    out = []
    for what, observation in (("imagined", moment.row.imagined), ("real", moment.row.real)):
        for name, image in (observation or {}).items():
            if name.startswith("image."):
                out.append((what, name.removeprefix("image."), image[0]))
    for camera, deviation in moment.spread.items():
        out.append(("spread", camera, (deviation * (255 / WIDEST)).clip(0, 255).astype(np.uint8)))
    return out
