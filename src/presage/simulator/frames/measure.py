"""Figures of a video model, read from its frames alone, in scenes whose truth the simulator knows.

Shapes: E episodes, N imagined frames, C cameras of S pixels.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from presage.measures.correlation import pearson
from presage.measures.frames import frozen, region_psnr, sharpness
from presage.measures.statistics import Interval, bootstrap_mean, wilson
from presage.simulator.frames.imagine import Imagines, Shown
from presage.simulator.frames.readers import MORE, NONE, Reader, Reading, read
from presage.simulator.frames.scenes import STEPS, Scenes, scenes
from presage.simulator.frames.staging import setting_of
from presage.worlds.world import OBJECT, ROBOT

Figures = dict[str, float]
BATCH = 64
"""Episodes that are imagined together"""
LOST = 16.0
"""Pixels that count as the error of an object which is gone: a quarter of the picture"""
UNMOVED = 1.0
"""Pixels that an object has to move to count as moved: readers are less wrong than that"""
CLOSE = 3.0
"""Pixels within which an object is where it should be"""
SHUFFLED_STEPS = 4


def evaluation_scenes(seed: int, scale: float = 1.0, workers: int = 2, world: str = "metaworld") -> list[Scenes]:
    """All kinds, on evaluation seeds that belong to `--seed`; `scale` of the published number."""
    counts = setting_of(world).counts
    return [scenes(kind, max(2, round(scale * n)), seed, workers=workers, world=world) for kind, n in counts.items()]


def tuning_scenes(
    counts: Mapping[str, int] | None = None, steps: int = 32, workers: int = 2, world: str = "metaworld"
) -> list[Scenes]:
    """Some kinds on tuning seeds, of at most `steps` steps."""
    counts = counts or setting_of(world).tuning
    return [scenes(kind, n, tuning=True, steps=steps, workers=workers, world=world) for kind, n in counts.items()]


def shown_of(given: Scenes, chosen: slice = slice(None), states: bool = True) -> Shown:
    """What a model is shown of the chosen episodes."""
    past = given.past
    return Shown(
        given.frames[chosen, :past],
        given.actions[chosen, : past - 1],
        given.states[chosen, :past] if states else None,
        given.instruction[chosen],
        given.setting.cameras,
    )


def dream(imagine: Imagines, given: Scenes, steps: int | None = None, actions: np.ndarray | None = None) -> np.ndarray:
    """Frames (E, N, C, S, S, 3) uint8 imagined of all episodes with their own actions, or with others (E, N, 4, A)."""
    actions = given.actions[:, given.past - 1 :] if actions is None else actions
    parts = [slice(i, i + BATCH) for i in range(0, len(given), BATCH)]
    return np.concatenate([imagine(shown_of(given, part), actions[part, :steps]) for part in parts])


def measure(
    imagine: Imagines,
    given: Iterable[Scenes],
    reader: Reader,
    reconstruct: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Figures:
    """All figures that the scenes allow.

    reconstruct: frames (E, C, S, S, 3) as the model's codec gives them back, for the floor `codec_...`.
    """
    figures: Figures = {}
    for each in given:
        frames = dream(imagine, each)
        figures |= fidelity(each, frames, reader, reconstruct) if each.kind == "expert" else {}
        figures |= wandering(imagine, each, frames, reader) if each.kind == "wander" else {}
        figures |= counterfactual(each, frames, reader) if each.kind == "branch" else {}
        figures |= gliding(each, frames, reader) if each.kind == "sliding" else {}
        figures |= outcomes(each, frames, reader) if each.kind in ("knock", "miss", "open", "moved", "removed") else {}
    return figures


# -- how true the frames are ------------------------------------------------------------------------------------------


def regions(given: Scenes, step: int) -> dict[str, np.ndarray]:
    """Region -> (E, C, S, S) bool of the true frame: what shows the robot, an object that has moved, one that has not,
    and all else."""
    shown, moved = given.at(given.segments, step), given.moved(step)[:, None, None, None]
    return {
        "robot": shown == ROBOT,
        "object_moved": (shown == OBJECT) & moved,
        "object_still": (shown == OBJECT) & ~moved,
        "background": (shown != OBJECT) & (shown != ROBOT),
        "all": np.ones_like(shown, bool),
    }


def fidelity(
    given: Scenes, frames: np.ndarray, reader: Reader, reconstruct: Callable[[np.ndarray], np.ndarray] | None = None
) -> Figures:
    """PSNR by region after 1, 8, ... steps beside the copied frame, the robot redrawn and the codec's floor; places of
    hand and object read from the frames; sharpness.

    All pixels of a region count alike, so those of a door outvote those of a puck: `object_moved_psnr_STEP/TASK` is of
    the objects of one task, `object_moved_task_psnr_STEP` the mean over tasks.
    """
    figures: Figures = {}
    for number, step in enumerate(s for s in STEPS if s <= frames.shape[1]):
        truth = given.at(given.frames, step)
        shown = {"": frames[:, step - 1], "copy_": given.at(given.frames, 0), "redrawn_": given.redrawn[:, number]}
        if reconstruct is not None:
            shown["codec_"] = reconstruct(truth)
        for region, mask in regions(given, step).items():
            for whose, images in shown.items():
                figures[f"{whose}{region}_psnr_{step}"] = region_psnr(images, truth, mask)
                if region == "object_moved":
                    alone = by_task(given, images, truth, mask)
                    figures[f"{whose}object_moved_task_psnr_{step}"] = _mean(np.array(list(alone.values())))
                    if not whose:
                        figures |= {f"object_moved_psnr_{step}/{task}": x for task, x in alone.items()}
        for whose in [name for name in shown if name in ("", "codec_")]:
            figures[f"{whose}sharpness_{step}"] = sharpness(shown[whose], truth)
        for whose, images in (("", shown[""]), ("copy_", shown["copy_"]), ("reader_", truth)):
            figures |= {f"{whose}{k}": x for k, x in places(given, step, images, reader).items()}
    return figures


def by_task(given: Scenes, images: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Task -> PSNR of a region of its episodes, for tasks that show one."""
    rows = {task: np.array([each == task for each in given.task]) for task in dict.fromkeys(given.task)}
    return {task: region_psnr(images[row], truth[row], mask[row]) for task, row in rows.items() if mask[row].any()}


