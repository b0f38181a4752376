"""What `bench loading` and `bench interop` let LeRobot do: run by the Python of an environment that has lerobot.

    python lerobot_side.py version
    python lerobot_side.py write EPISODES.npz ROOT FPS      write a dataset with LeRobotDataset
    python lerobot_side.py read ROOT REQUEST.npz OUT.npz    read all rows, and windows, with LeRobotDataset
    python lerobot_side.py load ROOT WINDOW BATCH WORKERS BATCHES   measure its loader

Nothing of presage is imported: that environment need not have it. Answers are one line of JSON or an .npz file.
"""

import inspect
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

DEFAULT_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
WARM_UP = 8  # batches before the clock starts: workers have started, files are open


def _dataset(root: str, **options: Any) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    known = inspect.signature(LeRobotDataset.__init__).parameters
    return LeRobotDataset("presage/interop", root=root, **{k: v for k, v in options.items() if k in known})


def version() -> dict[str, str]:
    from importlib.metadata import version as installed

    return {name: installed(name) for name in ("lerobot", "torch", "torchcodec", "av")}


def write(episodes: str, root: str, fps: str) -> dict[str, Any]:
    """EPISODES.npz holds `<episode>/<feature>` arrays (T, ...) and `<episode>/task`; uint8 (T, H, W, 3) is a camera."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    arrays = dict(np.load(episodes))
    count = len({name.split("/")[0] for name in arrays})
    names = [name.split("/", 1)[1] for name in arrays if name.startswith("0/") and name != "0/task"]
    features = {}
    for name in names:
        value = arrays[f"0/{name}"]
        camera = value.dtype == np.uint8 and value.ndim == 4
        features[name] = {
            "dtype": "video" if camera else value.dtype.name,
            "shape": value.shape[1:] or (1,),
            "names": ["height", "width", "channels"] if camera else None,
        }
    dataset = LeRobotDataset.create("presage/interop", fps=int(fps), features=features, root=root, use_videos=True)
    for episode in range(count):
        for t in range(len(arrays[f"{episode}/{names[0]}"])):
            row = {name: arrays[f"{episode}/{name}"][t] for name in names}
            row = {name: np.array([value]) if np.ndim(value) == 0 else value for name, value in row.items()}
            dataset.add_frame({**row, "task": str(arrays[f"{episode}/task"])})
        dataset.save_episode()
    dataset.finalize()
    return {"rows": len(dataset)}


def read(root: str, request: str, out: str) -> dict[str, Any]:
    """REQUEST.npz: `window` rows and `starts` (W,) of windows.

    OUT.npz: `rows/<feature>` (R, ...) with `rows/task`; `frames/<camera>/<backend>` (R, H, W, 3) uint8;
    `windows/<feature>` (W, N, ...), `windows/<feature>_is_pad`; `stats/<feature>/<figure>`; `backends` that worked.
    """
    asked = np.load(request)
    window, starts = int(asked["window"]), asked["starts"]
    found: dict[str, np.ndarray] = {}
    worked, failed = [], {}
    for backend in ("pyav", "torchcodec"):
        dataset = _dataset(root, video_backend=backend)
        cameras = list(dataset.meta.video_keys)
        try:
            items = [dataset[i] for i in range(len(dataset))]
        except Exception as error:  # noqa: BLE001  # a backend may lack its libraries: that is a result too
            failed[backend] = str(error).strip().splitlines()[0][:200]
            continue
        worked.append(backend)
        for camera in cameras:
            found[f"frames/{camera}/{backend}"] = np.stack([_pixels(item[camera]) for item in items])
        names = [n for n in dataset.meta.features if n not in cameras]
        found |= {f"rows/{name}": np.stack([np.asarray(item[name]) for item in items]) for name in names}
        found["rows/task"] = np.array([item["task"] for item in items])
    deltas = {name: [i / dataset.fps for i in range(window)] for name in [*cameras, "action"]}
    windows = _dataset(root, video_backend=worked[0], delta_timestamps=deltas)
    items = [windows[int(start)] for start in starts]
    for camera in cameras:
        found[f"windows/{camera}"] = np.stack([_pixels(item[camera]) for item in items])
    found["windows/action"] = np.stack([np.asarray(item["action"]) for item in items])
    for name in [*cameras, "action"]:
        found[f"windows/{name}_is_pad"] = np.stack([np.asarray(item[f"{name}_is_pad"]) for item in items])
    for name, figures in dataset.meta.stats.items():
        found |= {f"stats/{name}/{figure}": np.asarray(value) for figure, value in figures.items()}
    np.savez(out, **found)  # type: ignore[arg-type]
    return {"rows": len(dataset), "backends": worked, "failed": failed}


def _pixels(image: Any) -> np.ndarray:
    """float (..., C, H, W) in 0..1 or uint8 -> uint8 (..., H, W, C)."""
    array = np.asarray(image)
    if array.dtype != np.uint8:
        array = np.rint(array * 255).astype(np.uint8)
    return np.moveaxis(array, -3, -1)


def load(root: str, window: str, batch: str, workers: str, batches: str) -> dict[str, Any]:
    """Samples per second of random windows through torch's DataLoader, for each video backend."""
    import torch

    rates: dict[str, float] = {}
    failed = {}
    for backend in ("torchcodec", "pyav"):
        try:
            rates[backend] = _rate(torch, root, int(window), int(batch), int(workers), int(batches), backend)
        except Exception as error:  # noqa: BLE001  # a backend may lack its libraries: that is a result too
            failed[backend] = str(error).strip().splitlines()[0][:200]
    return {"rates": rates, "failed": failed, **version()}


def _rate(torch: Any, root: str, window: int, batch: int, workers: int, batches: int, backend: str) -> float:
    probe = _dataset(root)
    names = [*probe.meta.video_keys, "action"]
    deltas = {name: [i / probe.fps for i in range(window)] for name in names}
    # return_uint8, where this version has it, spares the conversion to float and three quarters of the traffic.
    dataset = _dataset(root, delta_timestamps=deltas, video_backend=backend, return_uint8=True)
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size=batch,
        sampler=torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=batch * (batches + WARM_UP)),
        num_workers=workers,
        prefetch_factor=2,
    )
    start = 0.0
    for number, found in enumerate(loader):
        assert found[names[0]].shape[:2] == (batch, window)
        if number == WARM_UP - 1:
            start = time.perf_counter()
    return batch * batches / (time.perf_counter() - start)


if __name__ == "__main__":
    commands: dict[str, Callable[..., dict[str, Any]]] = {
        "version": version,
        "write": write,
        "read": read,
        "load": load,
    }
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])))
