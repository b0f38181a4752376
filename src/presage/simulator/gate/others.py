"""Somebody else's model: any object with `start(frames, instruction)` and `step(actions) -> frames`.

    class Mine:
        def start(self, frames, instruction): ...       # camera -> (P, S, S, 3) uint8, the oldest first
        def step(self, actions): ...                     # (chunk, A) float32 -> camera -> (S, S, 3) uint8

`docs/somebody_elses_model.md` says more. Shapes: P frames that are shown, S pixels a side, A numbers of an action,
B clips, N steps, C cameras.
"""

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from presage.errors import UserError
from presage.simulator.frames.imagine import Imagines, Shown

Frames = Mapping[str, np.ndarray]
"""Camera -> uint8 (..., S, S, 3)"""


class Dreamer(Protocol):
    """A video model that takes actions, one dream at a time."""

    def start(self, frames: Frames, instruction: str) -> None:
        """Forget the past and begin where `frames`, camera -> (P, S, S, 3) uint8, end."""
        ...

    def step(self, actions: np.ndarray) -> Frames:
        """What `actions` (chunk, A) float32 lead to: camera -> (S, S, 3) uint8."""
        ...


def load(name: str) -> Dreamer:
    """The model that `module:object` names, seen from the folder that presage was started in: the object itself, or
    what a class or function without arguments gives. That folder stays on the path, for what the model imports later.

    Raises:
        UserError: there is no such module or object, or it has no `start` and `step`.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute) or module.startswith("."):
        raise UserError(f"--model {name}: write module:object, such as my_model:Mine, or ws://HOST:PORT")
    if sys.path[0] != str(Path.cwd()):
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"--model {name}: no module {error.name!r} here ({Path.cwd().name}/) or installed") from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(f"--model {name}: {module} has no {part!r}")
        found = getattr(found, part)
    model: Dreamer = found if not inspect.isclass(found) and _dreams(found) else _made(found, name)
    if not _dreams(model):
        raise UserError(f"--model {name}: it needs start(frames, instruction) and step(actions), and has not both")
    return model


def _dreams(found: Any) -> bool:
    return all(callable(getattr(found, part, None)) for part in ("start", "step"))


def _made(found: Any, name: str) -> Any:
    if not callable(found):
        return found
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise UserError(f"--model {name}: it is called without arguments, and {error}") from None
    return found()


def one_by_one(model: Dreamer) -> Imagines:
    """As the gate asks: clip by clip, step by step. Chance is the model's own: nobody tells it what to draw."""

    def imagine(shown: Shown, actions: np.ndarray, draw: int = 0) -> np.ndarray:
        films = []
        for b in range(len(shown)):
            model.start({c: shown.frames[b, :, i] for i, c in enumerate(shown.cameras)}, shown.instructions[b])
            films.append([_stacked(model.step(chunk), shown) for chunk in actions[b]])
        return np.array(films)

    return imagine


def _stacked(frames: Frames, shown: Shown) -> np.ndarray:
    """(C, S, S, 3)

    Raises:
        UserError: a camera is missing, or its frame is no picture, or of another size than it was shown.
    """
    cameras = shown.cameras
    if not isinstance(frames, Mapping) or any(c not in frames for c in cameras):
        got = ", ".join(map(str, frames)) if isinstance(frames, Mapping) else type(frames).__name__
        raise UserError(f"the model's step returns {got or 'nothing'}: it is to return {', '.join(cameras)} -> frame")
    seen, size = [np.asarray(frames[c]) for c in cameras], shown.frames.shape[-3:]
    for camera, frame in zip(cameras, seen, strict=True):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != size[2]:
            raise UserError(
                f"the model's frame of {camera!r} is {frame.dtype} {frame.shape}: it is to be uint8 (S, S, 3), of the "
                "size that the model is shown"
            )
        if frame.shape != size:  # of other steps and cameras too: all of them are joined into one film
            raise UserError(
                f"the model's frame of {camera!r} is {frame.shape[0]} x {frame.shape[1]} (height x width), it was "
                f"shown {size[0]} x {size[1]}: return that size, or choose the model's with --size"
            )
    return np.stack(seen)


class FromGymnasium:
    """A world model with gymnasium's `reset` and `step` as a `Dreamer`.

    It is reset with `options={"frames": camera -> (P, S, S, 3), "instruction": text}` and stepped action by action.

    Args:
        env: its observation is a dict of pictures, or one picture where there is one camera.
        keys: camera -> name in the observation; `image.<camera>` by default.
        chunks: it takes a whole chunk (chunk, A) in one step.
    """

    def __init__(self, env: Any, keys: Mapping[str, str] | None = None, chunks: bool = False) -> None:
        self.env, self.keys, self.chunks = env, keys or {}, chunks
        self.cameras: tuple[str, ...] = ()

    def start(self, frames: Frames, instruction: str) -> None:
        self.cameras = tuple(frames)
        self.env.reset(options={"frames": dict(frames), "instruction": instruction})

    def step(self, actions: np.ndarray) -> Frames:
        seen: Any = None
        for action in [actions] if self.chunks else actions:
            seen = self.env.step(action)[0]
        if not isinstance(seen, Mapping):
            return {self.cameras[0]: np.asarray(seen)}
        names = {camera: self.keys.get(camera, f"image.{camera}") for camera in self.cameras}
        return {camera: np.asarray(seen[name]) for camera, name in names.items() if name in seen}
