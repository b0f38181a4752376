"""Loading rate: what a step of `presage train` draws, beside lerobot's own loader on the same files.

`presage train` decodes every frame once, into the cache, and draws random windows from there, on the thread that
trains. lerobot decodes each window when it is drawn, in workers of torch's DataLoader. So two figures of presage stand
beside one of lerobot's: windows a second, and the seconds that decoding takes before the first of them. Windows have 8
frames of two cameras and 8 actions, batches are equal, and nothing is done with them.

The videos are encoded the way lerobot encodes by default (AV1, a key frame every second frame, crf 30, preset 12), from
what Meta-World shows at 64 pixels, presage's own size, and at 256, LIBERO's. lerobot reads with whichever of its video
backends is faster, and hands out uint8 where its version can.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
from tqdm import tqdm

from presage.benchmarks.common import BenchArgs
from presage.benchmarks.lerobot_env import VARIABLE, ask, environments
from presage.episodes.cache import frame_cache
from presage.episodes.dataset import Dataset
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
WINDOW, BATCH, WORKERS = 8, 16, 2
ROUNDS = 2
"""Every side is measured this often, taking turns; its best round counts, since other programs only ever slow it down.
"""
LEROBOT_ENCODING = {"g": "2", "crf": "30", "preset": "12"}


def run(args: BenchArgs) -> dict[str, Any]:
    """`episodes` per task to load from: 8, about 3,500 rows.

    A sample is one window. `ratio`, ours over theirs, is that of the size where we do worse. `paid_after` is how many
    windows, drawn by each, take equally long when decoding ahead counts as ours: the larger one of the sizes. Both are
    None where no environment with lerobot is named.
    """
    sizes = SIZES[:1] if args.quick else SIZES
    pythons = environments()
    if not pythons:
        print(f"loading: lerobot is not measured; {VARIABLE} names no environment that has it", file=sys.stderr)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            encoded = _dataset(Path(folder) / str(size), size, args)
            figures |= _measure(encoded, size, pythons, 12 if args.quick else 100)
    totals = {
        "ratio": min((figures[f"ratio/{size}"] for size in sizes if pythons), default=None),
        "paid_after": max((figures[f"paid_after/{size}"] for size in sizes if pythons), default=None),
    }
    return totals | figures | {"window": WINDOW, "batch": BATCH, "workers": WORKERS, "cameras": 2}


def _measure(encoded: Path, size: int, pythons: list[Path], batches: int) -> dict[str, Any]:
    """Samples per second of both sides, and what decoding ahead took, at one size."""
    rates: dict[str, float] = {}
    facts: dict[str, Any] = {f"rows/{size}": Dataset(encoded).num_rows}
    decoding = float("inf")
    for _ in tqdm(range(ROUNDS), desc=f"loading, {size} pixels", unit="round"):
        decoding = min(decoding, decoding_seconds(Dataset(encoded), size))
        found = {"training": training_rate(Dataset(encoded), size, batches)}
        for python in pythons:
            answer = ask(python, "load", encoded, WINDOW, BATCH, WORKERS, batches)
            found |= {f"lerobot_{answer['lerobot']}_{backend}": rate for backend, rate in answer["rates"].items()}
            if answer["failed"]:
                facts[f"lerobot_{answer['lerobot']}_failed/{size}"] = json.dumps(answer["failed"])
        rates = {name: max(rate, rates.get(name, 0.0)) for name, rate in found.items()}
    figures = {f"samples_per_s_{name}/{size}": rate for name, rate in rates.items()}
    figures[f"decoding_s/{size}"] = decoding
    theirs = max((rate for name, rate in rates.items() if name.startswith("lerobot_")), default=None)
    if theirs is not None:
        figures[f"ratio/{size}"] = rates["training"] / theirs
        figures[f"paid_after/{size}"] = decoding / (1 / theirs - 1 / rates["training"])
    return facts | figures


def decoding_seconds(dataset: Dataset, size: int) -> float:
    """To decode every frame into the cache."""
    shutil.rmtree(dataset.root / ".cache", ignore_errors=True)
    start = time.perf_counter()
    frame_cache(dataset, list(dataset.cameras), size)
    return time.perf_counter() - start


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


def _dataset(root: Path, size: int, args: BenchArgs) -> Path:
    """What presage records, with lerobot's encoding."""
    collect(root, MT10, 1 if args.quick else args.episodes or 8, args.seed, size=size, workers=WORKERS, supersample=1)
    info = json.loads((root / "meta/info.json").read_text())
    for feature in info["features"].values():
        if feature["dtype"] == "video":
            feature["info"] |= {"video.codec": "av1", "video.pix_fmt": "yuv420p", "video.crf": 30, "video.preset": 12}
    (root / "meta/info.json").write_text(json.dumps(info))
    for path in sorted(root.rglob("*.mp4")):
        encode_as_lerobot(path)
    return root


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
