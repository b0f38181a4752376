"""Loading rate: random windows of 8 frames from two cameras, beside lerobot's own loader on the same files.

The videos are encoded the way lerobot encodes by default (AV1, a key frame every second frame, crf 30, preset 12), from
what Meta-World shows at 64 pixels, presage's own size, and at 256, LIBERO's. Both sides load with two workers and equal
batches, and nothing is done with the batches. What a step of `presage train` draws is measured beside them: rows whose
frames were decoded once, into the cache, as tensors on one thread. lerobot reads through torch's DataLoader, with
whichever of its video backends is faster, and hands out uint8 where its version can.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.lerobot_env import VARIABLE, ask, environments
from presage.episodes.dataset import Dataset
from presage.episodes.loader import Loader
from presage.episodes.mixture import Mixture
from presage.episodes.video import same_priority
from presage.episodes.windows import Windows
from presage.systems.reference import reference
from presage.systems.system import DEBUG
from presage.training.held import held, pick
from presage.training.recorded import read_recorded, shape_of
from presage.worlds.behaviours import CHUNK
from presage.worlds.collect import collect
from presage.worlds.instructions import MT10

SIZES = (64, 256)
WINDOW, BATCH, WORKERS, HORIZON = 8, 16, 2, 4
OURS = ("video", "cache", "training")
ROUNDS = 2
"""Every side is measured this often, taking turns; its best round counts, since other programs only ever slow it down.
"""
LEROBOT_ENCODING = {"g": "2", "crf": "30", "preset": "12"}


def run(args: BenchArgs) -> dict[str, Any]:
    """`episodes` per task to load from: 8, about 3,500 rows.

    A sample is one window: 8 frames of both cameras and 8 actions. `ratio_video`, `ratio_cache` and `ratio_training`,
    ours over theirs, are those of the size where we do worse; None where no environment with lerobot is named.
    """
    sizes = SIZES[:1] if args.quick else SIZES
    pythons = environments()
    if not pythons:
        print(f"loading: lerobot is not measured; {VARIABLE} names no environment that has it", file=sys.stderr)
    figures: dict[str, Any] = {f"ratio_{name}": None for name in OURS}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            recorded, lerobot_encoded = _datasets(Path(folder) / str(size), size, args)
            figures |= _measure(recorded, lerobot_encoded, size, pythons[:1], 12 if args.quick else 100)
    for name in OURS:
        ratios = [figures[f"ratio_{name}/{size}"] for size in sizes if f"ratio_{name}/{size}" in figures]
        figures[f"ratio_{name}"] = min(ratios, default=None)
    return figures | {"window": WINDOW, "batch": BATCH, "workers": WORKERS, "cameras": 2}


def _measure(recorded: Path, encoded: Path, size: int, pythons: list[Path], batches: int) -> dict[str, Any]:
    """Samples per second of every side, at one size."""
    rates: dict[str, float] = {}
    facts: dict[str, Any] = {f"rows/{size}": Dataset(encoded).num_rows}
    for _ in tqdm(range(ROUNDS), desc=f"loading, {size} pixels", unit="round"):
        found = {
            "video": loading_rate(Loader([Dataset(encoded)], BATCH, WINDOW, **_options()), batches),
            "cache": loading_rate(
                Loader([Dataset(encoded)], BATCH, WINDOW, size=size, cached=True, **_options()), batches
            ),
            "training": training_rate(Dataset(encoded), size, batches),
            "own_encoding": loading_rate(Loader([Dataset(recorded)], BATCH, WINDOW, **_options()), batches),
        }
        for python in pythons:
            answer = ask(python, "load", encoded, WINDOW, BATCH, WORKERS, batches)
            found |= {f"lerobot_{backend}": rate for backend, rate in answer["rates"].items()}
            facts["lerobot"] = answer["lerobot"]
            if answer["failed"]:
                facts["lerobot_backends_failed"] = json.dumps(answer["failed"])
        rates = {name: max(rate, rates.get(name, 0.0)) for name, rate in found.items()}
    figures = {f"samples_per_s_{name}/{size}": rate for name, rate in rates.items()}
    theirs = max((rate for name, rate in rates.items() if name.startswith("lerobot_")), default=None)
    if theirs is not None:
        figures |= {f"ratio_{name}/{size}": rates[name] / theirs for name in OURS}
    return facts | figures


def _options() -> dict[str, Any]:
    return {"columns": ["action"], "threads": WORKERS, "horizon": HORIZON}


def loading_rate(loader: Loader, batches: int) -> float:
    """Windows per second, from one horizon's end to another's: within a horizon batches are ready all at once."""
    measured = -(-batches // loader.horizon) * loader.horizon
    steps = loader.batches()
    for _ in islice(steps, 3 * loader.horizon):
        pass
    start = time.perf_counter()
    for _ in islice(steps, measured):
        pass
    rate = measured * loader.batch / (time.perf_counter() - start)
    steps.close()
    return rate


def training_rate(dataset: Dataset, size: int, batches: int) -> float:
    """Windows per second of what a training's step draws, pictures as they are."""
    recorded = read_recorded(dataset, list(dataset.cameras), size, CHUNK)
    shape = shape_of(recorded)
    model = reference(shape, DEBUG).build(shape)
    rows = [held(model, recorded)]
    drawn = Mixture([Windows(recorded.length, WINDOW)], [1.0])
    pick(model, rows, drawn.sample(BATCH), pictures=True)
    start = time.perf_counter()
    for _ in range(batches):
        pick(model, rows, drawn.sample(BATCH), pictures=True)
    return batches * BATCH / (time.perf_counter() - start)


def _datasets(root: Path, size: int, args: BenchArgs) -> tuple[Path, Path]:
    """(as presage records it, the same with lerobot's encoding): rows, episodes and frame times are equal."""
    own, theirs = root / "own", root / "lerobot"
    collect(own, MT10, 1 if args.quick else args.episodes or 8, args.seed, size=size, workers=WORKERS, supersample=1)
    shutil.copytree(own, theirs)
    info = json.loads((theirs / "meta/info.json").read_text())
    for feature in info["features"].values():
        if feature["dtype"] == "video":
            feature["info"] |= {"video.codec": "av1", "video.pix_fmt": "yuv420p", "video.crf": 30, "video.preset": 12}
    (theirs / "meta/info.json").write_text(json.dumps(info))
    for path in sorted(theirs.rglob("*.mp4")):
        encode_as_lerobot(path)
    return own, theirs


def encode_as_lerobot(path: Path) -> None:
    """Encode a video again with lerobot's default settings."""
    os.environ.setdefault("SVT_LOG", "1")  # the encoder talks otherwise
    hidden = path.with_suffix(".av1")
    with same_priority(), av.open(str(path)) as source, av.open(str(hidden), "w", format="mp4") as target:
        video = source.streams.video[0]
        stream = target.add_stream("libsvtav1", rate=video.average_rate, options=LEROBOT_ENCODING)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"  # type: ignore[union-attr]
        for frame in source.decode(video):
            image = frame.reformat(format="yuv420p")
            image.pts, image.time_base = frame.pts, frame.time_base
            target.mux(stream.encode(image))  # type: ignore[union-attr]
        target.mux(stream.encode())  # type: ignore[union-attr]
    os.replace(hidden, path)