def places(given: Scenes, step: int, images: np.ndarray, reader: Reader) -> Figures:
    """Mean errors in pixels: of the hand, of objects that have moved, and of all that the truth shows; the share of
    these that are gone, and that are there twice; and by how many degrees those are turned wrongly that have moved and
    are not gone."""
    seen = read(reader, images, given.task)
    error, gone, known = object_errors(given, step, seen)
    moved = known & given.moved(step)
    figures = {f"hand_px_{step}": hand_error(given, step, seen), **averaged(f"object_px_{step}", error[moved])}
    figures |= {f"any_object_px_{step}": _mean(error[known]), f"object_gone_{step}": _mean(gone[known])}
    figures[f"object_twins_{step}"] = _mean(twins(given, step, seen)[known])
    if given.end is not None and seen.end is not None:
        true = given.at(given.end, step) - given.at(given.object, step)
        figures[f"object_degrees_{step}"] = _mean(_between(true, seen.end - seen.object)[moved & ~gone])
    return figures


def _between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(E,) degrees between directions (E, C, 2), the mean over cameras."""
    crossed = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return np.degrees(np.abs(np.arctan2(crossed, (one * other).sum(-1)))).mean(-1)


def hand_error(given: Scenes, step: int, seen: Reading) -> float:
    """Mean error of the hand in pixels, where the truth shows it."""
    distance = np.linalg.norm(seen.hand - given.at(given.hand, step), axis=-1)
    return _mean(distance[given.hand_in_view(step)])


def object_errors(given: Scenes, step: int, seen: Reading) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each episode (E,), over the cameras in which the truth shows the object: the mean error of its place in pixels
    (`LOST` in a camera where it is gone); whether it is gone from all; and whether the truth shows it at all."""
    visible = given.visible(step)
    error = np.linalg.norm(seen.object - given.at(given.object, step), axis=-1)
    gone = np.asarray(seen.count == NONE)
    error = np.where(gone, np.maximum(error, LOST), error)
    known: np.ndarray = np.any(visible, axis=1)
    count = visible.sum(1).clip(1)
    lost: np.ndarray = known & np.all(gone | ~visible, axis=1)
    return (error * visible).sum(1) / count, lost, known


def twins(given: Scenes, step: int, seen: Reading) -> np.ndarray:
    """(E,) whether there is more than one object where the truth shows one."""
    return np.asarray(((seen.count == MORE) & given.visible(step)).any(1))


def outcomes(given: Scenes, frames: np.ndarray, reader: Reader) -> Figures:
    """`KIND_within_3px`, `KIND_gone`, `KIND_twins`: shares of objects that end where they do in truth, that are gone,
    and that are there twice; of a removed object, `removed_stays_gone`. `copy_...`: had nothing happened;
    `reader_...`: the true frames read.

    A hand that misses may touch all the same, and an open one may push: `KIND_still_within_3px` and
    `KIND_stirred_within_3px` are of objects that truly stay where they are, and of the others.
    """
    last, kind = frames.shape[1], given.kind
    figures: Figures = {}
    shown = {"": frames[:, -1], "copy_": given.at(given.frames, 0), "reader_": given.at(given.frames, last)}
    for whose, images in shown.items():
        seen = read(reader, images, given.task)
        if kind == "removed":
            figures |= shared(f"{whose}removed_stays_gone", (seen.count == NONE).all(1))
            continue
        error, gone, known = object_errors(given, last, seen)
        close, moved = error <= CLOSE, given.moved(last)
        figures |= shared(f"{whose}{kind}_within_3px", close[known])
        if kind in ("miss", "open"):
            figures |= shared(f"{whose}{kind}_still_within_3px", close[known & ~moved])
            figures |= shared(f"{whose}{kind}_stirred_within_3px", close[known & moved])
        figures[f"{whose}{kind}_gone"] = _mean(gone[known])
        figures[f"{whose}{kind}_twins"] = _mean(twins(given, last, seen)[known])
        figures[f"{whose}{kind}_px"] = _mean(error[known])
    return figures


