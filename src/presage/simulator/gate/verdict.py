"""Does the model listen to its actions? A rule on measured dreams, with an interval over episodes.

*Listens*: on the pixels that move, over the first `HEARD` steps, the error with the actions of other episodes is more
than `MARGIN` times the error with the true ones, and on the pixels that move there or in the dream, the dream is better
than the copied frame, each with its whole interval. *Does not listen*: with actions of other episodes the error is
surely less than that, and no other wrong actions make it more; or they do, and the dream is surely worse than the
copied frame, so that what they change is no motion. *Cannot tell*: all else, fewer than `LEAST_EPISODES` episodes, or
nothing that moves.

Both conditions are needed. Frames of a network of random weights may change with the actions, and now and then in the
right direction, but are worse than the copied frame; a copied frame is as good as itself, whatever is done. And where
all recorded episodes do the same, the actions of others are as good as the true ones: then only the other wrong actions
could show that a model listens, so it is not said that it does not.

Shapes: B clips, N steps, C cameras.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from presage.measures.statistics import Interval, expanded, percentile_bounds, resample_counts
from presage.simulator.gate.clips import WRONG
from presage.simulator.gate.measure import COPY, MEAN, TRUE, Measured

Says = Literal["listens", "does not listen", "cannot tell"]
HEARD = 8
"""Steps that the verdict is about: later the errors of a dream are mostly those of its earlier steps"""
MARGIN = 1.1
LEAST_EPISODES = 8
LEAST_SHARE = 0.002
"""of the pixels that have to move, on average over frames: fewer may be noise of a camera"""
FLOOR = 1.0
"""Squared levels that are added to every error: nothing that is truer than 8 bits is truer"""
RESAMPLES = 4_000


@dataclass(frozen=True)
class Verdict:
    """rise: wrong actions -> error with them over error with the true ones. over_copy: error over the copied
    frame's. episodes: how many there were."""

    says: Says
    reason: str
    rise: dict[str, Interval]
    over_copy: Interval
    episodes: int
    steps: int


def judge(found: Measured, seed: int = 0) -> Verdict:
    """The verdict on what was measured."""
    steps = min(HEARD, found.steps)
    moving, changed = (_errors(found, region, steps) for region in ("moving", "changed"))
    rise = {name: ratio(moving[name], moving[TRUE], found.episode, seed) for name in WRONG}
    over_copy = ratio(changed[TRUE], changed[COPY], found.episode, seed)
    episodes = len(np.unique(found.episode))
    share = float(found.pixels["moving"][:, :steps].sum() / found.pixels["all"][:, :steps].sum())
    says, reason = _rule(rise, over_copy, episodes, share)
    return Verdict(says, reason, rise, over_copy, episodes, steps)


def _errors(found: Measured, region: str, steps: int) -> dict[str, np.ndarray]:
    """Whose frames -> (B,) sums over the first steps"""
    rounding = FLOOR * found.pixels[region][:, :steps].sum((1, 2))
    return {name: regions[region][:, :steps].sum((1, 2)) + rounding for name, regions in found.error.items()}


def _rule(rise: dict[str, Interval], over_copy: Interval, episodes: int, moving: float) -> tuple[Says, str]:
    others, worse = rise["other episode"], over_copy.low > 1
    if episodes < LEAST_EPISODES:
        return "cannot tell", f"{episodes} episodes, at least {LEAST_EPISODES} are needed"
    if moving < LEAST_SHARE:
        return "cannot tell", "hardly anything moves in the recordings"
    if others.low > MARGIN and over_copy.high < 1:
        return "listens", "other episodes' actions make the dream wrong"
    if others.low > MARGIN:
        return "cannot tell", "actions change the dream, but it is not surely better than the copied frame"
    if others.high >= MARGIN:
        return "cannot tell", "the interval holds both answers; give more episodes"
    heard = [name for name, interval in rise.items() if interval.high >= MARGIN]
    if not heard:
        return "does not listen", "with wrong actions the dream is as right as with the true ones"
    if worse:
        return "does not listen", "other episodes' actions do as well, and the copied frame is better than the dream"
    return "cannot tell", f"other episodes' actions do as well, {heard[0]} may not: do all episodes do the same?"


def ratio(upper: np.ndarray, lower: np.ndarray, episode: np.ndarray, seed: int = 0) -> Interval:
    """Sum of `upper` over sum of `lower`, both (B,) of clips, with the 95 % interval of a bootstrap over episodes (B,).

    Few episodes have an expanded percentile interval, since the plain one is then too narrow.
    """
    _, place = np.unique(episode, return_inverse=True)
    above, below = (np.bincount(place, weights=x) for x in (upper, lower))
    n = len(above)
    if not below.sum() > 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    value = float(above.sum() / below.sum())
    counts = resample_counts(n, RESAMPLES, seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (counts @ above) / (counts @ below)
    low, high = percentile_bounds(drawn, expanded(n))
    return Interval(value, min(low, value), max(high, value))


def beats_until(found: Measured, camera: int | None = None, seed: int = 0) -> int:
    """How many steps, from the first on, the dream is surely better than the copied and than the mean frame, over all
    pixels of one camera or of all."""
    chosen = slice(None) if camera is None else slice(camera, camera + 1)
    for step in range(found.steps):
        here = {name: found.error[name]["all"][:, step, chosen].sum(1) for name in (TRUE, COPY, MEAN)}
        if any(not ratio(here[TRUE], here[other], found.episode, seed).high < 1 for other in (COPY, MEAN)):
            return step
    return found.steps