# -- whether they follow the actions ----------------------------------------------------------------------------------


def wandering(imagine: Imagines, given: Scenes, frames: np.ndarray, reader: Reader) -> Figures:
    """Of long random motion: `frozen`, the hand after 32 and 64 steps, and `shuffle_ratio`: squared error of the first
    frames with another episode's actions over that with the true ones."""
    truth = given.frames[:, given.past :]
    few = truth[:, :SHUFFLED_STEPS]
    other = np.roll(given.actions[:, given.past - 1 :], 1, axis=0)
    wrong = dream(imagine, given, SHUFFLED_STEPS, other)
    figures = {
        "frozen": frozen(frames, truth),
        "shuffle_ratio": _squared(wrong, few) / max(_squared(frames[:, :SHUFFLED_STEPS], few), 1e-9),
    }
    for step in (s for s in (32, 64) if s <= frames.shape[1]):
        figures[f"wander_hand_px_{step}"] = hand_error(given, step, read(reader, frames[:, step - 1], given.task))
    return figures


def counterfactual(given: Scenes, frames: np.ndarray, reader: Reader) -> Figures:
    """Pearson's r between where different actions from one start bring hand and object, in the frames and in truth."""
    last = frames.shape[1]
    true, visible = given.at(given.object, last) - given.at(given.object, 0), given.visible(last)
    figures: Figures = {}
    for whose, images in (("", frames[:, -1]), ("reader_", given.at(given.frames, last))):
        seen = read(reader, images, given.task)
        hands = seen.hand, given.at(given.hand, last), given.hand_in_view(last)
        figures[f"{whose}counterfactual_r_hand"] = _agreement(given, *hands)
        figures[f"{whose}counterfactual_r_object"] = _agreement(given, _motion(given, seen), true, visible)
    return figures


def gliding(given: Scenes, frames: np.ndarray, reader: Reader) -> Figures:
    """`mass_r`: Pearson's r between how far the same push moves objects that differ in how they glide, dreamed and in
    truth, when an earlier push has shown it."""
    last = frames.shape[1]
    visible = given.visible(last) & given.visible(0)
    true = np.linalg.norm(given.at(given.object, last) - given.at(given.object, 0), axis=-1, keepdims=True)
    figures: Figures = {}
    for whose, images in (("", frames[:, -1]), ("reader_", given.at(given.frames, last))):
        far = np.linalg.norm(_motion(given, read(reader, images, given.task)), axis=-1, keepdims=True)
        figures[f"{whose}mass_r"] = _agreement(given, far, true, visible)
    return figures


def _motion(given: Scenes, seen: Reading) -> np.ndarray:
    """(E, C, 2) pixels from where the object was to where it is read; none where that may be an error of reading."""
    way = seen.object - given.at(given.object, 0)
    return way * (np.linalg.norm(way, axis=-1, keepdims=True) > UNMOVED)


def _agreement(given: Scenes, dreamed: np.ndarray, true: np.ndarray, known: np.ndarray) -> float:
    """Pearson's r over episodes and cameras of (E, C, D), each centred within its group where `known` (E, C); 0 where
    one of both never changes."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for group in np.unique(given.group):
        for camera in range(known.shape[1]):
            rows = np.flatnonzero((given.group == group) & known[:, camera])
            if len(rows) > 1:
                both = dreamed[rows, camera], true[rows, camera]
                pairs.append((both[0] - both[0].mean(0), both[1] - both[1].mean(0)))
    if not pairs:
        return float("nan")
    x, y = (np.concatenate([pair[i].ravel() for pair in pairs]).astype(np.float64) for i in (0, 1))
    return pearson(x, y, resamples=1).value if min(x.std(), y.std()) > 1e-6 else 0.0


def _squared(frames: np.ndarray, truth: np.ndarray) -> float:
    return float(np.square(frames.astype(np.float32) - truth).mean())


def averaged(name: str, values: np.ndarray) -> Figures:
    """The mean over episodes, with the bounds of a bootstrap over them and their number."""
    if not len(values):
        return {name: float("nan"), f"{name}_episodes": 0.0}
    return {**bounded(name, bootstrap_mean(values)), f"{name}_episodes": len(values)}


def shared(name: str, held: np.ndarray) -> Figures:
    """The share of episodes in which something holds, with Wilson's bounds and their number."""
    if not len(held):
        return {name: float("nan"), f"{name}_episodes": 0.0}
    return {**bounded(name, wilson(int(held.sum()), len(held))), f"{name}_episodes": len(held)}


def bounded(name: str, found: Interval) -> Figures:
    """An estimate and its bounds."""
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
